/**
 * A real terminal for tests: a detached tmux of its own (own socket, own configuration), typed into with
 * send-keys and looked at with capture-pane. Waiting means looking again until the text is there.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const hasTmux = Bun.which("tmux") !== null;

export interface Terminal {
  /** What is on the screen now, without trailing blank lines. */
  screen(): string;
  /** The screen and everything that scrolled out of it. */
  history(): string;
  /** The screen with its colours. */
  ansi(): string;
  /** Waits until the screen satisfies the condition. */
  until(condition: string | RegExp | ((screen: string) => boolean)): Promise<string>;
  /** Types text, then presses keys by their tmux names (Enter, Escape, C-c, Up …). */
  type(text: string, ...keys: string[]): void;
  press(...keys: string[]): void;
  /** As a terminal emulator pastes: between the marks of bracketed paste. */
  paste(text: string): void;
  resize(columns: number, rows: number): void;
  /** Whether the other screen is shown, and the cursor: what a program must leave as it found it. */
  modes(): { isAlternate: boolean; isCursorShown: boolean };
  /** What the program writes from now on goes to the end of a file as well. */
  record(path: string): void;
  close(): void;
}

export interface TerminalOptions {
  columns?: number;
  rows?: number;
  env?: Record<string, string>;
  cwd?: string;
}

const LOOK_AGAIN_MS = 20;
/** Not a wait: the point at which a test has failed. */
const GIVE_UP_MS = 20_000;

export function openTerminal(command: readonly string[], options: TerminalOptions = {}): Terminal {
  const { columns = 80, rows = 24, cwd = process.cwd() } = options;
  const directory = mkdtempSync(join(tmpdir(), "everruns-tmux-"));
  const socket = join(directory, "socket");
  const env = { PATH: process.env.PATH ?? "", HOME: directory, TERM: "xterm-256color", LANG: "C.UTF-8" };
  const tmux = (...args: string[]): string => {
    const done = Bun.spawnSync(["tmux", "-u", "-f", "/dev/null", "-S", socket, ...args], { env, cwd });
    if (done.exitCode !== 0) throw new Error(`tmux ${args[0]}: ${done.stderr.toString()}`);
    return done.stdout.toString();
  };
  const words = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const line = ["env", ...words, ...command].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  // The pane stays when the program has ended: its last words are part of what is tested.
  tmux(
    "new-session",
    "-d",
    "-x",
    String(columns),
    "-y",
    String(rows),
    `${line}; echo "exit code $?"; exec sleep 600`,
  );
  tmux("set-option", "-g", "status", "off");

  const screen = () => tmux("capture-pane", "-p").trimEnd();
  const until: Terminal["until"] = async (condition) => {
    const holds = (text: string) =>
      typeof condition === "function"
        ? condition(text)
        : typeof condition === "string"
          ? text.includes(condition)
          : condition.test(text);
    const deadline = Date.now() + GIVE_UP_MS;
    for (;;) {
      const text = screen();
      if (holds(text)) return text;
      if (Date.now() > deadline) throw new Error(`never on the screen: ${condition}\n${text}`);
      await Bun.sleep(LOOK_AGAIN_MS);
    }
  };
  const press = (...keys: string[]) => {
    if (keys.length > 0) tmux("send-keys", ...keys);
  };
  return {
    screen,
    history: () => tmux("capture-pane", "-p", "-S", "-").trimEnd(),
    ansi: () => tmux("capture-pane", "-p", "-e").trimEnd(),
    until,
    type(text, ...keys) {
      tmux("send-keys", "-l", text);
      press(...keys);
    },
    press,
    paste(text) {
      tmux("set-buffer", text);
      tmux("paste-buffer", "-p");
    },
    resize: (width, height) => void tmux("resize-window", "-x", String(width), "-y", String(height)),
    modes() {
      const [alternate, cursor] = tmux("display-message", "-p", "#{alternate_on} #{cursor_flag}")
        .trim()
        .split(" ");
      return { isAlternate: alternate === "1", isCursorShown: cursor === "1" };
    },
    record: (path) => void tmux("pipe-pane", `cat >> '${path}'`),
    close() {
      Bun.spawnSync(["tmux", "-S", socket, "kill-server"], { env });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
