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
import type { Db } from "./pool.ts";
import { asRetryable, isUniqueViolation } from "./sqlstate.ts";

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
  | { outcome: "started" | "steered" | "duplicate"; turnId: string; messageId: string; sequence: number };

interface AcceptRow {
  is_duplicate: boolean;
  is_accepted: boolean;
  starts: boolean;
  turn_id: string;
  message_id: string;
  sequence: number;
}

/** @throws RetryableError the database could not be reached: the message may or may not have been accepted */
export async function acceptMessage(db: Db, input: AcceptInput): Promise<Accepted> {
  try {
    return await acceptOnce(db, input);
  } catch (error) {
    // Two sends of one client_message_id met: the other has committed now, so the next look finds it.
    if (input.clientMessageId !== null && isUniqueViolation(error)) return await acceptOnce(db, input);
    throw asRetryable(error);
  }
}

async function acceptOnce({ sql }: Db, input: AcceptInput): Promise<Accepted> {
  const turnId = newId("turn");
  const rows = await sql<AcceptRow[]>`
    with session as materialized (
      select id, agent_id, active_run_id, last_sequence
        from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
         for no key update
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
           coalesce(earlier.turn_id, accepted.turn_id, session.active_run_id) as turn_id,
           coalesce(earlier.message_id, ${input.message.id}) as message_id,
           coalesce(earlier.sequence, accepted.sequence) as sequence
      from session left join earlier on true left join accepted on true`;

  const row = rows[0];
  if (!row) return { outcome: "not_found" };
  if (!row.is_duplicate && !row.is_accepted) return { outcome: "busy", turnId: row.turn_id };
  const outcome = row.is_duplicate ? "duplicate" : row.starts ? "started" : "steered";
  return { outcome, turnId: row.turn_id, messageId: row.message_id, sequence: row.sequence };
}
