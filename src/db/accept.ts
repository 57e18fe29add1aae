/**
 * Acceptance: from a request to a queued run in one statement. Event, run, session status and (if the caller
 * named the message) the record of it commit together or not at all.
 *
 * Everything that the statement decides is read from the session's row, which it locks first. Two requests that
 * meet on one session take the lock in turn, and the second sees what the first wrote; rows of other tables it
 * would see as they were when it began. What needs more of them than that (a queue, an interruption, a run that is
 * parked) is left to the transaction of `accept-busy.ts`.
 */
import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import type { Controls, Delivery, Message } from "../contract/message.ts";
import { startTurn } from "./_start-turn.ts";
import { acceptBusy, acceptWithin } from "./accept-busy.ts";
import type { WrittenLog } from "./hints.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
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
  /** What becomes of it on a busy session; null: as the session says, else its agent, else `steer`. */
  delivery: Delivery | null;
  /** Of the run that it starts. */
  priority: number;
  /** Who answers in the turn that it starts; absent or null: the session's own agent. */
  agentId?: string | null;
  preview: string;
}

export type Accepted =
  | { outcome: "not_found" }
  | { outcome: "busy"; turnId: string }
  | { outcome: "queue_full" }
  /** resumed: the turn waited for somebody; its pending calls were cancelled, and it goes on with the message. */
  | {
      outcome: "started" | "steered" | "resumed" | "duplicate";
      turnId: string;
      messageId: string;
      sequence: number;
      /** The turn that had to make way for this one. */
      interruptedTurnId?: string;
      /** What the session's log has grown by, where it is known without reading it. */
      log?: WrittenLog;
    }
  /** `sequence` is that of its `input.queued`; `turnId` names the turn that it will become. */
  | {
      outcome: "queued";
      turnId: string;
      messageId: string;
      sequence: number;
      /** 1 is next. */
      position: number;
      /** True when a turn was begun from the queue by the way: this message's, or one before it. */
      isPromoted: boolean;
    };

/** What one statement made of a message. `undecided`: nothing was written; it is told what was asked for. */
export type Attempt = Accepted | { outcome: "undecided"; delivery: Exclude<Delivery, "reject"> };

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

/** Accepts in a transaction that does more: what it writes and the message stand or fall together. */
export function acceptMessageIn(sql: TransactionSql, input: AcceptInput): Promise<Accepted> {
  return acceptWithin(sql, input, (within) => acceptOnce(within, input, { isLocked: true }));
}

async function acceptAnywhere(db: Db, input: AcceptInput): Promise<Accepted> {
  // One that the caller named may be a repetition, which only the session's lock can tell.
  const started = input.clientMessageId === null ? await startTurn(db, input) : null;
  if (started) return { outcome: "started", messageId: input.message.id, ...started };
  const attempt = await acceptOnce(db.sql, input, { isLocked: false });
  if (attempt.outcome !== "undecided") return attempt;
  return acceptBusy(db, input, (sql) => acceptOnce(sql, input, { isLocked: true }));
}

interface AcceptRow {
  is_duplicate: boolean;
  is_accepted: boolean;
  starts: boolean;
  delivery: Delivery;
  is_parked: boolean;
  turn_id: string;
  message_id: string;
  sequence: number;
}

/**
 * @param isLocked  the session's row was locked by an earlier statement of the transaction: this one sees everything
 */
async function acceptOnce(
  sql: Sql | TransactionSql,
  input: AcceptInput,
  { isLocked }: { isLocked: boolean },
): Promise<Attempt> {
  const turnId = newId("turn");
  const rows = await sql<AcceptRow[]>`
    with session as materialized (
      select id, agent_id, agent_version_id, active_run_id, last_sequence, default_delivery,
             active_run_id is null and queue_length = 0 as is_free
        from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
         for no key update
    ), asked as materialized (
      -- A session that is free takes every message alike: then the agent is not looked for.
      select case when session.is_free then 'steer'
                  else coalesce(${input.delivery}, session.default_delivery,
                                case when session.agent_version_id is null
                                     then (select a.default_delivery from agents a where a.id = session.agent_id)
                                     else (select v.authored_config ->> 'default_delivery' from agent_versions v
                                            where v.id = session.agent_version_id) end,
                                'steer')
             end as delivery
        from session
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
      select session.id, coalesce(${input.agentId ?? null}, session.agent_id) as agent_id,
             session.active_run_id is null as starts,
             coalesce(session.active_run_id, ${turnId}) as turn_id, session.last_sequence + 1 as sequence
        from session, asked
       where not exists (select from earlier)
         and case when session.active_run_id is not null
                  then asked.delivery = 'steer' and (${isLocked} or not exists (select from parked))
                  -- At rest for a moment, until the next of its queue begins: what asks to queue goes behind that.
                  else session.is_free or asked.delivery <> 'queue' end
    ), remembered as (
      insert into accepted_messages (session_id, client_message_id, message_id, turn_id, sequence)
      select id, ${input.clientMessageId}, ${input.message.id}, turn_id, sequence
        from accepted where ${input.clientMessageId}::text is not null
    ), run as (
      insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, priority, controls)
      select turn_id, ${input.organizationId}, id, agent_id, ${input.message.id}, sequence, ${input.priority},
             ${input.controls === null ? null : toJsonText(input.controls)}::text::jsonb
        from accepted where starts
    ), activated as (
      update sessions
         set last_sequence = accepted.sequence + case when accepted.starts then 1 else 0 end,
             last_input_sequence = accepted.sequence,
             active_run_id = accepted.turn_id,
             status = case when accepted.starts then 'active' else sessions.status end,
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
           asked.delivery,
           exists (select from parked) as is_parked,
           coalesce(earlier.turn_id, accepted.turn_id, session.active_run_id) as turn_id,
           coalesce(earlier.message_id, ${input.message.id}) as message_id,
           coalesce(earlier.sequence, accepted.sequence) as sequence
      from session cross join asked left join earlier on true left join accepted on true`;

  const row = rows[0];
  if (!row) return { outcome: "not_found" };
  if (!row.is_duplicate && !row.is_accepted) {
    if (row.delivery === "reject") return { outcome: "busy", turnId: row.turn_id };
    return { outcome: "undecided", delivery: row.delivery };
  }
  const outcome = row.is_duplicate ? "duplicate" : row.starts ? "started" : "steered";
  return { outcome, turnId: row.turn_id, messageId: row.message_id, sequence: row.sequence };
}
