/** The actions of the catalogue as calls of the API: the command line and the monitor do the same thing alike. */
import type { Client, RequestOptions } from "./client.ts";
import type { Item, Resource } from "./resources.ts";

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
 * The objects of a list, whether they come in an envelope or alone.
 *
 * @returns `total` only where the server counts them
 */
export async function readList(
  client: Client,
  path: string,
  query: RequestOptions["query"] = {},
): Promise<{ data: Item[]; total?: number }> {
  const answer = await client.request<Item[] | { data: Item[]; total?: number }>("GET", path, { query });
  return Array.isArray(answer) ? { data: answer } : answer;
}
