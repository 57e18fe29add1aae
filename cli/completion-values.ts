/**
 * Words of a completion that only a server, or the file of contexts, knows: names and ids. Somebody waits for them with
 * a finger on Tab: what is not there at once is left out, and nothing that goes wrong is told.
 */
import { readList } from "../src/client/act.ts";
import type { Client } from "../src/client/client.ts";
import { plainText } from "../src/client/plain-text.ts";
import { CATALOG, type Item, type Resource } from "../src/client/resources.ts";
import { EVENT_TYPES } from "../src/contract/event.ts";
import type { CommandContext } from "./action.ts";
import { clientOf } from "./api.ts";
import type { Candidate, Place } from "./completion.ts";
import { readContexts } from "./contexts.ts";
import { cellsOf, idOf } from "./resources/output.ts";

/** How long a person may wait for the server. */
const ANSWER_MS = 700;
const ITEMS_MAX = 100;
const ABOUT_COLUMNS_MAX = 70;
/** What no shell reads as anything but a word. */
const PLAIN_WORD = /^[\p{L}\p{N}_.,:@%+/-]+$/u;

/** Flags whose values are objects of a kind, whatever the command. */
const KIND_OF_FLAG: Readonly<Record<string, string>> = {
  "--agent": "agents",
  "--model": "models",
  "--session": "sessions",
  "--root-session": "sessions",
  "--worker": "workers",
};

/** @returns what may stand at the place, beside what the commands themselves offer; empty when nobody answers in time */
export async function valuesAt(context: CommandContext, place: Place): Promise<Candidate[]> {
  const found = await Promise.race([
    lookUp(context, place).catch(() => []),
    new Promise<Candidate[]>((resolve) => setTimeout(resolve, ANSWER_MS, [])),
  ]);
  return found
    .filter(({ word }) => word.startsWith(place.typed) && PLAIN_WORD.test(word))
    .map(({ word, about = "" }) => ({ word: place.prefix + word, about: oneLine(about) }));
}

async function lookUp(context: CommandContext, place: Place): Promise<Candidate[]> {
  const { command, option, argument } = place;
  const flag = option?.long ?? "";
  const parent = command.parent?.name() ?? "";
  if (flag === "--context" || (command.name() === "contexts" && place.before.length === 1)) {
    return contexts(context);
  }
  if (parent === "events" && (flag === "--type" || flag === "--exclude")) {
    return EVENT_TYPES.map((word) => ({ word }));
  }
  const choices = option === null ? [] : choicesIn(option.description);
  if (choices.length > 0) return choices.map((word) => ({ word }));
  const client = () =>
    clientOf(context, { apiUrl: place.flags["--api-url"], context: place.flags["--context"] });
  const kind = option === null ? kindOfArgument(place, parent) : (KIND_OF_FLAG[flag] ?? null);
  if (kind !== null) return objects(client(), kind, place);
  const [owner] = place.before;
  if (parent === "files" && argument?.name() === "path" && owner !== undefined) return files(client(), owner);
  return [];
}

/** PURE: `queued, running or failed` → those three; `archived ones, too (true)` → `true`. */
export function choicesIn(description: string): string[] {
  if (/^[a-z_]+(?:, [a-z_]+)* or [a-z_]+$/.test(description)) return description.split(/, | or /);
  return [...description.matchAll(/\((true|false)\)/g)].map(([, word = ""]) => word);
}

/** `agents get <id>`: an agent; `events tail <session>`: a session. */
function kindOfArgument({ argument, command }: Place, parent: string): string | null {
  if (argument === null) return null;
  if (argument.name() === "session") return "sessions";
  const isOfParent = ["id", "ids", "names", "other"].includes(argument.name());
  return isOfParent && command.name() !== "list" && CATALOG.some(({ name }) => name === parent)
    ? parent
    : null;
}

/** What a verb can be done with. */
const QUERY_OF_VERB: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  restore: { include_archived: "true" },
  approve: { status: "pending" },
  deny: { status: "pending" },
};

async function objects(
  client: Client,
  kind: string,
  { command, typed, option }: Place,
): Promise<Candidate[]> {
  const resource = CATALOG.find(({ name }) => name === kind);
  if (resource === undefined) return [];
  const isName = resource.key === "id or name" && typed !== "" && !typed.includes("_");
  const query = {
    ...(isName && resource.isSearchable ? { search: typed } : {}),
    ...(resource.isPaged ? { limit: ITEMS_MAX } : {}),
    ...(option === null ? QUERY_OF_VERB[command.name()] : {}),
  };
  const { data } = await readList(client, resource.path, query);
  return data.slice(0, ITEMS_MAX).flatMap((item) => {
    const cells = cellsOf(resource, item);
    return wordsFor(resource, item, typed).map((word) => ({ word, about: aboutIn(cells, word, idOf(item)) }));
  });
}

/** Names where a name will do; ids of those for who began to type one. */
function wordsFor(resource: Resource, item: Item, typed: string): string[] {
  const id = idOf(item);
  if (resource.name === "models") return [String(item.model_id)];
  const name = String(item.name);
  if (resource.key !== "id or name" || !PLAIN_WORD.test(name)) return [id];
  return typed === "" ? [name] : [name, id];
}

/** What a list says of it, beside the word itself. */
const aboutIn = (cells: readonly string[], word: string, id: string) =>
  cells.filter((cell) => cell !== "" && cell !== word && cell !== id).join(" · ");

async function files(client: Client, owner: string): Promise<Candidate[]> {
  const homes: Readonly<Record<string, string>> = { wsp: "workspaces", mem: "memories" };
  const home = homes[owner.split("_")[0] ?? ""] ?? "sessions";
  const { data } = await readList(client, `/${home}/${encodeURIComponent(owner)}/fs`, { recursive: "true" });
  return data.slice(0, ITEMS_MAX).map((file) => ({
    word: String(file.path),
    about: file.is_directory === true ? "directory" : `${String(file.size_bytes)} bytes`,
  }));
}

function contexts({ env }: CommandContext): Candidate[] {
  return Object.entries(readContexts(env).contexts).map(([word, { api_url }]) => ({ word, about: api_url }));
}

const oneLine = (text: string) =>
  Bun.sliceAnsi(plainText(text).replace(/\s+/g, " "), 0, ABOUT_COLUMNS_MAX, "…");
