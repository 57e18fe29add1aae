/**
 * The queue of a session: messages that wait for their own turn. `sessions.queue_length` counts its rows, under the
 * lock of the session's row, so that whoever ends a turn sees whether another one waits.
 *
 * Whoever ends a turn promotes the next, in a statement of its own. A process that dies in between leaves a session at
 * rest with something in its queue; the sweep of any worker finds it by the index on exactly these.
 */
import { newEventIdHead } from "../base/id.ts";
import { toJsonText, wellFormed } from "../base/json.ts";
import type { ContentPart, Message } from "../contract/message.ts";
import type { Db, Sql, TransactionSql } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";

export interface Promotion {
  sessionId: string;
  turnId: string;
}

/**
 * Begins the turn of the next queued message of each of these sessions that is at rest. Does nothing for the others:
 * any number of processes may ask for the same.
 *
 * @param options.isSweep  leaves out sessions that another statement is busy with
 * @throws RetryableError the database could not be reached
 */
export async function promoteNext(
  sql: Sql | TransactionSql,
  sessionIds: readonly string[],
  options: { isSweep?: boolean } = {},
): Promise<Promotion[]> {
  const rows = await sql<{ session_id: string; turn_id: string }[]>`
    with session as materialized (
      select id, agent_id, last_sequence
        from sessions
       where id = any (${[...sessionIds]}::text[]) and active_run_id is null and queue_length > 0
         and deleted_at is null
       order by id
         for no key update ${options.isSweep ? sql`skip locked` : sql``}
    ), next as materialized (
      select distinct on (q.session_id) q.id
        from session join queued_messages q on q.session_id = session.id
       order by q.session_id, q.position
    ), taken as (
      -- A row that was changed while the lock was waited for is taken as it is now; one that is gone is not taken.
      delete from queued_messages q using next where q.id = next.id returning q.*
    ), promoted as materialized (
      select taken.*, coalesce(taken.agent_id, session.agent_id) as answering_agent_id, session.last_sequence
        from taken join session on session.id = taken.session_id
    ), run as (
      insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence, priority, controls)
      select turn_id, organization_id, session_id, answering_agent_id, id, last_sequence + 2, priority, controls
        from promoted
    ), activated as (
      update sessions s
         set last_sequence = p.last_sequence + 3, last_input_sequence = p.last_sequence + 2,
             active_run_id = p.turn_id, status = 'active', queue_length = s.queue_length - 1, preview = p.preview,
             started_at = coalesce(s.started_at, now()), updated_at = now()
        from promoted p where s.id = p.session_id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data, metadata, tags)
      select p.session_id, p.last_sequence + e.k,
             ${newEventIdHead()} || lpad(to_hex(p.last_sequence + e.k), 10, '0'), e.type,
             jsonb_build_object('turn_id', p.turn_id, 'input_message_id', p.id, 'trace_id', p.turn_id),
             e.data, case when e.k = 2 then p.metadata end, case when e.k = 2 then p.tags end
        from promoted p, lateral (values
          (1, 'input.promoted', jsonb_build_object('message_id', p.id, 'turn_id', p.turn_id)),
          (2, 'input.message', jsonb_build_object('message', p.message)),
          (3, 'session.activated', jsonb_build_object('turn_id', p.turn_id, 'input_message_id', p.id))
        ) e(k, type, data)
    )
    select session_id, turn_id from promoted order by session_id`.catch((error) => {
    throw asRetryable(error);
  });
  return rows.map((row) => ({ sessionId: row.session_id, turnId: row.turn_id }));
}

