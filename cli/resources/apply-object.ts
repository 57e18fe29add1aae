/** Harnesses, providers and MCP servers from files: found by their name, compared field by field. */

import { readAll } from "../../src/client/act.ts";
import type { Client } from "../../src/client/client.ts";
import type { Item } from "../../src/client/resources.ts";
import { parseAgentFile } from "../../src/contract/agent-file.ts";
import type { CommandContext } from "../action.ts";
import { type Applied, type Applier, FileProblems } from "./apply.ts";
import { changedFields, type ObjectKind } from "./file-kinds.ts";
import { parseObject } from "./input.ts";
import { unknownFields } from "./known-fields.ts";

interface Options {
  env: CommandContext["env"];
  /** Keys that the server has are sent, too. */
  isSendingSecrets: boolean;
}

export function objectApplier(client: Client, kind: ObjectKind, options: Options): Applier {
  // Read once: a folder may have as many files as the server has objects.
  let listed: Promise<Item[]> | null = null;
  const apply = async (text: string, { isDry }: { isDry: boolean }): Promise<Applied> => {
    const file = readFile(kind, text);
    const name = String(file.name);
    listed ??= listAll(client, kind);
    const all = await listed;
    const before = named(kind, all, name);
    const wanted = wantedOf(kind, file);
    const known = before === null ? {} : await wordsOf(client, kind, before);
    const changed = changedFields(known, wanted).filter((field) => kind.fields.includes(field));
    const isMoved = kind.address !== null && changed.includes(kind.address);
    const isSendingSecrets = options.isSendingSecrets || isMoved;
    const secrets = secretsOf(kind, file, before, { ...options, isSendingSecrets });
    const fields = [...changed, ...Object.keys(secrets)];
    if (before === null) {
      if (!isDry) {
        const body = withoutNull({ ...wanted, ...secrets });
        all.push(await client.request<Item>("POST", kind.resource.path, { body }));
      }
      return { name, outcome: "created", fields };
    }
    if (fields.length === 0) return { name, outcome: "unchanged", fields };
    if (isDry) return { name, outcome: "changed", fields };
    const changes = Object.fromEntries(
      fields.map((field) => [field, secrets[field] ?? wanted[field] ?? null]),
    );
    const after = await client.request<Item>("PATCH", `${kind.resource.path}/${String(before.id)}`, {
      body: changes,
    });
    all[all.indexOf(before)] = after;
    // What the server reads as the same is the same.
    const isSame =
      Object.keys(secrets).length === 0 &&
      changedFields(known, await wordsOf(client, kind, after)).length === 0;
    return { name, outcome: isSame ? "unchanged" : "changed", fields };
  };
  return { nameOf: (text) => nameOf(kind, text), apply };
}

function nameOf(kind: ObjectKind, text: string): string {
  try {
    return String(parseFile(kind, text).name ?? "");
  } catch {
    return "";
  }
}

function parseFile({ hasPrompt }: ObjectKind, text: string): Item {
  const isMarkdown = hasPrompt && /^---[ \t]*\r?\n[\s\S]*^---[ \t]*$/m.test(text);
  return isMarkdown ? parseAgentFile(text, "") : parseObject(text, null);
}

/** @throws FileProblems, UserError file_invalid */
function readFile(kind: ObjectKind, text: string): Item {
  const file = parseFile(kind, text);
  const problems = unknownFields(file, kind.fields, kind.resource.name);
  if (typeof file.name !== "string" || file.name === "") problems.push("name: is missing");
  for (const [place, value] of secretPlaces(kind, file)) {
    if (variableOf(value) === null) {
      problems.push(
        `${place}: a secret does not belong into a file; take it from the environment: {env: NAME}`,
      );
    }
  }
  if (problems.length > 0) throw new FileProblems(problems);
  return file;
}

