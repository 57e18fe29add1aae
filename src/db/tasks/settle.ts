/**
 * What becomes of tasks: they end with the turn that does them, and the call that waits for one is settled with what
 * came of it. Each step may be taken by any worker, any number of times.
 *
 * A task is ended under the lock of the session that handed it out, like everything that is written into its log.
 */
import { newEventIdHead } from "../../base/id.ts";
import { preview, toJsonText } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import { type Message, textOf } from "../../contract/message.ts";
import type { RunStatus } from "../../contract/run.ts";
import type { SessionTask } from "../../contract/task.ts";
import { cancelTurn } from "../cancel.ts";
import type { Db } from "../pool.ts";
import { type SettledRun, settledWith, settleWaits } from "../waits.ts";
import { TASK_COLUMNS, type TaskRow, taskToWire } from "./tasks.ts";

/** Whether there is anything to look after: asked several times a second, and answered from two small indexes. */
export async function hasOpenTasks({ sql }: Db): Promise<boolean> {
  const rows = await sql<{ is_any: boolean }[]>`
    select exists (select from session_tasks where finished_at is null)
        or exists (select from waits where kind = 'subagent' and status = 'pending') as is_any`;
  return rows[0]?.is_any ?? false;
}

interface EndedChild {
  task: TaskRow;
  state: RunStatus | null;
  error: string | null;
  finished_at: Date | null;
}

/** Ends tasks whose turn has ended. @returns those that this call ended */
export async function endTasks(db: Db, limit: number): Promise<TaskRow[]> {
  const { sql } = db;
  const rows = await sql<
    (TaskRow & { run_state: RunStatus | null; run_error: string | null; run_end: Date | null })[]
  >`
    select ${sql(TASK_COLUMNS.map((name) => `t.${name}`))}, r.state as run_state,
           coalesce(r.error, r.error_code) as run_error, r.finished_at as run_end
      from session_tasks t left join runs r on r.id = t.child_run_id
     where t.finished_at is null and (r.id is null or r.finished_at is not null)
     order by t.id
     limit ${limit}`;
  const ended: TaskRow[] = [];
  for (const { run_state, run_error, run_end, ...task } of rows) {
    const one = await endTask(db, { task, state: run_state, error: run_error, finished_at: run_end });
    if (one !== null) ended.push(one);
  }
  return ended;
}

async function endTask(db: Db, child: EndedChild): Promise<TaskRow | null> {
  const { sql } = db;
  const task = await endedRow(db, child);
  const data: { task: SessionTask } = { task: taskToWire(task) };
  const type = `task.${task.state}`;
  const webhook = toJsonText({ type, timestamp: task.updated_at.toISOString(), data });
  const rows = await sql`
    with session as materialized (
      select id, last_sequence from sessions where id = ${task.session_id} for no key update
    ), ended as (
      update session_tasks
         set state = ${task.state}, summary = ${task.summary},
             error = ${task.error === null ? null : toJsonText(task.error)}::text::jsonb,
             finished_at = ${task.finished_at}, updated_at = ${task.updated_at}
       where id = ${task.id} and finished_at is null and exists (select from session)
      returning session_id
    ), told as (
      insert into webhook_deliveries (id, webhook_id, organization_id, body)
      select 'msg_' || replace(gen_random_uuid()::text, '-', ''), w.id, w.organization_id, ${webhook}
        from ended, task_webhooks w
       where w.organization_id = ${task.organization_id} and w.enabled
    ), counted as (
      update sessions set last_sequence = sessions.last_sequence + 1 from ended where sessions.id = ended.session_id
    )
    insert into events (session_id, sequence, id, type, context, data)
    select session.id, session.last_sequence + 1,
           ${newEventIdHead()} || lpad(to_hex(session.last_sequence + 1), 10, '0'), 'task.updated',
           jsonb_build_object('turn_id', ${task.run_id}::text, 'trace_id', ${task.run_id}::text),
           ${toJsonText(data)}::text::jsonb
      from session join ended on ended.session_id = session.id
    returning session_id`;
  return rows.length > 0 ? task : null;
}

