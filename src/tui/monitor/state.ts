/** What the monitor shows: data alone, so that a frame is a pure function of it. */
import type { Item } from "../../client/resources.ts";
import type { Transcript } from "../../client/transcript.ts";
import type { Approval } from "../../contract/approval.ts";
import type { HealthResponse } from "../../contract/durable.ts";
import type { Event } from "../../contract/event.ts";
import type { FileInfo } from "../../contract/file.ts";
import type { Run } from "../../contract/run.ts";
import type { Session } from "../../contract/session.ts";
import type { SessionTask } from "../../contract/task.ts";
import { idOf } from "./acts.ts";
import { cellsOf } from "./columns.ts";
import type { View } from "./views.ts";

export interface Overview {
  /** Of the server's answer to a small question. */
  latencyMs: number;
  /** Why the server cannot serve: its database is gone, its schema is old; null when it can. */
  notReady: string | null;
  /** null: the server does not let us see it. */
  health: HealthResponse | null;
  /** null when unknown. */
  sessions: Readonly<Record<Session["status"], number>> | null;
  approvals: { total: number; oldestAt: string | null; oldest: readonly Approval[] };
  runs: { queued: number; running: number; waiting: number };
  /** Runs that wait for somebody or something, by what; of the newest hundred. */
  waiting: Readonly<Record<string, number>>;
  /** RFC 3339 of the run that is queued for longest; null when none is. */
  oldestQueuedAt: string | null;
  /** Runs that failed or were sealed last, newest first. */
  deadRuns: readonly Run[];
  /** Keys of breakers that are not closed; null: we may not see them. */
  openBreakers: readonly string[] | null;
  recent: Recent;
}

/** What has ended lately. The time is shorter than five minutes where a hundred runs ended in less. */
export interface Recent {
  minutes: number;
  ended: Readonly<Record<"completed" | "failed" | "sealed" | "cancelled", number>>;
  tokens: number;
  costUsd: number;
}

export interface Sort {
  column: number;
  isDescending: boolean;
}

/** `status=active` after a list's name: of the server where it has such a parameter, otherwise of the rows. */
export interface Condition {
  name: string;
  value: string;
  /** The server's parameter; null: the rows are looked through here. */
  parameter: string | null;
}

export interface ListPlace {
  kind: "list";
  view: View;
  conditions: readonly Condition[];
  items: readonly Item[];
  /** How many the server has. */
  total: number;
  isLoaded: boolean;
  selectedId: string | null;
  /** Ids. */
  marks: ReadonlySet<string>;
  filter: string;
  sort: Sort | null;
  /** Why it cannot be read; null when it can. */
  trouble: string | null;
}

export const SESSION_TABS = ["transcript", "events", "files", "cost", "tasks"] as const;
export type SessionTab = (typeof SESSION_TABS)[number];

export interface SessionPlace {
  kind: "session";
  id: string;
  tab: SessionTab;
  session: Session | null;
  approvals: readonly Approval[];
  /** The newest ones, oldest first; never more than the feed keeps. */
  events: readonly Event[];
  transcript: Transcript;
  files: readonly FileInfo[] | null;
  runs: readonly Run[] | null;
  tasks: readonly SessionTask[] | null;
  /** Event or file that is chosen; null: the newest, the first. */
  selectedId: string | null;
  /** Lines from the end in the transcript, from the beginning elsewhere. */
  scroll: number;
  trouble: string | null;
  /** Why the stream of events is broken; null while it is not. */
  streamTrouble: string | null;
}

export interface RunPlace {
  kind: "run";
  id: string;
  run: Run | null;
  scroll: number;
  trouble: string | null;
}

export interface TextPlace {
  kind: "text";
  title: string;
  lines: readonly string[];
  scroll: number;
}

export type Place =
  | { kind: "overview" }
  | { kind: "help"; scroll: number }
  | ListPlace
  | SessionPlace
  | RunPlace
  | TextPlace;

export interface Prompt {
  kind: "filter" | "command" | "confirm" | "words";
  text: string;
  /** What is asked. */
  question: string;
}