/** Every place of a file where a secret stands. */
function secretPlaces({ key, hidden }: ObjectKind, file: Item): [string, unknown][] {
  const ofKey =
    key !== null && file[key.field] != null ? [[key.field, file[key.field]] as [string, unknown]] : [];
  const values = hidden === null ? null : file[hidden];
  const ofHidden = Object.entries(typeof values === "object" && values !== null ? values : {});
  return [...ofKey, ...ofHidden.map(([name, value]): [string, unknown] => [`${hidden}.${name}`, value])];
}

/** `{env: NAME}` → `NAME`; null for anything else. */
function variableOf(value: unknown): string | null {
  const { env, ...others } = (typeof value === "object" && value !== null ? value : {}) as { env?: unknown };
  return typeof env === "string" && Object.keys(others).length === 0 ? env : null;
}

/** The fields as they should be, without secrets: what the file leaves out is empty. */
function wantedOf({ fields, defaults, key, hidden }: ObjectKind, file: Item): Item {
  return Object.fromEntries(
    fields
      .filter((field) => field !== key?.field && field !== hidden)
      .map((field) => [field, file[field] ?? defaults[field] ?? null]),
  );
}

/** An object of the server in the words of a file, without secrets. */
export async function wordsOf(client: Client, kind: ObjectKind, item: Item): Promise<Item> {
  const { fields, key, hidden, parent, resource } = kind;
  const words = Object.fromEntries(
    fields
      .filter((field) => field !== key?.field && field !== hidden)
      .map((field) => [field, item[field] ?? null]),
  );
  if (parent === null || typeof words[parent] !== "string") return words;
  const { name } = await client.request<Item>("GET", `${resource.path}/${words[parent]}`);
  return { ...words, [parent]: name };
}

/**
 * The secrets that go to the server: those that it does not have, or all. One that the file does not name any more is
 * taken away.
 *
 * @throws FileProblems  of variables that are not set
 */
function secretsOf(
  { key, hidden }: ObjectKind,
  file: Item,
  before: Item | null,
  { env, isSendingSecrets }: Options,
): Item {
  const problems: string[] = [];
  const secretFrom = (place: string, reference: unknown): string => {
    const variable = variableOf(reference) ?? "";
    const value = env[variable];
    if (!value) problems.push(`${place}: comes from ${variable}, which is not set in the environment`);
    return value ?? "";
  };
  const secrets: Record<string, unknown> = {};
  if (key !== null) {
    const isThere = before?.[key.isSet] === true;
    const isNamed = file[key.field] != null;
    if (isNamed && (!isThere || isSendingSecrets))
      secrets[key.field] = secretFrom(key.field, file[key.field]);
    if (!isNamed && isThere) secrets[key.field] = "";
  }
  if (hidden !== null) {
    const wanted = (file[hidden] ?? {}) as Item;
    const stored = (before?.[hidden] ?? {}) as Item;
    const isOther = !Bun.deepEquals(Object.keys(wanted).sort(), Object.keys(stored).sort());
    if (isOther || (isSendingSecrets && Object.keys(wanted).length > 0)) {
      secrets[hidden] = Object.fromEntries(
        Object.entries(wanted).map(([name, reference]) => [
          name,
          // What the server shows in the value's place, sent back, leaves the value as it is.
          name in stored && !isSendingSecrets ? stored[name] : secretFrom(`${hidden}.${name}`, reference),
        ]),
      );
    }
  }
  if (problems.length > 0) throw new FileProblems(problems);
  return secrets;
}

/** null when there is none. @throws FileProblems  two have the name */
export function named({ resource }: ObjectKind, all: readonly Item[], idOrName: string): Item | null {
  const found = all.filter(({ id, name }) => name === idOrName || id === idOrName);
  if (found.length > 1) {
    throw new FileProblems([
      `name: ${found.length} ${resource.name} have the name ${idOrName}; rename one of them`,
    ]);
  }
  return found[0] ?? null;
}

/** All of the caller's organization: built-in ones are not changed. */
export async function listAll(client: Client, { resource }: ObjectKind): Promise<Item[]> {
  return (await readAll(client, resource)).filter((item) => item.is_built_in !== true);
}

function withoutNull(fields: Item): Item {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}
