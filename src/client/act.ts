/** The actions of the catalogue as calls of the API: the command line and the monitor do the same thing alike. */
import { UserError } from "../base/errors.ts";
import type { Client, RequestOptions } from "./client.ts";
import { CATALOG, type Item, type Resource } from "./resources.ts";

export interface Call {
  method: string;
  /** Below `/v1`. */
  path: string;
  /** undefined: none is sent. */
  body: unknown;
  /** The answer is a word, not JSON. */
  isText: boolean;
}

/**
 * The call for a verb of a kind of object; `delete` is one where the kind has it.
 *
 * @param fields  of a verb that takes some
 * @returns null when the kind has no such verb
 */
export function callOf(resource: Resource, verb: string, id: string, fields?: Item): Call | null {
  const own = `${resource.path}/${encodeURIComponent(id)}`;
  if (verb === "delete" && resource.deletes) {
    return { method: "DELETE", path: own, body: undefined, isText: false };
  }
  const action = resource.actions?.[verb];
  if (action === undefined) return null;
  const path = [own, action.path ?? verb].filter((part) => part !== "").join("/");
  const method = action.method ?? "POST";
  const body = fields ?? action.body ?? (method === "POST" ? {} : undefined);
  return { method, path, body, isText: action.isText ?? false };
}

/** @returns the object of the answer; undefined when there was none, or only a word. @throws ClientError */
export async function performCall(
  client: Client,
  { method, path, body, isText }: Call,
): Promise<Item | undefined> {
  if (!isText) return (await client.request<Item | undefined>(method, path, { body })) ?? undefined;
  await client.requestText(method, path, { body });
  return undefined;
}

/**
 * The objects of a list, whether they come in an envelope or alone: those that its kind shows by default, unless the
 * query says otherwise.
 *
 * @returns `total` only where the server counts them
 */
export async function readList(
  client: Client,
  path: string,
  query: RequestOptions["query"] = {},
): Promise<{ data: Item[]; total?: number }> {
  const answer = await client.request<Item[] | { data: Item[]; total?: number }>("GET", path, {
    query: withDefaults(path, query),
  });
  return Array.isArray(answer) ? { data: answer } : answer;
}

/** Of every list, whoever reads it: the command line and the monitor show the same. */
function withDefaults(path: string, query: Query): Query {
  const { defaults = {} } = CATALOG.find((resource) => resource.path === path) ?? {};
  const asked = Object.entries(defaults).map(([name, value]) => {
    const said = query[name] ?? value;
    return [name, [said].flat().includes("all") ? undefined : said] as const;
  });
  return { ...query, ...Object.fromEntries(asked) };
}
type Query = NonNullable<RequestOptions["query"]>;

const PAGE_ITEMS = 100;

/** All objects of a kind, page by page. */
export async function readAll(
  client: Client,
  { path, isPaged }: Resource,
  query: RequestOptions["query"] = {},
): Promise<Item[]> {
  const items: Item[] = [];
  for (;;) {
    const page = isPaged ? { limit: PAGE_ITEMS, offset: items.length } : {};
    const { data } = await readList(client, path, { ...query, ...page });
    items.push(...data);
    if (!isPaged || data.length < PAGE_ITEMS) return items;
  }
}

/**
 * The id of what a person named. Kinds whose names only people use are looked up; for the others the server does that.
 *
 * @throws UserError not_found, ambiguous_name
 */
export async function idOfNamed(
  client: Client,
  resource: Resource,
  idOrName: string,
  query: RequestOptions["query"] = {},
): Promise<string> {
  const { namedBy } = resource;
  if (namedBy === undefined || IS_ID.test(idOrName)) return idOrName;
  const all = await readAll(client, resource, query);
  const found = namedBy.map((field) => all.filter((item) => item[field] === idOrName)).find(isAny) ?? [];
  const [only] = found;
  if (only === undefined) throw new UserError("not_found", `there is no ${resource.one} ${idOrName}`);
  if (found.length === 1) return String(only.id);
  throw new UserError(
    "ambiguous_name",
    `${found.length} ${resource.name} are called ${idOrName}; say the id of one`,
  );
}

const isAny = (items: readonly Item[]) => items.length > 0;
const IS_ID = /^(?:[a-z]+_[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;
