/**
 * The other side of parking: what comes from outside settles waits, and the last of them sends the run back to the
 * queue. One statement marks the waits, stores the calls' results as steps and events (`tool.completed`, and
 * `act.completed` when nothing of the act is left to do), and requeues the run, so that the resumed run finds every
 * call settled (I8).
 *
 * The statement locks the session row, the run row and the run's pending rows in this order, and decides from what it
 * then sees. Rows that a parking wrote while it waited for the lock it does not see: it settles nothing then, and the
 * caller looks again.
 */
import { newEventIdHead } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import type { ApprovalDecision } from "../contract/approval.ts";
import { sessionStatus, type WaitKind, waitingOn } from "./park.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
import type { SessionRow } from "./session-rows.ts";
import { asRetryable } from "./sqlstate.ts";

export interface WaitRef {
  runId: string;
  sessionId: string;
  kind: WaitKind;
  toolCallId: string;
}

/** What becomes of one wait. */
export interface Settlement {
  wait: WaitRef;
  status: "settled" | "expired" | "cancelled";
  /**
   * The call's result, for the model to read; null when the wait ends without one: the worker goes on with the call
   * (an approval that was given), or there is no call.
   */
  result: CallResult | null;
  /** Told to whoever watches when there is no result; null says nothing. */
  progress: string | null;
  decision: ApprovalDecision | null;
  decidedBy: string | null;
  /** What the call runs with instead of its own arguments; null leaves them. */
  editedArguments: Record<string, unknown> | null;
  comment: string | null;
}

export type CallResult =
  | { ok: true; text: string }
  | { ok: false; status: "error" | "timeout" | "cancelled"; error: string };

/** A settlement that is nothing but a result. */
export function settledWith(wait: WaitRef, status: Settlement["status"], result: CallResult): Settlement {
  return {
    wait,
    status,
    result,
    progress: null,
    decision: null,
    decidedBy: null,
    editedArguments: null,
    comment: null,
  };
}

export interface SettledRun {
  runId: string;
  sessionId: string;
  /** Of the waits asked for, those that were still pending and are settled now. */
  toolCallIds: string[];
  /** True: nothing is left to wait for, and the run is queued again. The caller publishes that. */
  isResumed: boolean;
  /** The session's afterwards. */
  sessionStatus: SessionRow["status"];
}

/**
 * Settles waits, of any number of sessions. A wait that is not pending any more is left out.
 *
 * @param options.onlyDue  leaves out what is not yet due, and sessions that another statement is busy with
 * @throws RetryableError the database could not be reached
 */
