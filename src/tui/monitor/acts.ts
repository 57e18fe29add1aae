/**
 * What a key does with rows. The verbs are those of the catalogue, so that every act has the command that does the
 * same, and that is what the monitor says afterwards.
 */
import { type Call, callOf, performCall } from "../../client/act.ts";
import type { Client } from "../../client/client.ts";
import type { Item, Resource } from "../../client/resources.ts";
import { CATALOG } from "../../client/resources.ts";

export interface Act {
  key: string;
  /** In a word. */
  label: string;
  /** Asks before it is done to one; what is done to several always asks. */
  isCareful: boolean;
  /** Asks for words that go along; none may be given. */
  asks: string | null;
  /** Id of what a row is about. */
  target(item: Item): string;
  /** `words`: what was asked for, empty when nothing. */
  call(id: string, words: string): Call | null;
  /** What to type for the same thing; null when the command line has no such verb. */
  command(id: string, words: string): string | null;
  /** A field of the answer that says what came of it. */
  shows: string | null;
}

/** Kinds of objects that the monitor knows by name. */
export function resourceOf(name: string): Resource {
  const found = CATALOG.find((resource) => resource.name === name);
  if (!found) throw new Error(`the catalogue has no ${name}`);
  return found;
}

export const idOf = (item: Item): string => String(item.id ?? item.key ?? item.path ?? "");

interface Options {
  label?: string;
  isCareful?: boolean;
  /** By default the row's own id. */
  id?(item: Item): string;
}

/** A verb of the catalogue under a key. */
export function act(resource: Resource, verb: string, key: string, options: Options = {}): Act {
  return {
    key,
    label: options.label ?? verb,
    isCareful: options.isCareful ?? false,
    asks: null,
    target: options.id ?? idOf,
    call: (id) => callOf(resource, verb, id),
    command: (id) => `everruns ${resource.name} ${verb} ${id}`,
    shows: resource.actions?.[verb]?.prints ?? null,
  };
}

/** Goes on from a session's newest event as a session of its own. */
export function forkAct(sessionOf: (item: Item) => unknown): Act {
  return {
    key: "f",
    label: "fork",
    isCareful: false,
    asks: null,
    target: (item) => String(sessionOf(item)),
    call: (id) => ({
      method: "POST",
      path: `/sessions/${encodeURIComponent(id)}/fork`,
      body: {},
      isText: false,
    }),
    command: (id) => `everruns sessions fork ${id}`,
    shows: "id",
  };
}

/** Refuses a call; the words are read by the model. */
export function denyAct(resource: Resource): Act {
  const plain = act(resource, "deny", "d");
  return {
    ...plain,
    asks: "why not? the model reads it; Enter alone gives no reason",
    call(id, words) {
      const call = plain.call(id, "");
      if (call === null || words === "") return call;
      return { ...call, body: { ...(call.body as object), comment: words } };
    },
    command: (id, words) => (words === "" ? plain.command(id, "") : null),
  };
}

/** The letters of the verbs of a kind that has no table of its own. */
export function actsOf(resource: Resource): Act[] {
  const taken = new Set<string>(RESERVED_KEYS);
  return Object.entries(resource.actions ?? {}).flatMap(([verb, { fields }]) => {
    // One key has no fields to give.
    if (fields !== undefined) return [];
    const key = [...verb].find((letter) => /[a-z]/.test(letter) && !taken.has(letter));
    if (key === undefined) return [];
    taken.add(key);
    return [act(resource, verb, key, { isCareful: verb === "disable" })];
  });
}
/** Keys that mean the same in every list. */
export const RESERVED_KEYS = ["s", "S", "q", "g", "G", "j", "k", "y", "?", ":", "/", " "] as const;

export interface Done {
  text: string;
  isError: boolean;
}

/** Does it to each of them, one after the other, and says what was done and how to do it without the monitor. */
export async function perform(
  client: Client,
  chosen: Act,
  { items, words, onProgress }: { items: readonly Item[]; words: string; onProgress?(done: number): void },
): Promise<Done> {
  const failed: { id: string; why: string }[] = [];
  let shown = "";
  for (const [at, item] of items.entries()) {
    if (items.length > 1) onProgress?.(at);
    try {
      const call = chosen.call(chosen.target(item), words);
      if (call === null) continue;
      const answer = await performCall(client, call);
      if (chosen.shows !== null) shown = `: ${String(answer?.[chosen.shows] ?? "")}`;
    } catch (error) {
      failed.push({ id: idOf(item), why: error instanceof Error ? error.message : String(error) });
    }
  }
  const done = items.length - failed.length;
  const [first] = failed;
  if (first !== undefined) {
    const rest = items.length === 1 ? "" : `${done} done, ${failed.length} not: `;
    return { text: `${chosen.label}: ${rest}${first.why}`, isError: true };
  }
  const how = howTo(chosen, items, words);
  if (items.length === 1) return { text: `${chosen.label}: done${shown} · ${how}`, isError: false };
  return { text: `${chosen.label}: ${done} done · ${how}`, isError: false };
}

/** The command that does the same, or the call where there is none. */
export function howTo(chosen: Act, items: readonly Item[], words: string): string {
  const [item] = items;
  if (item === undefined) return "";
  const id = items.length === 1 ? chosen.target(item) : "<id>";
  const call = chosen.call(id, words);
  return (
    chosen.command(id, words) ??
    `${call?.method ?? ""} /v1${decodeURIComponent(call?.path ?? "")} ${JSON.stringify(call?.body ?? {})}`
  );
}
