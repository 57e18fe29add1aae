import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText } from "../base/json.ts";
import type { NewEvent } from "../contract/event.ts";
import type { Message } from "../contract/message.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";

export type Cancelled =
  | { outcome: "not_found" }
  | { outcome: "no_op" }
  /** `queueLength`: messages that wait for their turn now; the caller promotes the first. */
  | { outcome: "cancelled"; turnId: string; queueLength: number };

interface CancelInput {
  organizationId: string;
  sessionId: string;
  /** Cancels this turn or none; left out: whichever runs. */
  turnId?: string;
  reason: string;
  now: Date;
}

/** @throws RetryableError the database could not be reached */
export function cancelTurn(db: Db, input: CancelInput): Promise<Cancelled> {
  return cancelTurnWith(db.sql, { ...input, isIdling: true });
}

/**
 * Cancels the turn of a session, whatever state its run is in, in one statement: the run ends as `cancelled` and
 * the four events that say so are written. A worker that is busy with it finds its epoch fenced off; the hint
 * that the caller publishes lets it stop at once.
 *
 * @param input.isIdling  false when the caller starts the next turn in the same transaction: then the session does not
 *                        come to rest, and no `session.idled` says so
 * @throws RetryableError the database could not be reached
 */
export async function cancelTurnWith(
  sql: Sql | TransactionSql,
  input: CancelInput & { isIdling: boolean },
): Promise<Cancelled> {
  const events = cancellationEvents(input.reason, input.now).filter(
    (event) => input.isIdling || event.type !== "session.idled",
  );
  const rows = await sql<{ turn_id: string | null; queue_length: number }[]>`
    with session as materialized (
      select id, active_run_id, last_sequence, queue_length
        from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
         for no key update
    ), run as (
      update runs
         set state = 'cancelled', waiting_on = null, lease_owner = null, lease_expires_at = null,
             lease_epoch = lease_epoch + 1, finished_at = now()
        from session
       where runs.id = session.active_run_id
         and runs.id = coalesce(${input.turnId ?? null}, session.active_run_id)
      returning runs.id, runs.input_message_id, session.id as session_id, session.last_sequence
    ), unparked as (
      update waits set status = 'cancelled', decided_at = now()
        from run where waits.run_id = run.id and waits.status = 'pending'
    ), idled as (
      update sessions
         set status = 'idle', active_run_id = null, last_sequence = sessions.last_sequence + ${events.length},
             last_input_sequence = sessions.last_sequence + 2, updated_at = now()
        from run where sessions.id = run.session_id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select run.session_id, run.last_sequence + e.ordinality,
             e.head || lpad(to_hex(run.last_sequence + e.ordinality), 10, '0'), e.type,
             jsonb_build_object('turn_id', run.id, 'input_message_id', run.input_message_id, 'trace_id', run.id),
             case when e.names_turn then e.data::jsonb || jsonb_build_object('turn_id', run.id) else e.data::jsonb end
        from run,
             unnest(${events.map(() => newEventIdHead())}::text[], ${events.map((event) => event.type)}::text[],
                    ${events.map((event) => (event.namesTurn ? 1 : 0))}::int[],
                    ${events.map((event) => toJsonText(event.data))}::text[])
               with ordinality as raw(head, type, names, data, ordinality),
             lateral (select raw.head, raw.type, raw.names = 1 as names_turn, raw.data, raw.ordinality) e
    )
    select run.id as turn_id, session.queue_length from session left join run on true`.catch((error) => {
    throw asRetryable(error);
  });
  const row = rows[0];
  if (!row) return { outcome: "not_found" };
  if (row.turn_id === null) return { outcome: "no_op" };
  return { outcome: "cancelled", turnId: row.turn_id, queueLength: row.queue_length };
}

/** The order and the texts are those of the wire contract, section 7.3. `turn_id` is filled in by the statement. */
function cancellationEvents(
  reason: string,
  now: Date,
): { type: NewEvent["type"]; namesTurn: boolean; data: Record<string, unknown> }[] {
  const message = (role: Message["role"], text: string): Message => ({
    id: newId("message"),
    role,
    content: [{ type: "text", text }],
    created_at: now.toISOString(),
  });
  return [
    { type: "turn.cancelled", namesTurn: true, data: { reason } },
    {
      type: "input.message",
      namesTurn: false,
      data: { message: message("user", "User requested to cancel the work.") },
    },
    {
      type: "output.message.completed",
      namesTurn: false,
      data: { message: { ...message("agent", "Work was cancelled by user."), phase: "final_answer" } },
    },
    { type: "session.idled", namesTurn: true, data: {} },
  ];
}
