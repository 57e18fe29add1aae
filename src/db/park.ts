/**
 * Parking: a run that can go on only when somebody outside acts gives its slot back. One fenced statement stores what
 * it waits for, writes the events that ask for it, frees the lease and sets the session's status.
 *
 * It is withheld when a message has come that the model has not seen: then the answer of the outside is not wanted
 * any more, and the caller goes on. Like the grouped writer it locks the session row first, so that a message either
 * stands before the parking (and withholds it) or finds the run parked (and wakes it).
 */
import { LeaseLostError } from "../base/errors.ts";
import { newEventIdHead, newId } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import type { NewEvent } from "../contract/event.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";
import type { LeaseRef } from "./writer.ts";

/** client_tool, approval and timer end early when the user sends a message; the others do not. */
export type WaitKind = "client_tool" | "approval" | "timer" | "subagent" | "budget";

export interface WaitWrite {
  kind: WaitKind;
  /** The budget's id when the run itself waits for a budget and not one of its calls. */
  toolCallId: string;
  toolName: string | null;
  effect: "pure" | "idempotent" | "at_most_once" | null;
  arguments: unknown;
  argumentsHash: string | null;
  reason: string | null;
  /** What `tool.completed` will say of the tool itself: display name, capability. */
  toolFields: Record<string, unknown>;
  /** How long it may wait, in milliseconds; null has no end. */
  timeoutMs: number | null;
}

/** How far the act step is that the run waits in. */
export interface ParkedAct {
  succeeded: number;
  failed: number;
  /** Calls that are neither settled nor waited for: the worker runs them when the run goes on. */
  open: number;
  elapsedMs: number;
}

export interface Parking {
  waits: readonly WaitWrite[];
  events: readonly NewEvent[];
  /** The newest input.message that the model has seen; a newer one withholds the parking. Null never does. */
  seenInputSequence: number | null;
  /** null when no act step is under way. */
  act: ParkedAct | null;
}

/** `lastInputSequence` is that of the session's newest input.message. */
export type Parked = { outcome: "parked" } | { outcome: "withheld"; lastInputSequence: number };

/**
 * @throws LeaseLostError   nothing was written: the run belongs to someone else, or has ended
 * @throws RetryableError   the database could not be reached: it may or may not have been written
 */
export async function parkRun({ sql }: Db, lease: LeaseRef, parking: Parking): Promise<Parked> {
  const { waits, events, act } = parking;
  const rows = await sql<{ is_withheld: boolean; last_input_sequence: number }[]>`
    with wait as materialized (
      select * from unnest(
        ${waits.map((wait) => newId(wait.kind === "approval" ? "approval" : "wait"))}::text[],
        ${waits.map((wait) => wait.kind)}::text[], ${waits.map((wait) => wellFormed(wait.toolCallId))}::text[],
        ${waits.map((wait) => orNull(wait.toolName))}::text[], ${waits.map((wait) => wait.effect)}::text[],
        ${waits.map((wait) => toJsonText(wait.arguments))}::text[], ${waits.map((wait) => wait.argumentsHash)}::text[],
        ${waits.map((wait) => orNull(wait.reason))}::text[], ${waits.map((wait) => toJsonText(wait.toolFields))}::text[],
        ${waits.map((wait) => wait.timeoutMs)}::bigint[]
      ) as w(id, kind, tool_call_id, tool_name, effect, arguments, arguments_hash, reason, tool_fields, timeout_ms)
    ), session as materialized (
      select id, last_sequence, last_input_sequence from sessions where id = ${lease.sessionId} for no key update
    ), held as materialized (
      select r.id, r.organization_id, r.session_id, session.last_sequence, session.last_input_sequence,
             coalesce(session.last_input_sequence > ${parking.seenInputSequence}::bigint, false) as is_withheld
        from session join runs r on r.session_id = session.id
       where r.id = ${lease.runId} and r.lease_epoch = ${lease.epoch} and r.state = 'running'
         and r.lease_expires_at > now()
         for no key update of r
    ), parked as materialized (
      select * from held where not is_withheld
    ), asked as (
      insert into waits (run_id, kind, tool_call_id, id, organization_id, session_id, tool_name, effect, arguments,
                         arguments_hash, reason, tool_fields, expires_at)
      select parked.id, wait.kind, wait.tool_call_id, wait.id, parked.organization_id, parked.session_id,
             wait.tool_name, wait.effect, wait.arguments::jsonb, wait.arguments_hash, wait.reason,
             wait.tool_fields::jsonb, now() + wait.timeout_ms * interval '1 millisecond'
        from wait, parked
    ), advanced as (
      update sessions
         set last_sequence = sessions.last_sequence + ${events.length},
             status = (select ${sessionStatus(sql)} from wait), updated_at = now()
        from parked where sessions.id = parked.session_id
    ), settled as (
      update runs
         set state = 'waiting', waiting_on = (select ${waitingOn(sql)} from wait), lease_owner = null,
             lease_expires_at = null,
             parked = ${act === null ? null : toJsonText(actColumns(act))}::text::jsonb
        from parked where runs.id = parked.id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select parked.session_id, parked.last_sequence + e.ordinality,
             e.head || lpad(to_hex(parked.last_sequence + e.ordinality), 10, '0'), e.type, e.context::jsonb, e.data::jsonb
        from parked,
             unnest(${events.map(() => newEventIdHead())}::text[], ${events.map((event) => event.type)}::text[],
                    ${events.map((event) => toJsonText(event.context ?? {}))}::text[],
                    ${events.map((event) => toJsonText(event.data))}::text[])
               with ordinality as e(head, type, context, data, ordinality)
    )
    select is_withheld, last_input_sequence from held`.catch((error) => {
    throw asRetryable(error);
  });
  const row = rows[0];
  if (!row) throw new LeaseLostError(lease.runId);
  return row.is_withheld
    ? { outcome: "withheld", lastInputSequence: row.last_input_sequence }
    : { outcome: "parked" };
}

/** What a run waits on, over the rows that it waits for: of several kinds the one that a person must act on. */
export const waitingOn = (sql: Sql | TransactionSql) => sql`
  case when bool_or(kind = 'approval') then 'approval'
       when bool_or(kind = 'client_tool') then 'client_tools'
       when bool_or(kind = 'budget') then 'budget'
       when bool_or(kind = 'subagent') then 'subagent'
       when bool_or(kind = 'timer') then 'timer' end`;

/** The session's status, over the rows that its run waits for. */
export const sessionStatus = (sql: Sql | TransactionSql) => sql`
  case when bool_or(kind in ('approval', 'client_tool')) then 'waitingfortoolresults'
       when bool_or(kind = 'budget') then 'paused' else 'active' end`;

function actColumns({ succeeded, failed, open, elapsedMs }: ParkedAct) {
  return { succeeded, failed, open, elapsed_ms: Math.round(elapsedMs) };
}

function orNull(text: string | null): string | null {
  return text === null ? null : wellFormed(text);
}