async function endedRow(db: Db, { task, state, error, finished_at }: EndedChild): Promise<TaskRow> {
  const at = finished_at ?? new Date();
  const row: TaskRow = { ...task, finished_at: at, updated_at: at, state: "failed" };
  if (state === "completed") {
    const text = await finalText(db, task);
    return { ...row, state: "succeeded", summary: preview(text, limits.previewChars) };
  }
  if (state === "failed" || state === "sealed") {
    return { ...row, error: { kind: state, message: error ?? "its turn ended without an answer" } };
  }
  return {
    ...row,
    state: "canceled",
    ...(state === null ? { error: { kind: "gone", message: "its session is gone" } } : {}),
  };
}

/** Four bytes a character at most, so that it fits a tool's result. */
function cutAt(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  return `${text.slice(0, charsMax).toWellFormed()}\n[… ${text.length - charsMax} characters left out]`;
}

/** What a call that waited for the task reads. */
export async function resultOf(db: Db, task: TaskRow): Promise<{ ok: boolean; text: string }> {
  if (task.state === "succeeded") return { ok: true, text: await finalText(db, task) };
  const why = task.error === null ? "" : `: ${task.error.message}`;
  return { ok: false, text: `The subagent's work was ${task.state}${why}.` };
}

async function finalText({ sql }: Db, task: TaskRow): Promise<string> {
  const rows = await sql<{ message: Message }[]>`
    select e.data -> 'message' as message
      from runs r join events e on e.session_id = r.session_id and e.sequence > r.input_sequence
     where r.id = ${task.child_run_id} and e.type = 'output.message.completed'
       and e.data #>> '{message,id}' = r.final_message_id
     limit 1`;
  const message = rows[0]?.message;
  return message === undefined ? "" : textOf(message.content);
}

/** Settles the calls that wait for tasks that have ended. */
export async function settleTaskWaits(db: Db, limit: number): Promise<SettledRun[]> {
  const { sql } = db;
  const rows = await sql<TaskRow[]>`
    select ${sql(TASK_COLUMNS.map((name) => `t.${name}`))}
      from waits w join session_tasks t on t.run_id = w.run_id and t.tool_call_id = w.tool_call_id
     where w.kind = 'subagent' and w.status = 'pending' and t.finished_at is not null
     limit ${limit}`;
  const settlements = [];
  for (const task of rows) {
    const { ok, text } = await resultOf(db, task);
    const wait = {
      runId: task.run_id,
      sessionId: task.session_id,
      kind: "subagent" as const,
      toolCallId: task.tool_call_id,
    };
    const cut = cutAt(text, limits.toolResultBytesMax / 4);
    settlements.push(
      settledWith(wait, "settled", ok ? { ok, text: cut } : { ok: false, status: "error", error: cut }),
    );
  }
  return await settleWaits(sql, settlements);
}

/**
 * Cancels the turns of tasks that nobody waits for any more: their cancellation was asked for, the turn that handed
 * them out has ended, or its wait has.
 *
 * @param onlyTaskId  looks at this one alone; null at all
 * @returns the turns that were cancelled
 */
export async function cancelAbandonedTasks(
  db: Db,
  limit: number,
  now: Date,
  onlyTaskId: string | null = null,
): Promise<string[]> {
  const { sql } = db;
  const rows = await sql<
    { organization_id: string; child_session_id: string; child_run_id: string; why: string }[]
  >`
    select t.organization_id, t.child_session_id, t.child_run_id,
           case when t.cancel_requested_at is not null then 'the task was cancelled'
                else 'nobody waits for the task any more' end as why
      from session_tasks t
      join runs child on child.id = t.child_run_id and child.finished_at is null
      left join runs parent on parent.id = t.run_id
      left join waits w on w.run_id = t.run_id and w.tool_call_id = t.tool_call_id and w.kind = 'subagent'
     where t.finished_at is null and (${onlyTaskId}::text is null or t.id = ${onlyTaskId})
       and (t.cancel_requested_at is not null or parent.id is null or parent.finished_at is not null
            or w.status in ('expired', 'cancelled'))
     limit ${limit}`;
  const cancelled: string[] = [];
  for (const row of rows) {
    const done = await cancelTurn(db, {
      organizationId: row.organization_id,
      sessionId: row.child_session_id,
      turnId: row.child_run_id,
      reason: row.why,
      now,
    });
    if (done.outcome === "cancelled") cancelled.push(row.child_run_id);
  }
  return cancelled;
}
