/** Reading the event log: pages for clients, the feed behind a cursor, and the history for the model. */
import { isId, sequenceOfEventId } from "../base/id.ts";
import { DELTA_TYPES, type Event, type EventType } from "../contract/event.ts";
import type { Db } from "./pool.ts";

/** A row of the log, as it is stored. */
export interface EventRow {
  id: string;
  type: EventType;
  ts: Date;
  session_id: string;
  sequence: number;
  context: Record<string, unknown>;
  data: unknown;
  metadata: Record<string, unknown> | null;
  tags: string[] | null;
}

/** A row as the wire shows it; metadata and tags are left out when there are none. */
export function toEvent(row: EventRow): Event {
  const { metadata, tags, ts, ...rest } = row;
  return {
    ...rest,
    ts: ts.toISOString(),
    ...(metadata === null ? {} : { metadata }),
    ...(tags === null || tags.length === 0 ? {} : { tags }),
  } as Event;
}

/** Events after a cursor, oldest first. The organization was checked when the session was looked up. */
export async function readEventsAfter(
  { sql }: Db,
  sessionId: string,
  cursor: number,
  limit: number,
): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} and sequence > ${cursor}
     order by sequence
     limit ${limit}`;
  return rows.map(toEvent);
}

export interface EventFilter {
  /** null: every type. */
  types: readonly EventType[] | null;
  exclude: readonly EventType[];
  /** Exclusive bounds; null is open. */
  afterSequence: number | null;
  beforeSequence: number | null;
  /** Inclusive bounds on `ts`; null is open. */
  since: Date | null;
  until: Date | null;
  turnId: string | null;
  execId: string | null;
  traceId: string | null;
  toolName: string | null;
  tags: readonly string[] | null;
  q: string | null;
}

/**
 * Events that pass a filter, oldest first.
 *
 * @param page.limit  null: all of them
 * @param page.from   with a limit, from which end it is counted
 */
export async function listEvents(
  { sql }: Db,
  sessionId: string,
  filter: EventFilter,
  page: { limit: number | null; from: "start" | "end" },
): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} ${where(sql, filter)}
     order by sequence ${page.from === "end" ? sql`desc` : sql`asc`}
     ${page.limit === null ? sql`` : sql`limit ${page.limit}`}`;
  const events = rows.map(toEvent);
  return page.from === "end" ? events.reverse() : events;
}

/** How many events pass the filter, deltas left out. */
export async function countEvents({ sql }: Db, sessionId: string, filter: EventFilter): Promise<number> {
  const rows = await sql<{ count: number }[]>`
    select count(*) as count from events
     where session_id = ${sessionId} and type <> all (${[...DELTA_TYPES]}::text[]) ${where(sql, filter)}`;
  return rows[0]?.count ?? 0;
}

/** The newest `turn.started` at or before a sequence; null when there is none. */
export async function turnStartAtOrBefore(
  { sql }: Db,
  sessionId: string,
  sequence: number,
): Promise<number | null> {
  const rows = await sql<{ sequence: number }[]>`
    select sequence from events
     where session_id = ${sessionId} and sequence <= ${sequence} and type = 'turn.started'
     order by sequence desc limit 1`;
  return rows[0]?.sequence ?? null;
}

