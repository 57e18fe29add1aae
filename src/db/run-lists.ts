import { limits } from "../contract/limits.ts";
import type { RunStatus } from "../contract/run.ts";
import type { TokenUsage } from "../contract/usage.ts";
import type { Db } from "./pool.ts";
import type { Page, Slice } from "./search.ts";

export interface RunRow {
  id: string;
  organization_id: string;
  session_id: string;
  agent_id: string | null;
  state: RunStatus;
  waiting_on: "client_tools" | "approval" | "subagent" | "timer" | "budget" | null;
  stuck_reason: string | null;
  priority: number;
  attempt: number;
  lease_owner: string | null;
  lease_expires_at: Date | null;
  available_at: Date;
  input_message_id: string;
  /** Of its message, in the session's log. */
  input_sequence: number;
  retried_run_id: string | null;
  final_message_id: string | null;
  error_code: string | null;
  error: string | null;
  iterations: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_creation_tokens: number;
  cost_usd: number;
  time_to_first_token_ms: number | null;
  queued_at: Date;
  started_at: Date | null;
  finished_at: Date | null;
}

export interface StepRow {
  name: string;
  kind: "reason" | "tool";
  tool_name: string | null;
  effect: "pure" | "idempotent" | "at_most_once" | null;
  idempotency_key: string | null;
  status: "pending" | "settled" | "unknown";
  attempt: number;
  usage: TokenUsage | null;
  error: string | null;
  started_at: Date;
  finished_at: Date | null;
  settlement: { outcome: "done" | "retry" | "abort"; settled_by: string; settled_at: string } | null;
}

export interface RunFilter {
  /** null: all of them. */
  statuses: readonly RunStatus[] | null;
  agentId: string | null;
  sessionId: string | null;
  workerId: string | null;
  waitingOn: string | null;
}

const COLUMNS = [
  "id",
  "organization_id",
  "session_id",
  "agent_id",
  "state",
  "waiting_on",
  "priority",
  "attempt",
  "lease_owner",
  "lease_expires_at",
  "available_at",
  "input_message_id",
  "input_sequence",
  "retried_run_id",
  "final_message_id",
  "error_code",
  "error",
  "iterations",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_creation_tokens",
  "cost_usd",
  "time_to_first_token_ms",
  "queued_at",
  "started_at",
  "finished_at",
] as const;

/** A queued run of this age should have been taken up. */
const QUEUED_LONG_SECONDS = 10;

/** Newest first. Runs of deleted sessions are not shown. */
export async function listRuns(
  { sql }: Db,
  input: { organizationId: string; filter: RunFilter } & Slice,
): Promise<Page<RunRow>> {
  const { filter } = input;
  const wanted = sql`
    organization_id = ${input.organizationId}
    and ${filter.sessionId === null ? sql`true` : sql`session_id = ${filter.sessionId}`}
    and ${filter.agentId === null ? sql`true` : sql`agent_id = ${filter.agentId}`}
    and ${filter.statuses === null ? sql`true` : sql`state = any (${[...filter.statuses]}::text[])`}
    and ${filter.workerId === null ? sql`true` : sql`lease_owner = ${filter.workerId}`}
    and ${filter.waitingOn === null ? sql`true` : sql`waiting_on = ${filter.waitingOn}`}
    and exists (select from sessions s where s.id = runs.session_id and s.deleted_at is null)`;
  const [rows, counted] = await Promise.all([
    sql<RunRow[]>`
      select ${sql(COLUMNS)}, ${stuckReason({ sql })}
        from runs
       where ${wanted}
       order by queued_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from runs where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Of an organization, without a count: for who looks again and again. */
export async function newestRuns({ sql }: Db, organizationId: string, limit: number): Promise<RunRow[]> {
  return await sql<RunRow[]>`
    select ${sql(COLUMNS)}, ${stuckReason({ sql })}
      from runs
     where organization_id = ${organizationId}
       and exists (select from sessions s where s.id = runs.session_id and s.deleted_at is null)
     order by queued_at desc, id desc
     limit ${limit}`;
}

/** One run with its steps, oldest first; null when there is none. */
export async function readRun(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<(RunRow & { steps: StepRow[] }) | null> {
  const [runs, steps] = await Promise.all([
    sql<RunRow[]>`
      select ${sql(COLUMNS)}, ${stuckReason({ sql })}
        from runs
       where id = ${id} and organization_id = ${organizationId}
         and exists (select from sessions s where s.id = runs.session_id and s.deleted_at is null)`,
    sql<StepRow[]>`
      select name, kind, tool_name, effect, ${idempotencyKey({ sql })} as idempotency_key, status, attempt, usage, error, started_at, finished_at, settlement
        from steps where run_id = ${id}
       order by started_at, name`,
  ]);
  const run = runs[0];
  return run ? { ...run, steps } : null;
}

/** As the engine hands it to the tool: the run whose answer made the call, and the call. */
const idempotencyKey = ({ sql }: Pick<Db, "sql">) => sql`
  case when kind = 'tool' then
    coalesce(origin_run_id,
             (select made.origin_run_id from steps made
               where made.run_id = steps.run_id and made.kind = 'reason'
                 and made.result -> 'tool_calls'
                     @> jsonb_build_array(jsonb_build_object('id', substr(steps.name, length('tool:') + 1)))),
             run_id) || ':' || substr(name, length('tool:') + 1)
  end`;

const stuckReason = ({ sql }: Pick<Db, "sql">) => sql`
  case
    when state = 'running' and lease_expires_at < now()
      then 'its worker has gone silent; another one takes it up'
    when state = 'queued' and available_at < now() - make_interval(secs => ${QUEUED_LONG_SECONDS})
         and not exists (select from workers
                          where status = 'running' and not is_drain_wanted
                            and heartbeat_at > now() - make_interval(secs => ${limits.workerSilentSeconds}))
      then 'no worker is alive'
  end as stuck_reason`;

export interface WorkerRow {
  id: string;
  hostname: string;
  pid: number;
  version: string;
  concurrency: number;
  load: number;
  runs_completed: number;
  runs_failed: number;
  status: "running" | "draining" | "stopped";
  started_at: Date;
  heartbeat_at: Date;
}

/**
 * Newest first. A worker that has gone silent without a word is shown as stopped, and one that was asked to drain as
 * draining, although it hears of it with its next heartbeat.
 */
export async function listWorkers({ sql }: Db, input: { status: string | null }): Promise<WorkerRow[]> {
  return await sql<WorkerRow[]>`
    select * from (
      select id, hostname, pid, version, concurrency, load, runs_completed, runs_failed, started_at, heartbeat_at,
             case when heartbeat_at < now() - make_interval(secs => ${limits.workerSilentSeconds}) then 'stopped'
                  when is_drain_wanted and status = 'running' then 'draining'
                  else status end as status
        from workers
    ) seen
     where ${input.status}::text is null or status = ${input.status}
     order by started_at desc, id
     limit ${WORKERS_SHOWN_MAX}`;
}

const WORKERS_SHOWN_MAX = 1_000;
