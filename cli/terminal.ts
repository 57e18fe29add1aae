/** What a command may do with its terminal: two streams, whether they are terminals, and colours where allowed. */
export interface Out {
  /** Writes as it is given, no newline added. */
  write(text: string): void;
  /** Writes one line. */
  line(text: string): void;
  readonly isTty: boolean;
  readonly paint: Paint;
}

export interface Paint {
  dim(text: string): string;
  bold(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  cyan(text: string): string;
}

type Env = Readonly<Record<string, string | undefined>>;
type Stream = { write(text: string): unknown; isTTY?: boolean };

export function terminalOf(stream: Stream, env: Env): Out {
  const isTty = stream.isTTY === true;
  return {
    write: (text) => void stream.write(text),
    line: (text) => void stream.write(`${text}\n`),
    isTty,
    paint: paintWith(hasColour(isTty, env)),
  };
}

/** NO_COLOR (https://no-color.org) beats everything, FORCE_COLOR beats the absence of a terminal. */
export function hasColour(isTty: boolean, env: Env): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0";
  return isTty && env.TERM !== "dumb";
}

export function paintWith(isColoured: boolean): Paint {
  const style = (on: number, off: number) => (text: string) =>
    isColoured && text !== "" ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    dim: style(2, 22),
    bold: style(1, 22),
    red: style(31, 39),
    green: style(32, 39),
    yellow: style(33, 39),
    cyan: style(36, 39),
  };
}