function where(sql: Db["sql"], filter: EventFilter) {
  const like = filter.q === null ? null : `%${filter.q.replace(/[\\%_]/g, "\\$&")}%`;
  return sql`
    ${filter.types === null ? sql`` : sql`and type = any (${[...filter.types]}::text[])`}
    ${filter.exclude.length === 0 ? sql`` : sql`and type <> all (${[...filter.exclude]}::text[])`}
    ${filter.afterSequence === null ? sql`` : sql`and sequence > ${filter.afterSequence}`}
    ${filter.beforeSequence === null ? sql`` : sql`and sequence < ${filter.beforeSequence}`}
    ${filter.since === null ? sql`` : sql`and ts >= ${filter.since}`}
    ${filter.until === null ? sql`` : sql`and ts <= ${filter.until}`}
    ${filter.turnId === null ? sql`` : sql`and context ->> 'turn_id' = ${filter.turnId}`}
    ${filter.execId === null ? sql`` : sql`and context ->> 'exec_id' = ${filter.execId}`}
    ${filter.traceId === null ? sql`` : sql`and context ->> 'trace_id' = ${filter.traceId}`}
    ${filter.toolName === null ? sql`` : sql`and coalesce(data ->> 'tool_name', data #>> '{tool_call,name}') = ${filter.toolName}`}
    ${filter.tags === null ? sql`` : sql`and tags && ${[...filter.tags]}::text[]`}
    ${like === null ? sql`` : sql`and data::text ilike ${like}`}`;
}

/**
 * The sequence that a cursor (an event id) stands for. The id carries it, so that a pruned delta is a valid
 * cursor; an event that is there must have this very id.
 *
 * @returns null when the id is not one of this session's
 */
export async function resolveCursor({ sql }: Db, sessionId: string, eventId: string): Promise<number | null> {
  const sequence = isId("event", eventId) ? sequenceOfEventId(eventId) : null;
  if (sequence === null) return null;
  const rows = await sql<{ last_sequence: number; id: string | null }[]>`
    select s.last_sequence, e.id
      from sessions s left join events e on e.session_id = s.id and e.sequence = ${sequence}
     where s.id = ${sessionId}`;
  const row = rows[0];
  if (!row || sequence > row.last_sequence) return null;
  return row.id === null || row.id === eventId ? sequence : null;
}

/** What a stream needs to know of its session before it starts; null when there is none for this caller. */
export async function sessionHead(
  { sql }: Db,
  organizationId: string,
  sessionId: string,
): Promise<{ lastSequence: number; status: string } | null> {
  const rows = await sql<{ last_sequence: number; status: string }[]>`
    select last_sequence, status from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null`;
  const row = rows[0];
  return row ? { lastSequence: row.last_sequence, status: row.status } : null;
}

/**
 * The deltas of an answer that is under way at a cursor, oldest first: those after the last
 * `output.message.started` at or before it. Needed to show `accumulated` to a reader that joins mid-answer.
 */
export async function openDeltas({ sql }: Db, sessionId: string, cursor: number): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} and sequence <= ${cursor} and type = any (${[...DELTA_TYPES]}::text[])
       and sequence > coalesce((
         select max(sequence) from events
          where session_id = ${sessionId} and sequence <= ${cursor}
            and type in ('output.message.started', 'output.message.completed')), 0)
     order by sequence`;
  return rows.map(toEvent);
}

/** The deltas from the beginning of the answer that `first` belongs to up to `last`, oldest first. */
export async function deltasOfAnswers(
  { sql }: Db,
  sessionId: string,
  { first, last }: { first: number; last: number },
): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} and sequence <= ${last} and type = any (${[...DELTA_TYPES]}::text[])
       and sequence > coalesce((
         select max(sequence) from events
          where session_id = ${sessionId} and sequence < ${first} and type = 'output.message.started'), 0)
     order by sequence`;
  return rows.map(toEvent);
}

/** The event types that the model's history is built from; `events_history` is the index on exactly these. */
export type HistoryType =
  | "input.message"
  | "output.message.completed"
  | "tool.completed"
  | "reason.started"
  | "reason.item";

/** What the model's history is built from, after a cursor, oldest first (index `events_history`). */
export async function readHistory({ sql }: Db, sessionId: string, cursor: number): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} and sequence > ${cursor}
       and type in ('input.message', 'output.message.completed', 'tool.completed', 'reason.started', 'reason.item')
     order by sequence`;
  return rows.map(toEvent);
}

/** True when the log has an event of this type for the turn. */
export async function hasTurnEvent(
  { sql }: Db,
  sessionId: string,
  turnId: string,
  fromSequence: number,
  type: EventType,
): Promise<boolean> {
  const rows = await sql`
    select from events
     where session_id = ${sessionId} and sequence >= ${fromSequence} and type = ${type}
       and context ->> 'turn_id' = ${turnId}
     limit 1`;
  return rows.length > 0;
}

/** The newest sequence of each of these sessions; one that does not exist is missing from the map. */
export async function newestSequences(
  { sql }: Db,
  sessionIds: readonly string[],
): Promise<Map<string, number>> {
  const rows = await sql<{ id: string; last_sequence: number }[]>`
    select id, last_sequence from sessions where id = any (${[...sessionIds]}::text[])`;
  return new Map(rows.map((row) => [row.id, row.last_sequence]));
}

/** The events that messages are views of, oldest first; with a sequence, the one at that place. */
export async function readMessages(
  { sql }: Db,
  sessionId: string,
  sequence: number | null = null,
): Promise<Event[]> {
  const rows = await sql<EventRow[]>`
    select id, type, ts, session_id, sequence, context, data, metadata, tags
      from events
     where session_id = ${sessionId} ${sequence === null ? sql`` : sql`and sequence = ${sequence}`}
       and type in ('input.message', 'output.message.completed', 'tool.completed')
     order by sequence`;
  return rows.map(toEvent);
}
