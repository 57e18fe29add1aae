/** What the monitor shows: data alone, so that a frame is a pure function of it. */
import type { Item, Resource } from "../../client/resources.ts";
import type { HealthResponse } from "../../contract/durable.ts";

export interface Overview {
  /** null: the server does not let us see it. */
  health: HealthResponse | null;
  /** Sessions by status; null when unknown. */
  sessions: Readonly<Record<string, number>> | null;
  pendingApprovals: number;
  /** RFC 3339 of the approval that waits for longest; null when none does. */
  oldestApproval: string | null;
  queuedRuns: number;
  /** RFC 3339 of the run that is queued for longest; null when none is. */
  oldestQueued: string | null;
  /** Runs that failed or were sealed last, newest first. */
  deadRuns: readonly Item[];
  /** Keys of breakers that are not closed. */
  openBreakers: readonly string[];
  /** Of the runs that ended within the last minute. */
  perMinute: { turns: number; tokens: number; costUsd: number };
}

export interface Prompt {
  kind: "filter" | "command" | "confirm";
  text: string;
  /** What is asked before something that cannot be taken back. */
  question: string;
}

export interface Detail {
  id: string;
  lines: readonly string[];
  scroll: number;
}

export interface MonitorState {
  /** The server's address, and the name of the context when it has one. */
  server: string;
  view: "overview" | "resource";
  /** null in the overview. */
  resource: Resource | null;
  items: readonly Item[];
  total: number;
  /** Widest cell seen in each column: columns grow, and never move back. */
  widths: readonly number[];
  selectedId: string | null;
  filter: string;
  sort: { column: number; isDescending: boolean } | null;
  prompt: Prompt | null;
  detail: Detail | null;
  isHelp: boolean;
  overview: Overview | null;
  /** Why the last reading failed; null when it did not. */
  trouble: string | null;
  note: { text: string; isError: boolean } | null;
  isReadonly: boolean;
}

/** Cells of one object, as text. */
export function cellsOf(resource: Resource, item: Item): string[] {
  return Object.values(resource.columns).map((cellOf) => String(cellOf(item) ?? "").replace(/\s+/g, " "));
}

/** What is listed under the filter and the order in force. `!text` keeps what does not have the text. */
export function visibleItems(
  state: Pick<MonitorState, "resource" | "items" | "filter" | "sort">,
): readonly Item[] {
  const { resource, items, filter, sort } = state;
  if (resource === null) return items;
  const isInverse = filter.startsWith("!");
  const wanted = (isInverse ? filter.slice(1) : filter).toLowerCase();
  const rows = items
    .map((item) => ({ item, cells: cellsOf(resource, item) }))
    .filter(({ cells }) => wanted === "" || cells.join(" ").toLowerCase().includes(wanted) !== isInverse);
  if (sort === null) return rows.map(({ item }) => item);
  const sign = sort.isDescending ? -1 : 1;
  const compare = (a: string, b: string) => a.localeCompare(b, "en", { numeric: true });
  return rows
    .toSorted((a, b) => sign * compare(a.cells[sort.column] ?? "", b.cells[sort.column] ?? ""))
    .map(({ item }) => item);
}

export const idOf = (item: Item): string => String(item.id ?? item.key ?? "");