/** Sessions at rest whose queue nobody has moved on, the longest first (index `sessions_to_promote`). */
export async function sessionsToPromote({ sql }: Db, limit: number): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from sessions
     where queue_length > 0 and active_run_id is null and deleted_at is null
     order by updated_at
     limit ${limit}`;
  return rows.map((row) => row.id);
}

export interface QueuedRow {
  message: Message;
  session_id: string;
  turn_id: string;
  /** 1 is next. */
  place: number;
  priority: number;
}

/** Next one first; empty for a session that the organization does not have, too. */
export async function listQueue(
  { sql }: Db,
  input: { organizationId: string; sessionId: string },
): Promise<QueuedRow[]> {
  return sql<QueuedRow[]>`
    select message, session_id, turn_id, priority, row_number() over (order by position) as place
      from queued_messages
     where session_id = ${input.sessionId} and organization_id = ${input.organizationId}
     order by position`;
}

/** The message that waits for this turn; null when none does (any more). */
export async function readQueuedTurn(
  { sql }: Db,
  input: { organizationId: string; sessionId: string; turnId: string },
): Promise<{ id: string; priority: number; created_at: Date } | null> {
  const rows = await sql<{ id: string; priority: number; created_at: Date }[]>`
    select id, priority, created_at from queued_messages
     where session_id = ${input.sessionId} and organization_id = ${input.organizationId}
       and turn_id = ${input.turnId}`;
  return rows[0] ?? null;
}

export interface QueuedRef {
  organizationId: string;
  sessionId: string;
  messageId: string;
}

/** promoted: its turn has begun. not_found: there is no such message in this session's queue, or any more. */
export type QueueRefusal = "promoted" | "not_found";

/** Gives a queued message other content, and says so in the log with another `input.queued`. */
export async function editQueued(
  db: Db,
  ref: QueuedRef,
  change: { content: readonly ContentPart[]; preview: string },
): Promise<QueuedRow | QueueRefusal> {
  const rows = await db.sql<QueuedRow[]>`
    with session as materialized (${lockedSession(db.sql, ref)}),
    edited as (
      update queued_messages q
         set message = q.message || jsonb_build_object('content', ${toJsonText(change.content)}::text::jsonb),
             preview = ${wellFormed(change.preview)}
        from session
       where q.id = ${ref.messageId} and q.session_id = session.id
      returning q.*, session.last_sequence + 1 as sequence
    ), placed as materialized (
      select edited.*, 1 + (select count(*) from queued_messages q
                             where q.session_id = edited.session_id and q.position < edited.position) as place
        from edited
    ), advanced as (
      update sessions s set last_sequence = placed.sequence, updated_at = now() from placed where s.id = placed.session_id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select session_id, sequence, ${newEventIdHead()} || lpad(to_hex(sequence), 10, '0'), 'input.queued',
             jsonb_build_object('turn_id', turn_id, 'input_message_id', id, 'trace_id', turn_id),
             jsonb_build_object('message', message, 'turn_id', turn_id, 'queue_position', place)
        from placed
    )
    select message, session_id, turn_id, place, priority from placed`.catch((error) => {
    throw asRetryable(error);
  });
  return rows[0] ?? (await refusalOf(db, ref));
}

/** Takes a message out of the queue. */
export async function withdrawQueued(db: Db, ref: QueuedRef): Promise<"withdrawn" | QueueRefusal> {
  const rows = await db.sql`
    with session as materialized (${lockedSession(db.sql, ref)}),
    taken as (
      delete from queued_messages q using session
       where q.id = ${ref.messageId} and q.session_id = session.id
      returning q.id, q.session_id, q.turn_id, session.last_sequence + 1 as sequence
    ), advanced as (
      update sessions s
         set last_sequence = taken.sequence, queue_length = s.queue_length - 1, updated_at = now()
        from taken where s.id = taken.session_id
    ), logged as (
      insert into events (session_id, sequence, id, type, context, data)
      select session_id, sequence, ${newEventIdHead()} || lpad(to_hex(sequence), 10, '0'), 'input.withdrawn',
             jsonb_build_object('turn_id', turn_id, 'input_message_id', id, 'trace_id', turn_id),
             jsonb_build_object('message_id', id, 'turn_id', turn_id)
        from taken
    )
    select id from taken`.catch((error) => {
    throw asRetryable(error);
  });
  return rows.length > 0 ? "withdrawn" : refusalOf(db, ref);
}

const lockedSession = (sql: Sql, ref: QueuedRef) => sql`
  select id, last_sequence from sessions
   where id = ${ref.sessionId} and organization_id = ${ref.organizationId} and deleted_at is null
     for no key update`;

async function refusalOf({ sql }: Db, ref: QueuedRef): Promise<QueueRefusal> {
  const rows = await sql`
    select from runs
     where session_id = ${ref.sessionId} and organization_id = ${ref.organizationId}
       and input_message_id = ${ref.messageId}
     limit 1`;
  return rows.length > 0 ? "promoted" : "not_found";
}
