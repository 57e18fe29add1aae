/**
 * What operators do with runs: cancel one, take one up again that failed, say what became of a call that nobody knows
 * the outcome of. Rare and not in a hurry, so each is a transaction that locks the session's row first.
 *
 * A retry is a turn of its own. It begins with copies of the failed run's steps, so that nothing that is settled is
 * done twice; copies carry no usage, for what they cost was counted once. `lease_epoch` begins at 1: a run under its
 * first epoch is taken for one that has no steps.
 */
import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText } from "../base/json.ts";
import type { Message } from "../contract/message.ts";
import type { RunStatus } from "../contract/run.ts";
import { type Cancelled, cancelTurn } from "./cancel.ts";
import type { Db, TransactionSql } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";
import { transaction } from "./tx.ts";

export interface RunRef {
  organizationId: string;
  runId: string;
}

/** @returns null when there is no such run */
async function sessionOfRun(
  { sql }: Db,
  ref: RunRef,
): Promise<{ sessionId: string; state: RunStatus } | null> {
  const rows = await sql<{ session_id: string; state: RunStatus }[]>`
    select r.session_id, r.state
      from runs r join sessions s on s.id = r.session_id and s.deleted_at is null
     where r.id = ${ref.runId} and r.organization_id = ${ref.organizationId}`;
  const row = rows[0];
  return row ? { sessionId: row.session_id, state: row.state } : null;
}

/** `no_op`: the run has ended. */
export async function cancelRun(
  db: Db,
  ref: RunRef & { reason: string; now: Date },
): Promise<Cancelled & { sessionId?: string; state?: RunStatus }> {
  const run = await sessionOfRun(db, ref);
  if (!run) return { outcome: "not_found" };
  const { organizationId, reason, now } = ref;
  const cancelled = await cancelTurn(db, {
    organizationId,
    sessionId: run.sessionId,
    turnId: ref.runId,
    reason,
    now,
  });
  return { ...cancelled, ...run };
}

export type Retried =
  | { outcome: "not_found" }
  | { outcome: "not_retryable"; state: RunStatus }
  | { outcome: "busy"; turnId: string }
  /** The conversation has gone on since: what the run would go on from is not its end any more. */
  | { outcome: "superseded"; turnId: string }
  | { outcome: "retried"; turnId: string; sessionId: string };

/** Takes up a failed or sealed run from its last checkpoint, as a turn of its own. */
export async function retryRun(db: Db, ref: RunRef): Promise<Retried> {
  const found = await sessionOfRun(db, ref);
  if (!found) return { outcome: "not_found" };
  const { sessionId } = found;
  return transaction(db, async (sql): Promise<Retried> => {
    const session = await lockSession(sql, ref.organizationId, sessionId);
    if (!session) return { outcome: "not_found" };
    const [run] = await sql<{ state: RunStatus; newer_id: string | null }[]>`
      select r.state,
             (select n.id from runs n
               where n.session_id = r.session_id
                 and (n.input_sequence > r.input_sequence or n.retried_run_id = r.id)
               order by n.input_sequence desc, n.queued_at desc limit 1) as newer_id
        from runs r where r.id = ${ref.runId}`;
    if (!run) return { outcome: "not_found" };
    if (run.state !== "failed" && run.state !== "sealed")
      return { outcome: "not_retryable", state: run.state };
    if (session.active_run_id !== null) return { outcome: "busy", turnId: session.active_run_id };
    if (run.newer_id !== null) return { outcome: "superseded", turnId: run.newer_id };
    const turnId = newId("turn");
    await sql`
      with run as (
        insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, controls,
                          priority, iterations, lease_epoch, retried_run_id)
        select ${turnId}, organization_id, session_id, agent_id, input_message_id, input_sequence, controls, priority,
               iterations, 1, id
          from runs where id = ${ref.runId}
        returning id, session_id, input_message_id
      ), copied as (
        insert into steps (run_id, name, kind, tool_name, effect, status, attempt, result, error, started_at,
                           finished_at, origin_run_id, settlement)
        select ${turnId}, name, kind, tool_name, effect, status, attempt, result, error, started_at, finished_at,
               coalesce(origin_run_id, run_id), settlement
          from steps where run_id = ${ref.runId}
      ), activated as (
        update sessions
           set last_sequence = last_sequence + 1, active_run_id = ${turnId}, status = 'active', updated_at = now()
         where id = ${sessionId}
      )
      insert into events (session_id, sequence, id, type, context, data)
      select session_id, ${session.last_sequence + 1}::bigint,
             ${newEventIdHead()} || lpad(to_hex(${session.last_sequence + 1}::bigint), 10, '0'), 'session.activated',
             jsonb_build_object('turn_id', id, 'input_message_id', input_message_id, 'trace_id', id),
             jsonb_build_object('turn_id', id, 'input_message_id', input_message_id)
        from run`;
    return { outcome: "retried", turnId, sessionId };
  }).catch((error) => {
    throw asRetryable(error);
  });
}

export const SETTLEMENTS = ["done", "retry", "abort"] as const;
export type SettlementOutcome = (typeof SETTLEMENTS)[number];

export type StepSettled =
  | { outcome: "not_found" }
  | { outcome: "no_such_step" }
  | { outcome: "not_unknown"; status: string }
  | { outcome: "busy"; turnId: string }
  /** `turnId`: the turn that runs the call again; null when there is none. */
  | { outcome: "settled"; sessionId: string; turnId: string | null };

