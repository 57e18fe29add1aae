/**
 * Firing. One transaction locks the schedule, sees that the due time is still its next one, accepts the message,
 * writes the execution and moves the schedule on: whatever dies when, a due time is fired once or is still due.
 *
 * Lock order: schedule, then session, then run.
 */
import { newEventIdHead, newId } from "../../base/id.ts";
import { preview, toJsonText } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import { type Accepted, acceptMessageIn } from "../accept.ts";
import type { Db, TransactionSql } from "../pool.ts";
import { asRetryable, isUniqueViolation } from "../sqlstate.ts";
import { transaction } from "../tx.ts";
import { openAgentSession } from "./agent-session.ts";
import { SCHEDULE_COLUMNS, type ScheduleRow } from "./schedules.ts";

/** Schedules that are due by the database's clock, the longest overdue first, and what time it is there. */
export async function dueSchedules(
  { sql }: Db,
  limit: number,
): Promise<{ now: Date; schedules: ScheduleRow[] }> {
  const rows = await sql<(ScheduleRow & { now: Date })[]>`
    select ${sql(SCHEDULE_COLUMNS)}, now() as now
      from schedules
     where next_trigger_at <= now()
     order by next_trigger_at
     limit ${limit}`;
  return { now: rows[0]?.now ?? new Date(0), schedules: rows.map(({ now: _, ...row }) => row) };
}

export interface Firing {
  schedule: ScheduleRow;
  dueAt: Date;
  /** Somebody asked for it: the schedule's own times stay as they are. */
  isManual: boolean;
  /** When it is due again; null never. */
  nextAt: Date | null;
  /** Why nothing is to be sent; null sends. */
  skip: string | null;
}

export type Fired =
  /** Somebody else was faster, or the schedule was changed: nothing was written. */
  | { outcome: "stale" }
  | { outcome: "skipped" | "failed"; executionId: string; error: string }
  | { outcome: "fired"; executionId: string; sessionId: string; isQueued: boolean };

/** @throws RetryableError the database could not be reached: it may or may not have been fired, and is not fired twice */
export async function fireSchedule(db: Db, firing: Firing): Promise<Fired> {
  const { schedule } = firing;
  try {
    const executionId = newId("sexec");
    const target = firing.skip === null ? await openTarget(db, firing, executionId) : null;
    return await transaction(db, (sql) => fireIn(sql, firing, executionId, target));
  } catch (error) {
    // Its time was set back to one that was fired already: there is nothing to be done for it any more.
    if (isUniqueViolation(error)) return moveOn(db, schedule, firing);
    throw asRetryable(error);
  }
}

type Target = { sessionId: string } | { error: string };

/** The session that is written to. One of an agent's is made first, under an id that a repetition comes to as well. */
async function openTarget(
  db: Db,
  { schedule, dueAt, isManual }: Firing,
  executionId: string,
): Promise<Target> {
  const { name, input } = schedule.target;
  if (name === "session.run") return { sessionId: String(input.session_id) };
  const sessionId = `session_${hexOf(isManual ? executionId : `${schedule.id} ${dueAt.toISOString()}`)}`;
  const opened = await openAgentSession(db, {
    organizationId: schedule.organization_id,
    sessionId,
    agentId: String(input.agent_id),
    title: typeof input.title === "string" ? input.title : schedule.name,
    ownerId: schedule.owner_principal_id,
  });
  return opened.outcome === "ready" ? { sessionId } : { error: opened.why };
}

function hexOf(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex").slice(0, 32);
}

async function fireIn(
  sql: TransactionSql,
  firing: Firing,
  executionId: string,
  target: Target | null,
): Promise<Fired> {
  const { schedule, dueAt, isManual } = firing;
  const held = await sql`
    select id from schedules
     where id = ${schedule.id} and (${isManual} or next_trigger_at = ${schedule.next_trigger_at})
       for no key update ${isManual ? sql`` : sql`skip locked`}`;
  if (held.length === 0) return { outcome: "stale" };
  const sent = await send(sql, firing, executionId, target);
  const status = "error" in sent ? sent.outcome : "running";
  await sql`
    insert into schedule_executions (id, schedule_id, organization_id, scheduled_at, is_manual, status, session_id,
                                     turn_id, error, completed_at)
    values (${executionId}, ${schedule.id}, ${schedule.organization_id}, ${dueAt}, ${isManual}, ${status},
            ${"error" in sent ? null : sent.sessionId}, ${"error" in sent ? null : sent.turnId},
            ${"error" in sent ? sent.error : null}, case when ${status} <> 'running' then clock_timestamp() end)`;
  // A session that is gone does not come back: its schedule has nothing to do any more.
  const isOver = sent.outcome === "failed" && sent.isTargetGone && schedule.session_id !== null;
  await sql`
    update schedules
       set ${isManual && !isOver ? sql`` : sql`next_trigger_at = ${isOver ? null : firing.nextAt},`}
           enabled = enabled and not ${isOver || (!isManual && firing.nextAt === null)},
           last_triggered_at = case when ${sent.outcome === "fired"} then now() else last_triggered_at end,
           trigger_count = trigger_count + ${sent.outcome === "fired" ? 1 : 0}
     where id = ${schedule.id}`;
  await sql`
    delete from schedule_executions
     where id in (select id from schedule_executions
                   where schedule_id = ${schedule.id} and status <> 'running'
                   order by scheduled_at desc, id desc offset ${limits.scheduleExecutionsKept} limit 100)`;
  if (sent.outcome === "fired") {
    return { outcome: "fired", executionId, sessionId: sent.sessionId, isQueued: sent.isQueued };
  }
  return { outcome: sent.outcome, executionId, error: sent.error };
}

