/** What can be done with any kind of object: list, get, create, update, edit, delete, and the actions of its own. */
import { describeError, UserError } from "../../src/base/errors.ts";
import { callOf, idOfNamed, performCall, readAll, readList } from "../../src/client/act.ts";
import type { Client } from "../../src/client/client.ts";
import { ClientError } from "../../src/client/errors.ts";
import type { Action, Item, Resource } from "../../src/client/resources.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { confirm } from "../confirm.ts";
import { editText } from "./editor.ts";
import { type Format, flagOf } from "./formats.ts";
import { readBody } from "./input.ts";
import { knownFields, type Use, unknownFields } from "./known-fields.ts";
import { idOf, printItem, printItems } from "./output.ts";
import { watch } from "./watch.ts";

/** Flags of every resource command. */
export interface CommonFlags {
  output: Format;
  apiUrl?: string;
  verbose?: boolean;
}

export interface ListFlags extends CommonFlags {
  /** Text as it was typed. */
  limit?: string;
  offset?: string;
  search?: string;
  watch?: boolean;
  /** Values of the resource's own filters, by query parameter. */
  filters: Readonly<Record<string, string>>;
}

export async function list(context: CommandContext, resource: Resource, flags: ListFlags): Promise<void> {
  const limit = wholeNumber("--limit", flags.limit, 1, 100) ?? 20;
  const offset = wholeNumber("--offset", flags.offset, 0, 2 ** 31 - 1) ?? 0;
  const client = clientOf(context, flags);
  const query = {
    ...flags.filters,
    search: flags.search,
    ...(resource.isPaged ? { limit, offset } : {}),
  };
  const read = () =>
    readList(client, resource.path, query).catch((error) => {
      throw asUsage(error, Object.keys(flags.filters));
    });
  if (flags.watch) {
    return watch(context, resource, { format: flags.output, read: async () => (await read()).data });
  }
  const { data, total = data.length } = await read();
  if (data.length === 0 && flags.output === "table") {
    context.err.line(
      isNarrowed({ ...resource.defaults, ...query })
        ? `no ${resource.name} match`
        : `there are no ${resource.name} yet`,
    );
    return;
  }
  printItems(context, resource, data, flags.output);
  const more = total - offset - data.length;
  if (more > 0 && flags.output === "table") {
    context.err.line(context.err.paint.dim(`${more} more; --limit shows up to 100, --offset what follows`));
  }
}

/** A value that a filter does not take is wrong usage, told in the words of the command line. */
function asUsage(error: unknown, parameters: readonly string[]): unknown {
  if (!(error instanceof ClientError) || error.status !== 400) return error;
  const [, name, problem] = /^(\w+)(?:\.\d+)?: (.*)$/s.exec(error.detail) ?? [];
  if (name === undefined || !parameters.includes(name)) return error;
  return new UsageError(`--${flagOf(name)} ${problem}`);
}

export async function get(context: CommandContext, resource: Resource, id: string, flags: CommonFlags) {
  printItem(context, await read(clientOf(context, flags), resource, id), flags.output);
}

export interface BodyFlags extends CommonFlags {
  /** Path of a file, or `-`. */
  file?: string;
  set?: readonly string[];
}

export async function create(context: CommandContext, resource: Resource, flags: BodyFlags) {
  const body = await bodyOf(context, resource, "create", flags);
  const made = await clientOf(context, flags).request<Item>("POST", resource.path, { body });
  printItem(context, made, flags.output === "table" ? "id" : flags.output);
}

export async function update(context: CommandContext, resource: Resource, id: string, flags: BodyFlags) {
  const body = await bodyOf(context, resource, "update", flags);
  const client = clientOf(context, flags);
  const changed = await client.request<Item>("PATCH", await pathOf(client, resource, id), { body });
  printItem(context, changed, flags.output === "table" ? "id" : flags.output);
}

/** @throws UsageError  nothing was given where something must be, or a field that is none */
async function bodyOf(context: CommandContext, resource: Resource, use: Use, flags: BodyFlags) {
  const known = await knownFields(resource.name, use);
  const isNothing = flags.file === undefined && flags.set === undefined;
  if (isNothing && use === "create" && known?.isOptional) return {};
  const body = await readBody(context, flags, resource.textField);
  const [problem] = known === null ? [] : unknownFields(body, known.fields, resource.name);
  if (problem !== undefined) throw new UsageError(problem);
  return body;
}

