/**
 * The monitor's lists: which objects, in which columns, under which key, and what can be done with them. Every other
 * kind of the catalogue has a list as well, in the columns that the command line prints.
 */
import { CATALOG, type Item, type Resource } from "../../client/resources.ts";
import { APPROVAL_STATUSES } from "../../contract/approval.ts";
import { RUN_STATUSES } from "../../contract/run.ts";
import { SESSION_STATUSES } from "../../contract/session.ts";
import { type Act, act, actsOf, denyAct, forkAct, idOf, resourceOf } from "./acts.ts";
import { ageColumn, type Column, idColumn, money, number, text } from "./columns.ts";

/** Where Enter goes. */
export type Target =
  | { kind: "session"; id: string }
  | { kind: "run"; id: string }
  /** The object as JSON: read from `path`, or the row itself. */
  | { kind: "item"; path: string | null }
  /** Another list, as after `:`. */
  | { kind: "list"; command: string };

export interface View {
  /** The word after `:`. */
  name: string;
  aliases: readonly string[];
  /** The key that goes there from everywhere; null when only `:` does. */
  digit: string | null;
  /** For the help. */
  summary: string;
  path: string;
  /** The server gives it in pages. */
  isPaged: boolean;
  /** Sent along. */
  query: Readonly<Record<string, string>>;
  /** The server's lists are newest first; of a queue the oldest matter. */
  isOldestFirst: boolean;
  /** Query parameters of the server by the name that is typed. */
  filters: Readonly<Record<string, string>>;
  /** Words that mean `status=…`. */
  statuses: readonly string[];
  columns: readonly Column[];
  acts: readonly Act[];
  /** A key decides here without a question: no other row may come under it by itself. */
  isChoiceKept: boolean;
  opens(item: Item): Target;
  /** Said when there is nothing. */
  empty: string;
}

type Definition = Pick<View, "columns"> & Partial<Omit<View, "columns">> & { resource: Resource };

function view({ resource, ...own }: Definition): View {
  return {
    name: resource.name,
    aliases: [],
    digit: null,
    summary: resource.summary,
    path: resource.path,
    isPaged: resource.isPaged ?? false,
    query: {},
    isOldestFirst: false,
    filters: filtersOf(resource),
    statuses: [],
    acts: actsOf(resource),
    isChoiceKept: false,
    opens: (item) => ({
      kind: "item",
      path: resource.isReadable ? `${resource.path}/${encodeURIComponent(idOf(item))}` : null,
    }),
    empty: `no ${resource.name}`,
    ...own,
  };
}

function filtersOf({ filters = {}, isSearchable }: Resource): Record<string, string> {
  return {
    ...Object.fromEntries(Object.keys(filters).map((name) => [name.replace(/_id$/, ""), name])),
    ...(isSearchable ? { search: "search" } : {}),
  };
}

const runs = resourceOf("runs");
const sessions = resourceOf("sessions");
const approvals = resourceOf("approvals");
const workers = resourceOf("workers");
const schedules = resourceOf("schedules");
const breakers = resourceOf("breakers");
const dead = resourceOf("dead-runs");

export const RUN_ACTS = [
  act(runs, "cancel", "c", { isCareful: true }),
  act(runs, "retry", "r"),
  forkAct((item) => item.session_id),
];
export const SESSION_ACTS = [
  act(sessions, "cancel", "c", { isCareful: true }),
  forkAct(idOf),
  act(sessions, "resume", "R"),
  act(sessions, "delete", "D", { isCareful: true }),
];
export const APPROVAL_ACTS = [
  act(approvals, "approve", "a"),
  act(approvals, "approve-always", "A", { label: "always" }),
  denyAct(approvals),
];

const opensRun = (item: Item) => ({ kind: "run", id: String(item.activity_id ?? item.id) }) as const;
const usageOf = (item: Item) => item.usage as Record<string, number> | undefined;
const tokens = (item: Item) => {
  const usage = usageOf(item);
  return usage && (usage.input_tokens ?? 0) + (usage.output_tokens ?? 0);
};
const status = (width = 9) => text("status", (item) => item.status, { width, rank: 0 });

/** Why a run that is queued does not run; the loader says what the run alone does not tell. */
export const QUEUE_REASON = "queue_reason";

/** Kinds that have a table of their own below. */
const SHOWN: ReadonlySet<string> = new Set([
  "approvals",
  "sessions",
  "runs",
  "workers",
  "providers",
  "schedules",
  "dead-runs",
  "breakers",
]);
/** Their ids are words. */
const NAMED = "capabilities";
/** Columns that say how long ago `…_at` is. */
const AGES: ReadonlySet<string> = new Set(["created", "updated"]);
const WIDTHS: Readonly<Record<string, number>> = { id: 24, name: 24, model: 28, provider: 16, status: 9 };

