import { type Paint, paintWith } from "../src/tui/theme.ts";

/** What a command may do with its terminal: two streams, whether they are terminals, and colours where allowed. */
export interface Out {
  /** Writes as it is given, no newline added. */
  write(text: string): void;
  /** Writes one line. */
  line(text: string): void;
  readonly isTty: boolean;
  readonly isColoured: boolean;
  readonly paint: Paint;
}

type Env = Readonly<Record<string, string | undefined>>;
type Stream = { write(text: string): unknown; isTTY?: boolean };

export function terminalOf(stream: Stream, env: Env): Out {
  const isTty = stream.isTTY === true;
  const isColoured = hasColour(isTty, env);
  return {
    write: (text) => void stream.write(text),
    line: (text) => void stream.write(`${text}\n`),
    isTty,
    isColoured,
    paint: paintWith(isColoured),
  };
}

/** NO_COLOR (https://no-color.org) beats everything, FORCE_COLOR beats the absence of a terminal. */
export function hasColour(isTty: boolean, env: Env): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR) return env.FORCE_COLOR !== "0";
  return isTty && env.TERM !== "dumb";
}