/** Opens the fields that can change in $EDITOR, and sends those that did. */
export async function edit(context: CommandContext, resource: Resource, id: string, flags: CommonFlags) {
  const client = clientOf(context, flags);
  const item = await read(client, resource, id);
  const fields = Object.fromEntries(
    (resource.editable ?? []).filter((name) => item[name] !== undefined).map((name) => [name, item[name]]),
  );
  const editable = resource.editable ?? [];
  let changed: string[] = [];
  await editText(context, { name: idOf(item), fields }, async (edited) => {
    const odd = Object.keys(edited).find((name) => !editable.includes(name));
    if (odd !== undefined) {
      throw new UserError(
        "unknown_field",
        `${odd}: no field that can be edited; there are ${editable.join(", ")}`,
      );
    }
    const changes: Record<string, unknown> = {};
    for (const name of new Set([...Object.keys(fields), ...Object.keys(edited)])) {
      if (Bun.deepEquals(fields[name], edited[name])) continue;
      // A line that was taken out empties the field.
      changes[name] = edited[name] ?? null;
    }
    changed = Object.keys(changes);
    if (changed.length > 0)
      await client.request("PATCH", await pathOf(client, resource, id), { body: changes });
  });
  context.err.line(
    changed.length === 0 ? "nothing changed" : `changed ${changed.join(", ")} of ${idOf(item)}`,
  );
}

export async function remove(
  context: CommandContext,
  resource: Resource,
  ids: readonly string[],
  flags: CommonFlags & { yes?: boolean },
) {
  const client = clientOf(context, flags);
  const word = resource.deletes ?? "deletes";
  const what = ids.length === 1 ? `the ${resource.one} ${ids[0]}` : `${ids.length} ${resource.name}`;
  if (word !== "archives" && !flags.yes) await confirm(context, `${word.slice(0, -1)} ${what}?`);
  return eachOf(context, ids, async (id) => {
    await client.request("DELETE", await pathOf(client, resource, id));
    context.err.line(`${word.slice(0, -1)}d ${id}`);
  });
}

export async function act(
  context: CommandContext,
  resource: Resource,
  { verb, action, ids }: { verb: string; action: Action; ids: readonly string[] },
  flags: BodyFlags & { yes?: boolean },
) {
  const client = clientOf(context, flags);
  const fields = action.fields === undefined ? undefined : await readBody(context, flags);
  if (action.isFinal && !flags.yes) await confirm(context, `${verb} ${ids.join(", ")}?`);
  return eachOf(context, ids, async (id) => {
    requireId(resource, id);
    const archived = verb === "restore" ? { include_archived: "true" } : {};
    const call = callOf(resource, verb, await idOfNamed(client, resource, id, archived), fields);
    const answer = call === null ? undefined : await performCall(client, call);
    if (flags.output !== "table" && answer !== undefined) printItem(context, answer, flags.output);
    else
      context.out.line(
        action.prints === undefined ? `${verb}: ${id}` : String(answer?.[action.prints] ?? id),
      );
  });
}

/**
 * One after the other. What cannot be done to one is told with its id, and does not keep the others.
 *
 * @param tell  prints a line: who draws something else on the screen makes room for it
 * @returns 1 when something could not be done
 */
export async function eachOf(
  { err, signal }: CommandContext,
  ids: readonly string[],
  act: (id: string) => Promise<void>,
  tell: (line: string) => void = err.line,
): Promise<number> {
  let code = 0;
  for (const id of ids) {
    if (signal.aborted) return 1;
    try {
      await act(id);
    } catch (error) {
      const isOfOne = error instanceof ClientError ? !error.isAboutServer : error instanceof UserError;
      // One alone is told as every failure.
      if (ids.length === 1 || !isOfOne) throw error;
      tell(`${err.paint.red("everruns:")} ${id}: ${describeError(error)}`);
      code = 1;
    }
  }
  return code;
}

async function pathOf(client: Client, resource: Resource, id: string): Promise<string> {
  requireId(resource, id);
  return `${resource.path}/${encodeURIComponent(await idOfNamed(client, resource, id))}`;
}

function requireId(resource: Resource, id: string): void {
  if (id === "") throw new UsageError(`which one? everruns ${resource.name} get <id>`);
}

async function read(client: Client, resource: Resource, id: string): Promise<Item> {
  if (resource.isReadable) return client.request<Item>("GET", await pathOf(client, resource, id));
  // Some kinds can only be listed.
  const found = (await readAll(client, resource)).find((item) => idOf(item) === id);
  if (!found) throw new UserError("not_found", `there is no ${resource.one} ${id}`);
  return found;
}

function isNarrowed({ limit: _limit, offset, ...rest }: Record<string, unknown>): boolean {
  return Boolean(offset) || Object.values(rest).some((value) => value !== undefined);
}

export function wholeNumber(flag: string, text: string | undefined, min: number, max: number): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (/^[0-9]+$/.test(text) && value >= min && value <= max) return value;
  throw new UsageError(`${flag} is a whole number from ${min} to ${max}, not "${text}"`);
}
