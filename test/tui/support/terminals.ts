import { afterEach } from "bun:test";
import { openTerminal, type Terminal } from "./tmux.ts";

/** Opens terminals that are closed after the test that opened them. To be called where tests are described. */
export function terminalsOfTests(): typeof openTerminal {
  const opened: Terminal[] = [];
  afterEach(() => {
    for (const terminal of opened.splice(0)) terminal.close();
  });
  return (command, options) => {
    const terminal = openTerminal(command, options);
    opened.push(terminal);
    return terminal;
  };
}

/** A screen as golden text: without what stands at the ends of lines and nobody sees. */
export const trimmed = (screen: string): string =>
  screen
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
