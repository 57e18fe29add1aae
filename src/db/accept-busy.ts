/**
 * Acceptance where one statement does not see enough: the session works on a turn, and the message asks to wait for
 * its own, to take that turn's place, or finds that turn parked. A transaction locks the session's row first, so that
 * everything after it sees what the last holder of the lock wrote, in whatever table.
 */
import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import { limits } from "../contract/limits.ts";
import type { Accepted, AcceptInput, Attempt } from "./accept.ts";
import { cancelTurnWith } from "./cancel.ts";
import type { Db, TransactionSql } from "./pool.ts";
import { promoteNext } from "./queue.ts";
import { transaction } from "./tx.ts";
import { cancelWaits } from "./waits.ts";

/**
 * @param tryOnce  the statement of `accept.ts`, which decides whatever it can: the session may have come to rest, and
 *                 the message may have been sent before
 */
export function acceptBusy(db: Db, input: AcceptInput, tryOnce: TryOnce): Promise<Accepted> {
  return transaction(db, (sql) => acceptWithin(sql, input, tryOnce));
}

type TryOnce = (sql: TransactionSql) => Promise<Attempt>;

/** The same in a transaction that does more. */
export async function acceptWithin(
  sql: TransactionSql,
  input: AcceptInput,
  tryOnce: TryOnce,
): Promise<Accepted> {
  const { organizationId, sessionId } = input;
  const [session] = await sql`
    select id from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null
       for no key update`;
  if (!session) return { outcome: "not_found" };
  const attempt = await tryOnce(sql);
  if (attempt.outcome === "steered") {
    const woken = await cancelWaits(sql, { organizationId, sessionId });
    return woken === null ? attempt : { ...attempt, outcome: "resumed" };
  }
  if (attempt.outcome !== "undecided") return attempt;
  return attempt.delivery === "interrupt" ? interrupt(sql, input, tryOnce) : enqueue(sql, input);
}

/** The turn ends as a cancelled one does, but the session does not come to rest: the next one begins with it. */
async function interrupt(
  sql: TransactionSql,
  input: AcceptInput,
  tryOnce: (sql: TransactionSql) => Promise<Attempt>,
): Promise<Accepted> {
  const { organizationId, sessionId } = input;
  const cancelled = await cancelTurnWith(sql, {
    organizationId,
    sessionId,
    reason: "interrupted by a new message",
    now: new Date(input.message.created_at),
    isIdling: false,
  });
  const attempt = await tryOnce(sql);
  if (attempt.outcome !== "started" || cancelled.outcome !== "cancelled") {
    throw new Error(`${sessionId}: an interruption was ${cancelled.outcome}, then ${attempt.outcome}`);
  }
  return { ...attempt, interruptedTurnId: cancelled.turnId };
}

async function enqueue(sql: TransactionSql, input: AcceptInput): Promise<Accepted> {
  const turnId = newId("turn");
  const rows = await sql<{ sequence: number; queue_length: number; is_idle: boolean }[]>`
    with session as materialized (
      select id, last_sequence + 1 as sequence, queue_length + 1 as queue_length, active_run_id is null as is_idle,
             (select coalesce(max(position), 0) + 1 from queued_messages where session_id = ${input.sessionId}) as position
        from sessions
       where id = ${input.sessionId} and queue_length < ${limits.queuedMessagesMax}
    ), queued as (
      insert into queued_messages (id, session_id, organization_id, position, turn_id, message, controls, metadata, tags,
                                   priority, preview, agent_id)
      select ${input.message.id}, id, ${input.organizationId}, position, ${turnId},
             ${toJsonText(input.message)}::text::jsonb,
             ${input.controls === null ? null : toJsonText(input.controls)}::text::jsonb,
             ${input.metadata === null ? null : toJsonText(input.metadata)}::text::jsonb,
             ${input.tags === null ? null : [...input.tags]}::text[], ${input.priority}, ${wellFormed(input.preview)},
             ${input.agentId ?? null}
        from session
    ), remembered as (
      insert into accepted_messages (session_id, client_message_id, message_id, turn_id, sequence)
      select id, ${input.clientMessageId}, ${input.message.id}, ${turnId}, sequence
        from session where ${input.clientMessageId}::text is not null
    ), counted as (
      update sessions set last_sequence = session.sequence, queue_length = session.queue_length, updated_at = now()
        from session where sessions.id = session.id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select id, sequence, ${newEventIdHead()} || lpad(to_hex(sequence), 10, '0'), 'input.queued',
             jsonb_build_object('turn_id', ${turnId}::text, 'input_message_id', ${input.message.id}::text,
                                'trace_id', ${turnId}::text),
             jsonb_build_object('message', ${toJsonText(input.message)}::text::jsonb, 'turn_id', ${turnId}::text,
                                'queue_position', queue_length)
        from session
    )
    select sequence, queue_length, is_idle from session`;
  const row = rows[0];
  if (!row) return { outcome: "queue_full" };
  // The session came to rest and nobody has moved its queue on yet: this transaction holds the lock, so it can.
  const isPromoted = row.is_idle && (await promoteNext(sql, [input.sessionId])).length > 0;
  return {
    outcome: "queued",
    turnId,
    messageId: input.message.id,
    sequence: row.sequence,
    position: row.queue_length,
    isPromoted,
  };
}