export async function settleWaits(
  sql: Sql | TransactionSql,
  settlements: readonly Settlement[],
  options: { onlyDue?: boolean } = {},
): Promise<SettledRun[]> {
  if (settlements.length === 0) return [];
  const onlyDue = options.onlyDue ?? false;
  const each = <T>(pick: (settlement: Settlement) => T) => settlements.map(pick);
  const rows = await sql<
    {
      run_id: string;
      session_id: string;
      tool_call_ids: string[];
      is_resumed: boolean;
      session_status: SettledRun["sessionStatus"];
    }[]
  >`
    with input as materialized (
      select * from unnest(
        ${each((s) => s.wait.runId)}::text[], ${each((s) => s.wait.kind)}::text[],
        ${each((s) => s.wait.toolCallId)}::text[], ${each((s) => s.status)}::text[],
        ${each((s) => s.decision)}::text[], ${each((s) => s.decidedBy)}::text[],
        ${each((s) => (s.editedArguments === null ? null : toJsonText(s.editedArguments)))}::text[],
        ${each((s) => orNull(s.comment))}::text[],
        ${each((s) => (s.result === null ? null : s.result.ok ? 1 : 0))}::int[],
        ${each((s) => (s.result === null || s.result.ok ? null : wellFormed(s.result.error)))}::text[],
        ${each(eventTypeOf)}::text[], ${each((s) => toJsonText(eventDataOf(s)))}::text[],
        ${each(() => newEventIdHead())}::text[], ${each(() => newEventIdHead())}::text[]
      ) with ordinality as i(run_id, kind, tool_call_id, status, decision, decided_by, edited, comment, ok, error,
                             event_type, data, head, act_head, place)
    ), session as materialized (
      select id, last_sequence
        from sessions
       where id = any (${[...new Set(each((s) => s.wait.sessionId))]}::text[]) and deleted_at is null
       order by id
         for no key update ${onlyDue ? sql`skip locked` : sql``}
    ), run as materialized (
      select r.id, r.session_id, r.input_message_id, r.attempt, r.parked, session.last_sequence
        from session join runs r on r.session_id = session.id
       where r.state = 'waiting'
       order by r.id
         for no key update of r
    ), pending as materialized (
      select w.run_id, w.kind, w.tool_call_id, w.tool_name, w.effect, w.tool_fields, w.requested_at, w.expires_at
        from run join waits w on w.run_id = run.id
       where w.status = 'pending'
       order by w.run_id, w.kind, w.tool_call_id
         for no key update of w
    ), hit as materialized (
      select p.run_id, p.kind, p.tool_call_id, p.tool_name, p.effect, p.tool_fields, p.requested_at,
             i.status, i.decision, i.decided_by, i.edited, i.comment, i.ok, i.error, i.event_type, i.data, i.head,
             i.act_head,
             count(i.event_type) over (partition by p.run_id order by i.place) as place
        from pending p join input i on i.run_id = p.run_id and i.kind = p.kind and i.tool_call_id = p.tool_call_id
       where not ${onlyDue} or p.expires_at <= now()
    ), tally as materialized (
      select run.id as run_id, run.session_id, run.input_message_id, run.attempt, run.last_sequence, run.parked,
             hits.tool_call_ids, hits.event_count, hits.act_head, hits.elapsed_ms,
             coalesce((run.parked ->> 'succeeded')::int, 0) + hits.succeeded as succeeded,
             coalesce((run.parked ->> 'failed')::int, 0) + hits.failed as failed,
             coalesce((run.parked ->> 'open')::int, 0) + hits.released as open,
             rest.left_count, rest.waiting_on, rest.session_status
        from run
        join (select run_id, array_agg(tool_call_id order by place) as tool_call_ids,
                     count(event_type)::int as event_count, max(act_head) as act_head,
                     count(*) filter (where ok = 1)::int as succeeded, count(*) filter (where ok = 0)::int as failed,
                     count(*) filter (where ok is null)::int as released,
                     extract(epoch from now() - min(requested_at)) * 1000 as elapsed_ms
                from hit group by run_id) hits on hits.run_id = run.id
        cross join lateral (
          select count(*) as left_count, ${waitingOn(sql)} as waiting_on, ${sessionStatus(sql)} as session_status
            from pending p
           where p.run_id = run.id
             and not exists (select from hit h
                              where h.run_id = p.run_id and h.kind = p.kind and h.tool_call_id = p.tool_call_id)
        ) rest
    ), woken as materialized (
      select tally.*, left_count = 0 as is_resumed, parked is not null and left_count = 0 and open = 0 as is_act_completed
        from tally
    ), marked as (
      update waits w
         set status = hit.status, decided_at = now(), decided_by = hit.decided_by, decision = hit.decision,
             edited_arguments = hit.edited::jsonb, comment = hit.comment
        from hit
       where w.run_id = hit.run_id and w.kind = hit.kind and w.tool_call_id = hit.tool_call_id
    ), stored as (
      insert into steps (run_id, name, kind, tool_name, effect, status, attempt, result, error, started_at, finished_at)
      select hit.run_id, 'tool:' || hit.tool_call_id, 'tool', hit.tool_name, hit.effect, 'settled', woken.attempt,
             jsonb_build_object('ok', hit.ok = 1), hit.error, hit.requested_at, now()
        from hit join woken on woken.run_id = hit.run_id
       where hit.ok is not null
      on conflict (run_id, name) do update
         set status = excluded.status, result = excluded.result, error = excluded.error,
             finished_at = excluded.finished_at
       where steps.status = 'pending'
    ), advanced as (
      update sessions s
         set last_sequence = s.last_sequence + woken.event_count + case when woken.is_act_completed then 1 else 0 end,
             status = case when woken.is_resumed then 'active' else woken.session_status end, updated_at = now()
        from woken where s.id = woken.session_id
    ), queued as (
      update runs r
         set state = case when woken.is_resumed then 'queued' else r.state end,
             waiting_on = case when woken.is_resumed then null else woken.waiting_on end,
             available_at = case when woken.is_resumed then now() else r.available_at end,
             takeovers = 0, retries = 0,
             parked = case when woken.is_resumed or woken.parked is null then null
                           else woken.parked || jsonb_build_object('succeeded', woken.succeeded,
                                                                   'failed', woken.failed, 'open', woken.open) end
        from woken where r.id = woken.run_id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select woken.session_id, woken.last_sequence + hit.place,
             hit.head || lpad(to_hex(woken.last_sequence + hit.place), 10, '0'), hit.event_type,
             jsonb_build_object('turn_id', woken.run_id, 'input_message_id', woken.input_message_id,
                                'trace_id', woken.run_id),
             jsonb_build_object('tool_call_id', hit.tool_call_id, 'tool_name', hit.tool_name)
               || case when hit.event_type = 'tool.completed'
                       then hit.tool_fields || jsonb_build_object(
                              'duration_ms', round(extract(epoch from now() - hit.requested_at) * 1000))
                       else '{}'::jsonb end
               || hit.data::jsonb
        from woken join hit on hit.run_id = woken.run_id
       where hit.event_type is not null
      union all
      select session_id, last_sequence + event_count + 1,
             act_head || lpad(to_hex(last_sequence + event_count + 1), 10, '0'), 'act.completed',
             jsonb_build_object('turn_id', run_id, 'input_message_id', input_message_id, 'trace_id', run_id),
             jsonb_build_object('completed', true, 'success_count', succeeded, 'error_count', failed,
                                'duration_ms', round(coalesce((parked ->> 'elapsed_ms')::numeric, 0) + elapsed_ms))
        from woken where is_act_completed
    )
    select run_id, session_id, tool_call_ids, is_resumed,
           case when is_resumed then 'active' else session_status end as session_status
      from woken order by run_id`.catch((error) => {
    throw asRetryable(error);
  });
  return rows.map((row) => ({
    runId: row.run_id,
    sessionId: row.session_id,
    toolCallIds: row.tool_call_ids,
    isResumed: row.is_resumed,
    sessionStatus: row.session_status,
  }));
}

