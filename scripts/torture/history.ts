/** What is left in the database when the storm is over, read as rows and nothing else. */
import type { Event } from "../../src/contract/event.ts";
import { readEventsAfter } from "../../src/db/events.ts";
import { ownLog } from "../../src/db/lineage.ts";
import type { Db } from "../../src/db/pool.ts";

export interface SessionRecord {
  id: string;
  status: string;
  activeRunId: string | null;
  lastSequence: number;
  /** Messages that wait for their turn. */
  queueLength: number;
  events: Event[];
}

export interface RunRecord {
  id: string;
  sessionId: string;
  state: string;
  errorCode: string | null;
  /** For operators; null when it ended well. */
  error: string | null;
  /** How often a worker claimed it. */
  epoch: number;
}

export interface StepRecord {
  runId: string;
  name: string;
  kind: "reason" | "tool";
  effect: string | null;
  status: string;
  /** Unix time in milliseconds; null for a call of unknown outcome. */
  finishedAtMs: number | null;
  /** Of a tool call; null for others. */
  isOk: boolean | null;
  /** Of a reason step: the newest message that the model had seen; null for others. */
  seenInputSequence: number | null;
}

export interface Stored {
  sessions: SessionRecord[];
  runs: RunRecord[];
  steps: StepRecord[];
}

const EVENTS_MAX = 1_000_000;

export async function readStored(db: Db): Promise<Stored> {
  const sessions = await db.sql<Omit<SessionRecord, "events">[]>`
    select id, status, active_run_id as "activeRunId", last_sequence as "lastSequence",
           queue_length as "queueLength" from sessions order by id`;
  const runs = await db.sql<RunRecord[]>`
    select id, session_id as "sessionId", state, error_code as "errorCode", error, lease_epoch as epoch from runs order by id`;
  const steps = await db.sql<StepRecord[]>`
    select run_id as "runId", name, kind, effect, status,
           (extract(epoch from finished_at) * 1000)::float8 as "finishedAtMs",
           (result ->> 'ok')::boolean as "isOk", (result ->> 'seen_input_sequence')::int as "seenInputSequence"
      from steps order by run_id, name`;
  const whole: SessionRecord[] = [];
  for (const session of sessions) {
    whole.push({ ...session, events: await readEventsAfter(db, ownLog(session.id), 0, EVENTS_MAX) });
  }
  return { sessions: whole, runs: [...runs], steps: [...steps] };
}

/** Runs that have not ended, and sessions in whose queue a message waits to become one. */
export async function openRuns({ sql }: Db): Promise<{ id: string; state: string }[]> {
  return sql<{ id: string; state: string }[]>`
    select id, state from runs where state in ('queued', 'running', 'waiting')
    union all
    select id, queue_length || ' in its queue' from sessions where queue_length > 0 order by id`;
}
