/** PURE: what is typed in the last line, what it means after `:`, and how it goes on. */
import type { MonitorKey } from "./keys.ts";
import type { Condition, Prompt } from "./state.ts";
import { VIEWS, type View, viewOf } from "./views.ts";

export type Command =
  | { kind: "quit" | "help" | "overview" | "nothing" }
  | { kind: "list"; view: View; conditions: readonly Condition[]; filter: string }
  | { kind: "session" | "run"; id: string }
  | { kind: "error"; text: string };

/** `sessions status=active`, `runs failed`, `queue`, `session_…`, `q`; the beginning of a name is enough. */
export function parseCommand(typed: string): Command {
  const [word = "", ...rest] = typed.trim().split(/\s+/);
  if (word === "") return { kind: "nothing" };
  if (word === "q" || word === "quit" || word === "q!") return { kind: "quit" };
  if (word === "help" || word === "h") return { kind: "help" };
  if (/^session_[0-9a-f]{32}$/.test(word)) return { kind: "session", id: word };
  if (/^turn_[0-9a-f]{32}$/.test(word)) return { kind: "run", id: word };
  const view = viewOf(word);
  if (view === undefined) {
    if ("overview".startsWith(word)) return { kind: "overview" };
    return { kind: "error", text: `there is no :${word}; Tab completes a name, ? says more` };
  }
  return parseWords(view, rest);
}

function parseWords(view: View, words: readonly string[]): Command {
  const conditions: Condition[] = [];
  const filter: string[] = [];
  for (const word of words) {
    const [, name, value] = /^([a-z_]+)=(.+)$/.exec(word) ?? [];
    if (name !== undefined && value !== undefined) {
      const key = name in view.filters ? name : name.replace(/_id$/, "");
      const parameter = view.filters[key] ?? null;
      if (parameter === null && !isColumn(view, name)) {
        const known = [...new Set([...Object.keys(view.filters), ...view.columns.map((each) => each.name)])];
        return { kind: "error", text: `${view.name} has no ${name}; it has ${known.join(" ")}` };
      }
      conditions.push({ name, value, parameter });
    } else if (view.statuses.includes(word)) {
      conditions.push({ name: "status", value: word, parameter: view.filters.status ?? null });
    } else filter.push(word);
  }
  return { kind: "list", view, conditions, filter: filter.join(" ") };
}

const isColumn = (view: View, name: string) =>
  name === "status" || view.columns.some((column) => column.name === name);

/** Every word that may come after `:` first. */
const NAMES = ["overview", ...VIEWS.map(({ name }) => name)];

/** What the last word may become, best first; nothing for a word that is whole. */
export function completions(typed: string): string[] {
  const words = typed.split(/\s+/);
  const last = words.at(-1) ?? "";
  const wordsOf = (): string[] => {
    if (words.length === 1) return [...NAMES, "help", "quit"];
    const view = viewOf(words[0] ?? "");
    if (view === undefined) return [];
    const [, name] = /^([a-z_]+)=/.exec(last) ?? [];
    if (name === "status") return view.statuses.map((status) => `status=${status}`);
    const fields = Object.keys(view.filters).map((field) => `${field}=`);
    return [
      ...view.statuses,
      ...(view.statuses.length > 0 && !("status" in view.filters) ? ["status="] : []),
      ...fields,
    ];
  };
  return wordsOf().filter((word) => word.startsWith(last) && word !== last);
}

/** Typed text with its last word completed as far as there is no choice, then to the first of the choices. */
export function complete(typed: string): string {
  const found = completions(typed);
  const [first] = found;
  if (first === undefined) return typed;
  const start = typed.length - (typed.split(/\s+/).at(-1) ?? "").length;
  const last = typed.slice(start);
  let common = first;
  while (!found.every((word) => word.startsWith(common))) common = common.slice(0, -1);
  const grown = common.length > last.length ? common : first;
  return `${typed.slice(0, start)}${grown}${found.length === 1 && !grown.endsWith("=") ? " " : ""}`;
}

/** What stands in a prompt after a key. */
export function typed({ kind, text }: Prompt, { name, input }: MonitorKey): string {
  if (name === "backspace") return [...text].slice(0, -1).join("");
  if (name === "ctrlU") return "";
  if (name === "tab") return kind === "command" ? complete(text) : text;
  return text.length < PROMPT_CHARS_MAX ? text + input : text;
}
const PROMPT_CHARS_MAX = 500;