export interface MonitorState {
  /** The server's address, and the name of the context when it has one. */
  server: string;
  /** Where we are is the last; Escape goes back. The first is the overview. */
  stack: readonly Place[];
  overview: Overview | null;
  /** When the reading under way began; null between readings. */
  readSince: Date | null;
  /** Since when the server does not answer, or not us, and why; null while it does. */
  trouble: { since: Date; reason: string } | null;
  prompt: Prompt | null;
  note: { text: string; isError: boolean } | null;
  isReadonly: boolean;
}

export const placeOf = (state: Pick<MonitorState, "stack">): Place =>
  state.stack.at(-1) ?? { kind: "overview" };

export const listPlace = (view: View, conditions: readonly Condition[], filter = ""): ListPlace => ({
  kind: "list",
  view,
  conditions,
  items: [],
  total: 0,
  isLoaded: false,
  selectedId: null,
  marks: new Set(),
  filter,
  sort: null,
  trouble: null,
});

/** What is listed under the conditions, the filter and the order in force. `!text` keeps what does not have it. */
export function visibleItems(
  place: Pick<ListPlace, "view" | "items" | "filter" | "sort" | "conditions">,
): readonly Item[] {
  const { view, items, filter, sort, conditions } = place;
  const isInverse = filter.startsWith("!");
  const wanted = (isInverse ? filter.slice(1) : filter).toLowerCase();
  const own = conditions.filter(({ parameter }) => parameter === null);
  const rows = items.filter((item) => {
    if (!own.every((condition) => meets(view, item, condition))) return false;
    if (wanted === "") return true;
    // Ids are shown by their end, and found by all of them.
    const said = [...cellsOf(view.columns, item), idOf(item), String(item.session_id ?? "")].join(" ");
    return said.toLowerCase().includes(wanted) !== isInverse;
  });
  const column = sort === null ? undefined : view.columns[sort.column];
  if (sort === null || column === undefined) return rows;
  const order = column.order ?? column.cell;
  const sign = sort.isDescending ? -1 : 1;
  return rows
    .map((item) => ({ item, by: order(item) }))
    .toSorted((a, b) => sign * compare(a.by, b.by))
    .map(({ item }) => item);
}

function compare(a: number | string, b: number | string): number {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/** `status=active`: the cell of that column, a word of it, or the field of that name, is or begins with the value. */
function meets(view: View, item: Item, { name, value }: Condition): boolean {
  const column = view.columns.find((each) => each.name === name);
  const cell = column?.cell(item) ?? "";
  const said = [cell, ...cell.split(" "), item[name]].map((each) => String(each ?? "").toLowerCase());
  return said.some((each) => each !== "" && each.startsWith(value.toLowerCase()));
}

/** The chosen row: the first until one is chosen; null when the chosen one is gone. */
export function selectedItem(place: ListPlace): Item | null {
  const items = visibleItems(place);
  if (place.selectedId === null) return items[0] ?? null;
  return items.find((item) => idOf(item) === place.selectedId) ?? null;
}

/**
 * The list as it was read again. What is chosen stays chosen, wherever it stands now. When it is gone its neighbour is
 * chosen, but where a key decides without a question: there nothing is, until somebody chooses again.
 *
 * @param done  ids that this monitor has dealt with itself: after them one goes on with the next
 */
export function reread(place: ListPlace, change: Partial<ListPlace>, done: ReadonlySet<string>): ListPlace {
  const before = visibleItems(place).findIndex((item) => idOf(item) === place.selectedId);
  const after = { ...place, ...change };
  const items = visibleItems(after);
  const ids = new Set(items.map(idOf));
  const isGone = place.selectedId !== null && !ids.has(place.selectedId);
  const isKept = isGone && place.view.isChoiceKept && !done.has(place.selectedId ?? "");
  const next = items[Math.max(0, Math.min(before, items.length - 1))];
  return {
    ...after,
    selectedId:
      (place.selectedId !== null && !isGone) || isKept
        ? place.selectedId
        : next === undefined
          ? null
          : idOf(next),
    marks: new Set([...place.marks].filter((id) => after.items.some((item) => idOf(item) === id))),
  };
}

/** The marked rows that are listed, or the chosen one when none is marked. */
export function actedOn(place: ListPlace): readonly Item[] {
  const marked = visibleItems(place).filter((item) => place.marks.has(idOf(item)));
  if (marked.length > 0) return marked;
  const one = selectedItem(place);
  return one === null ? [] : [one];
}
