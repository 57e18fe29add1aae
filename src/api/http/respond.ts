/** Small shapes that many answers share: fields without null, links, pages. */
import { UserError } from "../../base/errors.ts";
import type { AllowedAction, Urls } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import type { TokenUsage } from "../../contract/usage.ts";

type WithoutNull<T> = { [K in keyof T as null extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as null extends T[K] ? K : never]?: Exclude<T[K], null>;
};

/** Leaves out what is null: the strict clients take an absent field, not null. */
export function present<T extends object>(fields: T): WithoutNull<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== null && value !== undefined),
  ) as WithoutNull<T>;
}

/** An answer of a route; the status keeps its literal type. */
export function reply<const S extends number, B>(
  status: S,
  body: B,
  headers?: Record<string, string>,
): { status: S; body: B; headers?: Record<string, string> } {
  return headers === undefined ? { status, body } : { status, body, headers };
}

/** 201 with the address of what came into being. */
export function created<B extends { self_url: string }>(body: B) {
  return reply(201, body, { location: body.self_url });
}

export const iso = (date: Date): string => date.toISOString();
export const isoOrNull = (date: Date | null): string | null => date?.toISOString() ?? null;

/** The links of an object at `/v1{path}`; its page in the user interface has the same path. */
export function urlsOf(path: string, actions: readonly AllowedAction[] = []): Urls {
  const self = `/v1${path}`;
  return {
    self_url: self,
    view_url: path,
    ui_link: path,
    allowed_actions: [{ rel: "self", method: "GET", href: self }, ...actions],
  };
}

export const action = (rel: string, method: string, path: string): AllowedAction => ({
  rel,
  method,
  href: `/v1${path}`,
});

/** Of `POST {path}/delete`: for good goes only what was archived before. */
export const notArchived = (what: string, path: string) =>
  new UserError("conflict", `${what} is not archived; archive it first`, {
    fields: { allowed_actions: [action("delete", "DELETE", path)] },
  });

/** 409, with the way to the one in `list` that has the name; `holder` is its id, null when it is gone meanwhile. */
export const nameTaken = (what: string, name: string, list: string, holder: string | null) =>
  new UserError("name_taken", `there is another ${what} with the name ${name}`, {
    fields: holder === null ? {} : { allowed_actions: [action("get-existing", "GET", `${list}/${holder}`)] },
  });

/** `offset` and `limit` as every paged list takes them. */
export const PageQuery = {
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, default: 0 })),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: limits.pageSizeMax, default: limits.pageSizeDefault }),
  ),
};

export function sliceOf(query: { offset?: number; limit?: number }): { offset: number; limit: number } {
  return { offset: query.offset ?? 0, limit: query.limit ?? limits.pageSizeDefault };
}

/** For lists of what can be archived. */
export const ArchivableQuery = {
  search: Type.Optional(Type.String()),
  include_archived: Type.Optional(Type.Boolean()),
};

export function archivableFilter(query: { search?: string; include_archived?: boolean }) {
  return { search: query.search ?? null, includeArchived: query.include_archived ?? false };
}

/** As `ArchivableQuery`, in pages; the official clients do not page: without a limit they get as many as one page may have. */
export const ArchivableListQuery = Type.Object({
  ...ArchivableQuery,
  offset: PageQuery.offset,
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: limits.pageSizeMax, default: limits.pageSizeMax }),
  ),
});

export interface ArchivableSlice {
  /** null: all. */
  search: string | null;
  includeArchived: boolean;
  offset: number;
  limit: number;
}

/**
 * The page that an `ArchivableListQuery` asks for.
 *
 * @param list  the rows of a slice, and how many there are in all
 */
export async function archivablePage<Row, Shown>(
  request: Request,
  query: { search?: string; include_archived?: boolean; offset?: number; limit?: number },
  list: (slice: ArchivableSlice) => Promise<{ rows: Row[]; total: number }>,
  toWire: (row: Row) => Shown,
): Promise<Envelope<Shown>> {
  const slice = { offset: query.offset ?? 0, limit: query.limit ?? limits.pageSizeMax };
  const { rows, total } = await list({ ...archivableFilter(query), ...slice });
  return page(request, rows.map(toWire), total, slice);
}

export interface Envelope<T> {
  data: T[];
  total: number;
  offset: number;
  limit: number;
  next_url?: string;
  prev_url?: string;
}

/** One page with the addresses of its neighbours, where there are any. */
export function page<T>(
  request: Request,
  data: T[],
  total: number,
  { offset, limit }: { offset: number; limit: number },
): Envelope<T> {
  const at = (other: number): string => {
    const url = new URL(request.url);
    url.searchParams.set("offset", String(other));
    url.searchParams.set("limit", String(limit));
    return url.pathname + url.search;
  };
  return {
    data,
    total,
    offset,
    limit,
    ...(offset + data.length < total && data.length > 0 ? { next_url: at(offset + limit) } : {}),
    ...(offset > 0 ? { prev_url: at(Math.max(0, offset - limit)) } : {}),
  };
}

/** A list that is always whole. */
export function whole<T>(data: T[]): Envelope<T> {
  return { data, total: data.length, offset: 0, limit: Math.max(1, data.length) };
}

export function usageOf(row: {
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_creation_tokens: number;
  cost_usd: number;
}): TokenUsage {
  return {
    input_tokens: row.input_tokens,
    output_tokens: row.output_tokens,
    cache_read_tokens: row.cache_read_tokens,
    cache_creation_tokens: row.cache_creation_tokens,
    estimated_cost_usd: row.cost_usd,
  };
}
