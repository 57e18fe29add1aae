/** Colours as plain functions over text: without colour they are the identity, so nothing else asks for NO_COLOR. */
export interface Paint {
  dim(text: string): string;
  bold(text: string): string;
  italic(text: string): string;
  underline(text: string): string;
  strike(text: string): string;
  inverse(text: string): string;
  red(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  blue(text: string): string;
  magenta(text: string): string;
  cyan(text: string): string;
}

/** @param isColoured  false: only reverse video stays, which marks the cursor and is no colour */
export function paintWith(isColoured: boolean): Paint {
  const style = (on: number, off: number) => (text: string) =>
    text === "" ? "" : `\u001b[${on}m${text}\u001b[${off}m`;
  const when = (on: number, off: number) => (isColoured ? style(on, off) : (text: string) => text);
  return {
    dim: when(2, 22),
    bold: when(1, 22),
    italic: when(3, 23),
    underline: when(4, 24),
    strike: when(9, 29),
    inverse: style(7, 27),
    red: when(31, 39),
    green: when(32, 39),
    yellow: when(33, 39),
    blue: when(34, 39),
    magenta: when(35, 39),
    cyan: when(36, 39),
  };
}

/** Colour is never the only signal: every state has its mark as well. */
export const marks = {
  user: "❯",
  assistant: "●",
  thinking: "✻",
  tool: "→",
  pending: "○",
  success: "✓",
  failure: "✗",
  notice: "·",
  output: "└",
  waiting: "↳",
  spinner: ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
} as const;

/** Lines of text longer than this are tiring to read, however wide the terminal is. */
export const TEXT_COLUMNS_MAX = 110;