function eventTypeOf({ result, progress }: Settlement): "tool.completed" | "tool.progress" | null {
  if (result !== null) return "tool.completed";
  return progress === null ? null : "tool.progress";
}

/** Beside what the row itself tells: call, tool, duration. */
function eventDataOf({ result, progress }: Settlement): Record<string, unknown> {
  if (result === null) return progress === null ? {} : { message: progress };
  return result.ok
    ? { success: true, status: "success", result: [{ type: "text", text: result.text }] }
    : { success: false, status: result.status, error: result.error };
}

export const SENT_A_MESSAGE = "Cancelled because the user sent a message instead.";

/**
 * Ends what a session's run waits for because the user has sent a message: its calls are settled as cancelled and the
 * run is queued again. Waits for a subagent or a budget stay.
 *
 * For a transaction that has locked the session row, from a statement after the lock: an earlier snapshot may miss the
 * rows of a parking that has just committed.
 *
 * @returns null when the session's run waits for nothing that a message ends
 */
export async function cancelWaits(
  sql: Sql | TransactionSql,
  input: { organizationId: string; sessionId: string },
): Promise<SettledRun | null> {
  const waits = await sql<WaitRow[]>`
    select w.run_id, w.session_id, w.kind, w.tool_call_id
      from sessions s
      join runs r on r.id = s.active_run_id and r.state = 'waiting'
      join waits w on w.run_id = r.id
     where s.id = ${input.sessionId} and s.organization_id = ${input.organizationId} and s.deleted_at is null
       and w.status = 'pending' and w.kind in ('client_tool', 'approval', 'timer')
     order by w.requested_at, w.tool_call_id`;
  const cancelled: CallResult = { ok: false, status: "cancelled", error: SENT_A_MESSAGE };
  const [settled] = await settleWaits(
    sql,
    waits.map((row) => settledWith(toRef(row), "cancelled", cancelled)),
  );
  return settled ?? null;
}

export interface DueWait extends WaitRef {
  /** Length of the whole wait. */
  seconds: number;
}