export const VIEWS: readonly View[] = [
  view({
    resource: approvals,
    aliases: ["inbox"],
    digit: "2",
    summary: "calls that wait for a person, oldest first",
    query: { status: "pending" },
    isOldestFirst: true,
    statuses: [...APPROVAL_STATUSES, "all"],
    columns: [
      idColumn("id", (item) => item.id, 3),
      ageColumn("age", (item) => item.requested_at, 0),
      text("tool", (item) => item.tool_name, { width: 20, rank: 0 }),
      idColumn("session", (item) => item.session_id, 2),
      text("status", (item) => approvals.columns.status?.(item), { width: 12, rank: 5 }),
      text("why", (item) => item.reason, { width: 20, rank: 4 }),
      text("arguments", (item) => item.arguments, { width: 30, rank: 0 }),
    ],
    acts: APPROVAL_ACTS,
    isChoiceKept: true,
    opens: (item) => ({ kind: "session", id: String(item.session_id) }),
    empty: "nobody is waited for",
  }),
  view({
    resource: sessions,
    digit: "3",
    summary: "sessions, newest first",
    statuses: [...SESSION_STATUSES, "paused"],
    columns: [
      idColumn("id", (item) => item.id),
      text("status", (item) => sessions.columns.status?.(item), { width: 12, rank: 0 }),
      ageColumn("age", (item) => item.updated_at, 0),
      number("tokens", tokens, { width: 6, rank: 2 }),
      money("cost", (item) => usageOf(item)?.effective_cost_usd ?? usageOf(item)?.estimated_cost_usd, 3),
      idColumn("agent", (item) => item.agent_id, 4),
      text("title", (item) => item.title ?? item.preview, { width: 30, rank: 0 }),
    ],
    acts: SESSION_ACTS,
    opens: (item) => ({ kind: "session", id: idOf(item) }),
  }),
  view({
    resource: runs,
    digit: "4",
    summary: "runs of turns, newest first",
    statuses: RUN_STATUSES,
    columns: [
      idColumn("id", (item) => item.id),
      status(),
      ageColumn("age", (item) => item.queued_at, 0),
      number("step", (item) => item.iterations, { width: 4, rank: 3 }),
      number("try", (item) => item.attempt, { width: 3, rank: 4 }),
      number("tokens", tokens, { width: 6, rank: 3 }),
      money("cost", (item) => item.cost_usd, 4),
      idColumn("session", (item) => item.session_id, 2),
      text("note", (item) => item.stuck_reason ?? waitsFor(item) ?? item.error, { width: 30, rank: 0 }),
    ],
    acts: RUN_ACTS,
    opens: opensRun,
  }),
  view({
    resource: runs,
    name: "queue",
    digit: "5",
    summary: "runs that wait for a worker, oldest first, and why",
    query: { status: "queued" },
    filters: { agent: "agent_id", session: "session_id" },
    isOldestFirst: true,
    columns: [
      idColumn("id", (item) => item.id),
      ageColumn("age", (item) => item.queued_at, 0),
      number("prio", (item) => item.priority, { width: 4, rank: 3 }),
      number("try", (item) => item.attempt, { width: 3, rank: 4 }),
      idColumn("session", (item) => item.session_id, 2),
      text("why", (item) => item[QUEUE_REASON], { width: 30, rank: 0 }),
    ],
    acts: RUN_ACTS.filter(({ label }) => label !== "retry"),
    opens: opensRun,
    empty: "the queue is empty",
  }),
  view({
    resource: runs,
    name: "leases",
    summary: "runs that workers hold, and how long until a lease ends",
    query: { status: "running" },
    filters: { agent: "agent_id", session: "session_id", worker: "worker_id" },
    columns: [
      idColumn("run", (item) => item.id),
      text("lease", (item) => secondsUntil(item.lease_expires_at), { width: 6, isRight: true, rank: 0 }),
      ageColumn("age", (item) => item.queued_at, 1),
      number("step", (item) => item.iterations, { width: 4, rank: 3 }),
      number("try", (item) => item.attempt, { width: 3, rank: 3 }),
      idColumn("session", (item) => item.session_id, 2),
      idColumn("worker", (item) => item.worker_id),
      text("note", (item) => item.stuck_reason, { width: 20, rank: 0 }),
    ],
    acts: RUN_ACTS.filter(({ label }) => label !== "retry"),
    opens: opensRun,
    empty: "no worker holds a run",
  }),
  view({
    resource: workers,
    digit: "6",
    summary: "worker processes: slots, heartbeats; Enter shows the runs that they hold",
    statuses: ["running", "draining", "stopped"],
    columns: [
      idColumn("id", (item) => item.id),
      status(),
      text("slots", (item) => `${item.current_load}/${item.max_concurrency}`, {
        width: 7,
        isRight: true,
        rank: 0,
      }),
      ageColumn("beat", (item) => item.last_heartbeat_at, 0),
      text("takes", takes, { width: 9, rank: 3 }),
      number("done", (item) => item.tasks_completed, { width: 5, rank: 2 }),
      number("failed", (item) => item.tasks_failed, { width: 6, rank: 2 }),
      ageColumn("up", (item) => item.started_at, 3),
      text("version", (item) => item.version, { width: 8, rank: 4 }),
      text("host", (item) => item.hostname, { width: 20, rank: 0 }),
    ],
    acts: [
      act(workers, "drain", "w", { isCareful: true }),
      act(workers, "resume", "u", { label: "undrain" }),
    ],
    opens: (item) => ({ kind: "list", command: `leases worker=${idOf(item)}` }),
  }),
  view({
    resource: resourceOf("providers"),
    digit: "7",
    summary: "model providers, and the breakers of their models",
    columns: [
      text("name", (item) => item.name, { width: 18, rank: 0 }),
      text("type", (item) => item.provider_type, { width: 10, rank: 2 }),
      status(8),
      text("key", (item) => (item.api_key_set ? "set" : "none"), { width: 4, rank: 1 }),
      text("breakers", (item) => item.breakers, { width: 20, rank: 0 }),
      text("address", (item) => item.base_url, { width: 24, rank: 3 }),
    ],
    acts: [act(resourceOf("providers"), "sync-models", "m")],
  }),
  view({
    resource: schedules,
    digit: "8",
    columns: [
      text("name", (item) => item.name, { width: 20, rank: 0 }),
      text("state", (item) => (item.enabled ? "on" : "paused"), { width: 6, rank: 0 }),
      text("cron", (item) => item.cron_expression, { width: 14, rank: 2 }),
      text("next", (item) => minuteOf(item.next_trigger_at), { width: 17, rank: 1 }),
      ageColumn("last", (item) => item.last_triggered_at, 1),
      text("zone", (item) => item.timezone, { width: 16, rank: 3 }),
      text("does", (item) => (item.target as { name?: string } | undefined)?.name, { width: 12, rank: 3 }),
    ],
    acts: [
      act(schedules, "pause", "p"),
      act(schedules, "resume", "u", { label: "unpause" }),
      act(schedules, "trigger", "t", { isCareful: true }),
      act(schedules, "delete", "D", { isCareful: true }),
    ],
  }),
  view({
    resource: dead,
    name: "dead",
    aliases: ["dead-runs", "dlq"],
    digit: "9",
    summary: "runs that ended without an answer and can be taken up again",
    columns: [
      idColumn("run", (item) => item.activity_id),
      ageColumn("died", (item) => item.dead_at, 0),
      number("try", (item) => item.attempts, { width: 3, rank: 2 }),
      idColumn("session", (item) => (item.input as { session_id?: string } | undefined)?.session_id, 2),
      text("error", (item) => item.last_error, { width: 30, rank: 0 }),
    ],
    acts: [
      act(dead, "retry", "r", { label: "requeue" }),
      forkAct((item) => (item.input as { session_id?: string } | undefined)?.session_id),
    ],
    opens: opensRun,
    empty: "no run is dead",
  }),
  view({
    resource: breakers,
    columns: [
      text("state", (item) => item.state, { width: 9, rank: 0 }),
      number("failures", (item) => item.failure_count, { width: 8, rank: 1 }),
      ageColumn("opened", (item) => item.opened_at, 2),
      ageColumn("changed", (item) => item.updated_at, 3),
      text("key", (item) => item.key, { width: 40, rank: 0 }),
    ],
    acts: [
      act(breakers, "open", "o", { isCareful: true }),
      act(breakers, "close", "x", { isCareful: true }),
      act(breakers, "delete", "D", { isCareful: true, label: "forget" }),
    ],
    empty: "no model has been in trouble",
  }),
  ...CATALOG.filter(({ name }) => !SHOWN.has(name)).map((resource) =>
    view({ resource, columns: columnsOf(resource) }),
  ),
];

