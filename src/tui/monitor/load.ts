/** What the lists read, all of it from the public API. */
import { readList } from "../../client/act.ts";
import type { Client } from "../../client/client.ts";
import { ClientError } from "../../client/errors.ts";
import type { Item } from "../../client/resources.ts";
import type { HealthResponse } from "../../contract/durable.ts";
import type { CircuitBreakersListResponse, Run } from "../../contract/run.ts";
import type { Condition, ListPlace } from "./state.ts";
import { QUEUE_REASON } from "./views.ts";

export interface Listed<T = Item> {
  data: T[];
  total?: number;
}

/** Rows of one page: what the API gives at most. */
export const PAGE_ROWS = 100;
/** Rows that are read while somebody looks for something; memory and what one key may change are bounded by it. */
export const ROWS_MAX = 500;

export async function loadList(
  client: Client,
  place: ListPlace,
): Promise<Pick<ListPlace, "items" | "total">> {
  const { view, conditions, filter } = place;
  const query = { ...view.query, ...parametersOf(conditions) };
  if (!view.isPaged) {
    const { data, total = data.length } = await readList(client, view.path, query);
    return { items: await withMore(client, view.name, data.slice(0, ROWS_MAX)), total };
  }
  const page = async (offset: number) => readList(client, view.path, { ...query, limit: PAGE_ROWS, offset });
  const isSearched = filter !== "" || conditions.some(({ parameter }) => parameter === null);
  const rowsMax = isSearched ? ROWS_MAX : PAGE_ROWS;
  const first = await page(0);
  const total = first.total ?? first.data.length;
  const items = [...first.data];
  if (view.isOldestFirst && total > rowsMax) {
    // The oldest are on the last pages.
    items.length = 0;
    for (let offset = total - rowsMax; offset < total; offset += PAGE_ROWS) {
      items.push(...(await page(offset)).data);
    }
  } else {
    while (items.length < Math.min(total, rowsMax)) {
      const { data } = await page(items.length);
      if (data.length === 0) break;
      items.push(...data);
    }
  }
  if (view.isOldestFirst) items.reverse();
  return { items: await withMore(client, view.name, items), total };
}

/** `status=failed status=sealed` is one parameter with two values. */
function parametersOf(conditions: readonly Condition[]): Record<string, string[]> {
  const parameters: Record<string, string[]> = {};
  for (const { parameter, value } of conditions) {
    if (parameter !== null) parameters[parameter] = [...(parameters[parameter] ?? []), value];
  }
  return parameters;
}

/** What a row of two views needs of other lists. */
async function withMore(client: Client, view: string, items: Item[]): Promise<Item[]> {
  if (view === "providers") return withBreakers(client, items);
  return view === "queue" && items.length > 0 ? withReasons(client, items) : items;
}

async function withBreakers(client: Client, providers: readonly Item[]): Promise<Item[]> {
  const breakers = await allowed(
    client.request<CircuitBreakersListResponse>("GET", "/durable/circuit-breakers"),
  );
  return providers.map((provider) => {
    const own = (breakers?.data ?? []).filter(({ key }) => key.startsWith(`${String(provider.id)}:`));
    const open = own.filter(({ state }) => state !== "closed");
    const models = open.map(({ key, state }) => `${key.slice(key.indexOf(":") + 1)} ${state}`);
    const said = breakers === null ? "unknown" : open.length === 0 ? "closed" : models.join(", ");
    return { ...provider, breakers: said };
  });
}

async function withReasons(client: Client, queued: readonly Item[]): Promise<Item[]> {
  const [atWork, health] = await Promise.all([
    client.request<Listed<Run>>("GET", "/runs", {
      query: { status: ["running", "waiting"], limit: PAGE_ROWS },
    }),
    allowed(client.request<HealthResponse>("GET", "/durable/health")),
  ]);
  const busy = new Map(atWork.data.map((run) => [run.session_id, run.status]));
  return queued.map((run) => ({ ...run, [QUEUE_REASON]: reasonOf(run, busy, health) }));
}

/** PURE: why a queued run does not run, as far as can be told from outside. */
export function reasonOf(
  run: Item,
  busy: ReadonlyMap<string, string>,
  health: Pick<HealthResponse, "active_workers" | "workers_accepting"> | null,
): string {
  if (typeof run.stuck_reason === "string") return run.stuck_reason;
  const dueMs = Date.parse(String(run.available_at)) - Date.now();
  if (dueMs > 1_000)
    return `is due in ${Math.ceil(dueMs / 1000)}s${run.error ? `: ${String(run.error)}` : ""}`;
  const other = busy.get(String(run.session_id));
  if (other !== undefined) return `its session has a run that is ${other}`;
  if (health?.active_workers === 0) return "no worker is alive";
  if (health?.workers_accepting === 0) return "no worker has a free slot";
  return "its turn comes next";
}

/** null for what the caller may not see, or this server does not have. */
export async function allowed<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ClientError && (error.status === 403 || error.status === 404)) return null;
    throw error;
  }
}

/** What went wrong, and what to do about it. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (!(error instanceof ClientError)) return error.message;
  const said = error.message.replace(/\.$/, "");
  if (error.status === 401) return `${said}; q, then sign in with everruns login or set EVERRUNS_API_KEY`;
  if (error.status === 403) return `${said}; another key or --context may see it`;
  return said;
}