/** Waits whose time is up, the longest overdue first. */
export async function dueWaits({ sql }: Db, limit: number): Promise<DueWait[]> {
  const rows = await sql<(WaitRow & { seconds: number })[]>`
    select run_id, session_id, kind, tool_call_id,
           round(extract(epoch from expires_at - requested_at))::int as seconds
      from waits
     where status = 'pending' and expires_at <= now()
     order by expires_at
     limit ${limit}`;
  return rows.map((row) => ({ ...toRef(row), seconds: row.seconds }));
}

/** Closes the given rows whose run has ended meanwhile: nobody waits for them any more. */
export async function closeOrphanedWaits({ sql }: Db, waits: readonly WaitRef[]): Promise<void> {
  if (waits.length === 0) return;
  await sql`
    update waits w set status = 'cancelled', decided_at = now()
      from runs r
     where w.run_id = any (${waits.map((wait) => wait.runId)}::text[]) and w.status = 'pending'
       and r.id = w.run_id and r.finished_at is not null`;
}

export interface GivenApproval {
  toolCallId: string;
  argumentsHash: string;
  /** null: as the model wrote them. */
  editedArguments: Record<string, unknown> | null;
}

/** The approvals that a run was given; those that were refused are steps already. */
export async function givenApprovals({ sql }: Db, runId: string): Promise<GivenApproval[]> {
  const rows = await sql<
    { tool_call_id: string; arguments_hash: string; edited_arguments: Record<string, unknown> | null }[]
  >`
    select tool_call_id, arguments_hash, edited_arguments
      from waits
     where run_id = ${runId} and kind = 'approval' and status = 'settled'
       and decision in ('allow', 'allow_always')`;
  return rows.map((row) => ({
    toolCallId: row.tool_call_id,
    argumentsHash: row.arguments_hash,
    editedArguments: row.edited_arguments,
  }));
}

/** The newest "always" decision of a session about each of these tools. */
export async function alwaysDecisions(
  { sql }: Db,
  sessionId: string,
  toolNames: readonly string[],
): Promise<Map<string, "allow_always" | "reject_always">> {
  const rows = await sql<{ tool_name: string; decision: "allow_always" | "reject_always" }[]>`
    select distinct on (tool_name) tool_name, decision
      from waits
     where session_id = ${sessionId} and tool_name = any (${[...new Set(toolNames)]}::text[])
       and decision in ('allow_always', 'reject_always')
     order by tool_name, decided_at desc`;
  return new Map(rows.map((row) => [row.tool_name, row.decision]));
}

export interface TurnWaits {
  /** The session's. */
  status: SessionRow["status"];
  /** The turn's waits of one kind: the pending ones, and those of the given calls whatever became of them. */
  waits: (WaitRef & { toolName: string; isPending: boolean })[];
}

/**
 * What the current turn of a session waits for.
 *
 * @param input.toolCallIds  calls that are looked up also when they are settled already
 * @returns null when there is no such session
 */
export async function waitsOfTurn(
  { sql }: Db,
  input: { organizationId: string; sessionId: string; kind: WaitKind; toolCallIds: readonly string[] },
): Promise<TurnWaits | null> {
  const rows = await sql<
    (WaitRow & { session_status: SessionRow["status"]; tool_name: string; is_pending: boolean })[]
  >`
    select s.status as session_status, w.run_id, w.session_id, w.kind, w.tool_call_id, w.tool_name,
           w.status = 'pending' and r.state = 'waiting' as is_pending
      from sessions s
      left join runs r on r.id = s.active_run_id
      left join waits w on w.run_id = r.id and w.kind = ${input.kind}
                       and (w.status = 'pending' or w.tool_call_id = any (${[...input.toolCallIds]}::text[]))
     where s.id = ${input.sessionId} and s.organization_id = ${input.organizationId} and s.deleted_at is null
     order by w.requested_at, w.tool_call_id`;
  const first = rows[0];
  if (!first) return null;
  return {
    status: first.session_status,
    waits: rows
      .filter((row) => row.run_id !== null)
      .map((row) => ({ ...toRef(row), toolName: row.tool_name, isPending: row.is_pending })),
  };
}

interface WaitRow {
  run_id: string;
  session_id: string;
  kind: WaitKind;
  tool_call_id: string;
}

function toRef(row: WaitRow): WaitRef {
  return { runId: row.run_id, sessionId: row.session_id, kind: row.kind, toolCallId: row.tool_call_id };
}

function orNull(text: string | null): string | null {
  return text === null ? null : wellFormed(text);
}