interface UnknownCall {
  status: string;
  tool_name: string;
  /** The answer that made the call. */
  reason: { message_id: string; tool_calls: { id: string }[] } | null;
  origin: string | null;
}

/**
 * Settles a call whose outcome is unknown. The model was told that it is, so the decision comes to it as a message:
 * a turn that is under way reads it at its next model call, else the next turn does. `retry` needs a session at rest:
 * a turn of its own runs this one call again, under its first key, and the model reads the result in its place.
 *
 * @param input.step  the step's name, `tool:<tool_call_id>`
 * @param input.note  what the model is told
 */
export async function settleStep(
  db: Db,
  input: RunRef & {
    step: string;
    decision: SettlementOutcome;
    error: string | null;
    settledBy: string;
    note(toolName: string, callId: string): Message;
  },
): Promise<StepSettled> {
  const found = await sessionOfRun(db, input);
  if (!found) return { outcome: "not_found" };
  const { sessionId } = found;
  const callId = input.step.slice("tool:".length);
  return transaction(db, async (sql): Promise<StepSettled> => {
    const session = await lockSession(sql, input.organizationId, sessionId);
    if (!session) return { outcome: "not_found" };
    const [call] = await sql<UnknownCall[]>`
      select s.status, s.tool_name, r.result as reason, coalesce(r.origin_run_id, r.run_id) as origin
        from steps s
        left join steps r on r.run_id = s.run_id and r.kind = 'reason'
                         and r.result -> 'tool_calls' @> ${JSON.stringify([{ id: callId }])}::text::jsonb
       where s.run_id = ${input.runId} and s.name = ${input.step} and s.kind = 'tool'
         for no key update of s`;
    if (!call) return { outcome: "no_such_step" };
    if (call.status !== "unknown") return { outcome: "not_unknown", status: call.status };
    const isRetry = input.decision === "retry";
    if (isRetry && session.active_run_id !== null) return { outcome: "busy", turnId: session.active_run_id };

    await sql`
      update steps
         set status = 'settled', result = jsonb_build_object('ok', ${input.decision === "done"}::boolean),
             error = ${input.decision === "done" ? null : (input.error ?? null)}, finished_at = now(),
             settlement = jsonb_build_object('outcome', ${input.decision}::text, 'settled_by', ${input.settledBy}::text,
                                             'settled_at', now())
       where run_id = ${input.runId} and name = ${input.step}`;
    const message = input.note(call.tool_name, callId);
    const turnId = isRetry ? newId("turn") : null;
    const sequence = session.last_sequence + 1;
    const about = turnId ?? session.active_run_id;
    await sql`
      with told as (
        update sessions
           set last_sequence = ${sequence + (isRetry ? 1 : 0)}, last_input_sequence = ${sequence},
               active_run_id = coalesce(${turnId}, active_run_id),
               status = case when ${isRetry}::boolean then 'active' else status end, updated_at = now()
         where id = ${sessionId}
      )
      insert into events (session_id, sequence, id, type, context, data)
      values (${sessionId}, ${sequence}, ${newEventIdHead()} || lpad(to_hex(${sequence}::bigint), 10, '0'), 'input.message',
              ${toJsonText(about === null ? {} : contextOf(about, message.id))}::text::jsonb,
              ${toJsonText({ message })}::text::jsonb)`;
    if (turnId !== null) {
      if (call.reason === null) throw new Error(`${input.runId} ${input.step}: no answer made this call`);
      await beginRepeat(sql, { ...input, sessionId, turnId, message, sequence, call, callId });
    }
    return { outcome: "settled", sessionId, turnId };
  }).catch((error) => {
    throw asRetryable(error);
  });
}

/** A run whose one stored step is an answer that makes this one call: so the worker goes on with the call. */
async function beginRepeat(
  sql: TransactionSql,
  repeat: RunRef & {
    sessionId: string;
    turnId: string;
    message: Message;
    sequence: number;
    call: UnknownCall;
    callId: string;
  },
): Promise<void> {
  const { turnId, sequence, message, call } = repeat;
  const answer = {
    ...call.reason,
    iteration: 0,
    seen_input_sequence: sequence,
    tool_calls: call.reason?.tool_calls.filter((one) => one.id === repeat.callId) ?? [],
  };
  await sql`
    insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, controls, priority,
                      lease_epoch, retried_run_id)
    select ${turnId}, organization_id, session_id, agent_id, ${message.id}, ${sequence}, controls, priority, 1, id
      from runs where id = ${repeat.runId}`;
  await sql`
    insert into steps (run_id, name, kind, status, attempt, result, started_at, finished_at, origin_run_id)
    values (${turnId}, 'reason:0', 'reason', 'settled', 0, ${toJsonText(answer)}::text::jsonb, now(), now(),
            ${call.origin})`;
  await sql`
    insert into events (session_id, sequence, id, type, context, data)
    values (${repeat.sessionId}, ${sequence + 1}, ${newEventIdHead()} || lpad(to_hex(${sequence + 1}::bigint), 10, '0'),
            'session.activated', ${toJsonText(contextOf(turnId, message.id))}::text::jsonb,
            ${toJsonText({ turn_id: turnId, input_message_id: message.id })}::text::jsonb)`;
}

async function lockSession(sql: TransactionSql, organizationId: string, sessionId: string) {
  const rows = await sql<{ active_run_id: string | null; last_sequence: number }[]>`
    select active_run_id, last_sequence from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null
       for no key update`;
  return rows[0] ?? null;
}

function contextOf(turnId: string, messageId: string) {
  return { turn_id: turnId, input_message_id: messageId, trace_id: turnId };
}
