/** The slash commands: finding, running and completing them. */
import { pathUnderway } from "../attachments.ts";
import { sentenceOf } from "../words.ts";
import type { CommandDeps, CompletionDeps, SlashCommand } from "./command.ts";
import { compactCommand } from "./compact.ts";
import { fileCommands } from "./files.ts";
import { sessionCommands } from "./sessions.ts";
import { turnCommands } from "./turns.ts";

export const slashCommands: readonly SlashCommand[] = [
  { name: "help", summary: "this list", run: ({ chat }) => chat.note(helpText()) },
  ...sessionCommands,
  compactCommand,
  ...fileCommands,
  ...turnCommands,
  { name: "exit", summary: "leave; the session goes on (Ctrl+C)", run: ({ leave }) => leave() },
];

/** Runs the command that the text names; what goes wrong is printed. */
export async function runSlashCommand(text: string, deps: CommandDeps): Promise<void> {
  const [, word = "", argument = ""] = /^\/(\S*)\s*([\s\S]*)$/.exec(text.trim()) ?? [];
  const command = slashCommands.find(({ name }) => name === word);
  if (!command) return deps.chat.note(`there is no /${word}; /help lists the commands`, { isError: true });
  try {
    await command.run(deps, argument);
  } catch (error) {
    deps.chat.note(sentenceOf(error), { isError: true });
  }
}

/** `/help` and the like; a path such as `/etc/hosts is odd` is a message. */
export function isSlashCommand(text: string): boolean {
  return /^\/[a-z]*(\s|$)/.test(text);
}

export interface Completion {
  /** What stands before the cursor now. */
  text: string;
  /** What it can still become, when there is more than one way. */
  choices: readonly string[];
}

/**
 * Completes a command, its argument, or a path behind `@`, as far as there is one way on.
 *
 * @param text  what stands before the cursor
 * @returns null when nothing of it can be completed
 */
export async function complete(text: string, deps: CompletionDeps): Promise<Completion | null> {
  const [, word, typed] = /^\/([a-z]*)(?:\s+(\S*))?$/.exec(text) ?? [];
  if (word !== undefined && typed === undefined) {
    const names = slashCommands.filter(({ name }) => name.startsWith(word));
    const hasArgument = names.length === 1 && names[0]?.argument !== undefined;
    return completed(
      "/",
      word,
      names.map(({ name }) => name),
      hasArgument ? " " : "",
    );
  }
  if (word !== undefined && typed !== undefined) {
    const command = slashCommands.find(({ name }) => name === word);
    const all = (await command?.choices?.(deps, typed)) ?? [];
    return completed(
      text.slice(0, text.length - typed.length),
      typed,
      all.filter((each) => each.startsWith(typed)),
    );
  }
  const path = pathUnderway(text);
  if (path === null) return null;
  const paths = deps.files.complete(path.path);
  const before = `${text.slice(0, path.from)}@`;
  const isQuoted = paths.some((each) => each.includes(" "));
  const found = completed(before, path.path, paths);
  if (!found || !isQuoted) return found;
  const whole = found.text.slice(before.length);
  return {
    ...found,
    text: `${before}"${whole}${found.choices.length === 0 && !whole.endsWith("/") ? '"' : ""}`,
  };
}

function completed(before: string, typed: string, all: readonly string[], end = ""): Completion | null {
  const [first] = all;
  if (first === undefined) return null;
  if (all.length === 1) return { text: before + first + end, choices: [] };
  let shared = first;
  while (!all.every((each) => each.startsWith(shared))) shared = shared.slice(0, -1);
  return { text: before + (shared.length > typed.length ? shared : typed), choices: all };
}

function helpText(): string {
  const names = slashCommands.map(({ name, argument }) => `/${name}${argument ? ` ${argument}` : ""}`);
  const width = Math.max(...names.map((name) => name.length));
  const commands = slashCommands.map(({ summary }, at) => `${(names[at] ?? "").padEnd(width)}  ${summary}`);
  return [
    ...commands,
    "",
    "Enter sends · Alt+Enter or Ctrl+J: new line · Up and Down: what you typed before",
    "@path attaches a file or an image · Tab completes commands, their arguments and paths",
    "Esc interrupts the turn · Tab in an empty line: a message joins the running turn, or queues behind it",
    "Up in an empty line takes the last queued message back",
    "Ctrl+O unfolds thinking and tool output, or folds them · Ctrl+T unfolds the last one",
    "A call that waits for you: a allow, A always, e edit its arguments, d deny, D always deny",
    "A tool that is yours to answer: r answer, d refuse (letters count in an empty line)",
  ].join("\n");
}
