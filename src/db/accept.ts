/**
 * Acceptance: from a request to a queued run in one statement. Event, run, session status and (if the caller
 * named the message) the record of it commit together or not at all.
 *
 * Everything that the statement decides is read from the session's row, which it locks first. Two requests that
 * meet on one session take the lock in turn, and the second sees what the first wrote; rows of other tables it
 * would see as they were when it began.
 */
import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import type { Controls, Message } from "../contract/message.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
import { asRetryable, isUniqueViolation } from "./sqlstate.ts";
import { transaction } from "./tx.ts";
import { cancelWaits } from "./waits.ts";

export interface AcceptInput {
  organizationId: string;
  sessionId: string;
  message: Message;
  controls: Controls | null;
  /** Stored with the event. */
  metadata: Record<string, unknown> | null;
  tags: readonly string[] | null;
  clientMessageId: string | null;
  /** On a busy session: join the running turn, or be refused. */
  delivery: "steer" | "reject";
  preview: string;
}

export type Accepted =
  | { outcome: "not_found" }
  | { outcome: "busy"; turnId: string }
  /** resumed: the turn waited for somebody; its pending calls were cancelled, and it goes on with the message. */
  | {
      outcome: "started" | "steered" | "resumed" | "duplicate";
      turnId: string;
      messageId: string;
      sequence: number;
    };

interface AcceptRow {
  is_duplicate: boolean;
  is_accepted: boolean;
  starts: boolean;
  is_parked: boolean;
  turn_id: string;
  message_id: string;
  sequence: number;
}

/** @throws RetryableError the database could not be reached: the message may or may not have been accepted */
export async function acceptMessage(db: Db, input: AcceptInput): Promise<Accepted> {
  try {
    return await acceptAnywhere(db, input);
  } catch (error) {
    // Two sends of one client_message_id met: the other has committed now, so the next look finds it.
    if (input.clientMessageId !== null && isUniqueViolation(error)) return await acceptAnywhere(db, input);
    throw asRetryable(error);
  }
}

async function acceptAnywhere(db: Db, input: AcceptInput): Promise<Accepted> {
  return (await acceptOnce(db.sql, input, { isParkedTaken: false })) ?? (await acceptParked(db, input));
}

/**
 * For a session whose run is parked. What the run waits for stands in rows of its own, which the statement that waited
 * for the session's lock may not see: a second one, under the same lock, does.
 */
function acceptParked(db: Db, input: AcceptInput): Promise<Accepted> {
  const { organizationId, sessionId } = input;
  return transaction(db, async (sql) => {
    await sql`select from sessions where id = ${sessionId} and organization_id = ${organizationId} for no key update`;
    const accepted = await acceptOnce(sql, input, { isParkedTaken: true });
    if (accepted === null) throw new Error(`${sessionId}: a parked run was not taken`);
    if (accepted.outcome !== "steered") return accepted;
    const woken = await cancelWaits(sql, { organizationId, sessionId });
    return woken === null ? accepted : { ...accepted, outcome: "resumed" };
  });
}

/** @returns null when the session's run is parked, or may be, and `isParkedTaken` is false: nothing was written */
async function acceptOnce(
  sql: Sql | TransactionSql,
  input: AcceptInput,
  { isParkedTaken }: { isParkedTaken: boolean },
): Promise<Accepted | null> {
  const turnId = newId("turn");
  const rows = await sql<AcceptRow[]>`
    with session as materialized (
      select id, agent_id, active_run_id, last_sequence
        from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
         for no key update
    ), active as materialized (
      select r.state from session join runs r on r.id = session.active_run_id for no key update of r
    ), parked as materialized (
      -- A run that was made after this statement began cannot be seen, so it is not known how it stands.
      select from session
       where session.active_run_id is not null
         and not exists (select from active where state in ('queued', 'running'))
    ), earlier as materialized (
      select a.message_id, a.turn_id, a.sequence
        from accepted_messages a join session on a.session_id = session.id
       where a.client_message_id = ${input.clientMessageId}
    ), accepted as materialized (
      select session.id, session.agent_id, session.active_run_id is null as starts,
             coalesce(session.active_run_id, ${turnId}) as turn_id, session.last_sequence + 1 as sequence
        from session
       where not exists (select from earlier)
         and (session.active_run_id is null or ${input.delivery === "steer"})
         and (${isParkedTaken} or not exists (select from parked))
    ), remembered as (
      insert into accepted_messages (session_id, client_message_id, message_id, turn_id, sequence)
      select id, ${input.clientMessageId}, ${input.message.id}, turn_id, sequence
        from accepted where ${input.clientMessageId}::text is not null
    ), run as (
      insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, controls)
      select turn_id, ${input.organizationId}, id, agent_id, ${input.message.id}, sequence,
             ${input.controls === null ? null : toJsonText(input.controls)}::text::jsonb
        from accepted where starts
    ), activated as (
      update sessions
         set last_sequence = accepted.sequence + case when accepted.starts then 1 else 0 end,
             last_input_sequence = accepted.sequence,
             active_run_id = accepted.turn_id,
             status = 'active',
             preview = ${wellFormed(input.preview)},
             started_at = coalesce(sessions.started_at, now()),
             updated_at = now()
        from accepted where sessions.id = accepted.id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data, metadata, tags)
      select id, sequence, ${newEventIdHead()} || lpad(to_hex(sequence), 10, '0'), 'input.message',
             jsonb_build_object('turn_id', turn_id, 'input_message_id', ${input.message.id}::text, 'trace_id', turn_id),
             jsonb_build_object('message', ${toJsonText(input.message)}::text::jsonb),
             ${input.metadata === null ? null : toJsonText(input.metadata)}::text::jsonb,
             ${input.tags === null ? null : [...input.tags]}::text[]
        from accepted
      union all
      select id, sequence + 1, ${newEventIdHead()} || lpad(to_hex(sequence + 1), 10, '0'), 'session.activated',
             jsonb_build_object('turn_id', turn_id, 'input_message_id', ${input.message.id}::text, 'trace_id', turn_id),
             jsonb_build_object('turn_id', turn_id, 'input_message_id', ${input.message.id}::text),
             null, null
        from accepted where starts
    )
    select earlier.message_id is not null as is_duplicate,
           accepted.id is not null as is_accepted,
           coalesce(accepted.starts, false) as starts,
           exists (select from parked) as is_parked,
           coalesce(earlier.turn_id, accepted.turn_id, session.active_run_id) as turn_id,
           coalesce(earlier.message_id, ${input.message.id}) as message_id,
           coalesce(earlier.sequence, accepted.sequence) as sequence
      from session left join earlier on true left join accepted on true`;

  const row = rows[0];
  if (!row) return { outcome: "not_found" };
  if (!row.is_duplicate && !row.is_accepted) {
    return row.is_parked && input.delivery === "steer" ? null : { outcome: "busy", turnId: row.turn_id };
  }
  const outcome = row.is_duplicate ? "duplicate" : row.starts ? "started" : "steered";
  return { outcome, turnId: row.turn_id, messageId: row.message_id, sequence: row.sequence };
}