type Sent =
  | { outcome: "fired"; sessionId: string; turnId: string; isQueued: boolean }
  | { outcome: "failed"; error: string; isTargetGone: boolean }
  | { outcome: "skipped"; error: string };

async function send(
  sql: TransactionSql,
  firing: Firing,
  executionId: string,
  target: Target | null,
): Promise<Sent> {
  const { schedule, skip } = firing;
  if (skip !== null || target === null) return { outcome: "skipped", error: skip ?? "" };
  if ("error" in target) return { outcome: "failed", error: target.error, isTargetGone: false };
  if (schedule.max_concurrent !== null) {
    const [row] = await sql<{ running: number }[]>`
      select count(*) as running from schedule_executions
       where schedule_id = ${schedule.id} and status = 'running'`;
    if ((row?.running ?? 0) >= schedule.max_concurrent) {
      return { outcome: "skipped", error: `${row?.running} executions are still under way` };
    }
  }
  const { sessionId } = target;
  if (!(await announce(sql, schedule, sessionId))) {
    return { outcome: "failed", error: "its session does not exist any more", isTargetGone: true };
  }
  const accepted = await acceptMessageIn(sql, messageOf(firing, executionId, sessionId));
  if (accepted.outcome === "not_found" || accepted.outcome === "busy") {
    throw new Error(`${sessionId}: a session that is locked was ${accepted.outcome}`);
  }
  if (accepted.outcome === "queue_full") {
    return { outcome: "failed", error: "too many messages wait in its session", isTargetGone: false };
  }
  return { outcome: "fired", sessionId, turnId: accepted.turnId, isQueued: isReady(accepted) };
}

/** A run may be claimed. */
const isReady = (accepted: Accepted) =>
  accepted.outcome === "started" || (accepted.outcome === "queued" && accepted.isPromoted);

/** @returns false when there is no such session */
async function announce(sql: TransactionSql, schedule: ScheduleRow, sessionId: string): Promise<boolean> {
  const data = { schedule_id: schedule.id, description: textOf(schedule) };
  const rows = await sql`
    with session as (
      update sessions set last_sequence = last_sequence + 1
       where id = ${sessionId} and organization_id = ${schedule.organization_id} and deleted_at is null
      returning id, last_sequence
    )
    insert into events (session_id, sequence, id, type, data)
    select id, last_sequence, ${newEventIdHead()} || lpad(to_hex(last_sequence), 10, '0'), 'schedule.triggered',
           ${toJsonText(data)}::text::jsonb
      from session
    returning session_id`;
  return rows.length > 0;
}

function textOf({ target, description, name }: ScheduleRow): string {
  const { message } = target.input;
  return (typeof message === "string" ? message : null) ?? description ?? name ?? "";
}

function messageOf({ schedule, dueAt }: Firing, executionId: string, sessionId: string) {
  const text = textOf(schedule);
  return {
    organizationId: schedule.organization_id,
    sessionId,
    message: {
      id: newId("message"),
      role: "user" as const,
      content: [{ type: "text" as const, text }],
      created_at: new Date().toISOString(),
      metadata: {
        source: "schedule",
        schedule_id: schedule.id,
        schedule_execution_id: executionId,
        scheduled_at: dueAt.toISOString(),
      },
    },
    controls: null,
    metadata: null,
    tags: null,
    clientMessageId: null,
    // A turn of its own, behind what the session works on.
    delivery: "queue" as const,
    priority: 0,
    preview: preview(text, limits.previewChars),
  };
}

async function moveOn({ sql }: Db, schedule: ScheduleRow, { nextAt }: Firing): Promise<Fired> {
  await sql`
    update schedules set next_trigger_at = ${nextAt}, enabled = enabled and ${nextAt !== null}
     where id = ${schedule.id} and next_trigger_at = ${schedule.next_trigger_at}`;
  return { outcome: "stale" };
}