/** A view by its name, an alias, or the beginning of one. */
export const viewOf = (word: string): View | undefined =>
  VIEWS.find(({ name, aliases }) => name === word || aliases.includes(word)) ??
  VIEWS.find(({ name, aliases }) => [name, ...aliases].some((each) => each.startsWith(word)));

/** The command line's columns, each with a width that fits what usually stands there. */
function columnsOf(resource: Resource): Column[] {
  return Object.entries(resource.columns).map(([name, read], at) =>
    name === "id" && resource.name !== NAMED
      ? idColumn(name, (item) => item.id)
      : AGES.has(name)
        ? ageColumn(name, (item) => item[`${name}_at`])
        : text(name, read, { width: WIDTHS[name] ?? 12, rank: at < 2 ? 0 : at }),
  );
}

function waitsFor(item: Item): string | undefined {
  return item.waiting_on === undefined ? undefined : `waits for ${String(item.waiting_on)}`;
}

function takes(item: Item): string {
  if (item.status !== "running") return "nothing";
  return item.accepting_tasks === true ? "runs" : "is full";
}

/** `2026-01-01 10:00Z`, or nothing. */
function minuteOf(timestamp: unknown): string {
  const at = Date.parse(String(timestamp ?? ""));
  return Number.isNaN(at) ? "" : `${new Date(at).toISOString().slice(0, 16).replace("T", " ")}Z`;
}

/** Seconds that are left, `0s` when they are over; nothing for what has no end. */
function secondsUntil(timestamp: unknown): string {
  const at = Date.parse(String(timestamp ?? ""));
  return Number.isNaN(at) ? "" : `${Math.max(0, Math.ceil((at - Date.now()) / 1000))}s`;
}
