/** Reading the event log: pages for clients, and what a stream needs to know. The model's history: history.ts. */
import { isId, sequenceOfEventId } from "../base/id.ts";
import { DELTA_TYPES, type Event, type EventType } from "../contract/event.ts";
import { NO_USAGE, type TokenUsage } from "../contract/usage.ts";
import { type Fragment, partRows, type Range, readRows, selectFrom } from "./_log-rows.ts";
import { type LineageColumns, ownerOf, type SessionLog, toLineage } from "./lineage.ts";
import type { Db, Sql } from "./pool.ts";

/** Events after a cursor, oldest first. The organization was checked when the session was looked up. */
export async function readEventsAfter(
  db: Db,
  log: SessionLog,
  cursor: number,
  limit: number,
): Promise<Event[]> {
  return readRows(db, log, { after: cursor, order: "asc", limit }, db.sql``);
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
  db: Db,
  log: SessionLog,
  filter: EventFilter,
  page: { limit: number | null; from: "start" | "end" },
): Promise<Event[]> {
  const events = await readRows(
    db,
    log,
    {
      after: filter.afterSequence,
      before: filter.beforeSequence,
      order: page.from === "end" ? "desc" : "asc",
      limit: page.limit,
    },
    where(db.sql, filter),
  );
  return page.from === "end" ? events.reverse() : events;
}

/** How many events of the whole log pass the filter, wherever the page lies; deltas left out. */
export async function countEvents({ sql }: Db, log: SessionLog, filter: EventFilter): Promise<number> {
  const condition = sql`and type <> all (${[...DELTA_TYPES]}::text[]) ${where(sql, filter)}`;
  const rows =
    log.lineage.length === 0
      ? await sql<{ count: number }[]>`
          select count(*) as count from events
           where session_id = ${log.id} ${condition}`
      : await sql<{ count: number }[]>`
          select count(*) as count
            from ${partRows(sql, log, null, null)}, lateral (
              select from events
               where session_id = part.owner_id and sequence > part.after and sequence <= part.up_to ${condition}
            ) e`;
  return rows[0]?.count ?? 0;
}

export interface EventsSummaryRow {
  total: number;
  turn_count: number;
  error_count: number;
  first_ts: Date | null;
  last_ts: Date | null;
  by_type: { event_type: string; count: number }[];
}

/** The log in numbers, in one pass over it. */
export async function summarizeEvents({ sql }: Db, log: SessionLog): Promise<EventsSummaryRow> {
  const all: Range = { order: "asc", limit: null };
  const isError = sql`type = 'turn.failed' or (type = 'tool.completed' and data -> 'success' = 'false'::jsonb)`;
  const columns = sql`sequence, type, ts, ${isError} as is_error,
    case when type = 'turn.started' then context ->> 'turn_id' end as turn_id`;
  const rows = await sql<EventsSummaryRow[]>`
    with typed as (
      select type, count(*) as count, count(*) filter (where is_error) as errors, min(ts) as first_ts, max(ts) as last_ts,
             count(distinct turn_id) as turns
        from (${selectFrom(sql, log, all, columns, sql``)}) e
       group by type
    )
    select coalesce(sum(count), 0)::bigint as total, coalesce(sum(turns), 0)::bigint as turn_count,
           coalesce(sum(errors), 0)::bigint as error_count, min(first_ts) as first_ts, max(last_ts) as last_ts,
           coalesce(jsonb_agg(jsonb_build_object('event_type', type, 'count', count) order by count desc, type), '[]') as by_type
      from typed`;
  return rows[0] as EventsSummaryRow;
}

/** The newest `turn.started` at or before a sequence; null when there is none. */
export async function turnStartAtOrBefore(
  { sql }: Db,
  log: SessionLog,
  sequence: number,
): Promise<number | null> {
  const range: Range = { before: sequence + 1, order: "desc", limit: 1 };
  const rows = await sql<{ sequence: number }[]>`
    ${selectFrom(sql, log, range, sql`sequence`, sql`and type = 'turn.started'`)}`;
  return rows[0]?.sequence ?? null;
}

/** The filter without its bounds on the sequence. */
function where(sql: Sql, filter: EventFilter): Fragment {
  return sql`
    ${filter.types === null ? sql`` : sql`and type = any (${[...filter.types]}::text[])`}
    ${filter.exclude.length === 0 ? sql`` : sql`and type <> all (${[...filter.exclude]}::text[])`}
    ${filter.since === null ? sql`` : sql`and ts >= ${filter.since}`}
    ${filter.until === null ? sql`` : sql`and ts <= ${filter.until}`}
    ${filter.turnId === null ? sql`` : sql`and context ->> 'turn_id' = ${filter.turnId}`}
    ${filter.execId === null ? sql`` : sql`and context ->> 'exec_id' = ${filter.execId}`}
    ${filter.traceId === null ? sql`` : sql`and context ->> 'trace_id' = ${filter.traceId}`}
    ${filter.toolName === null ? sql`` : sql`and coalesce(data ->> 'tool_name', data #>> '{tool_call,name}') = ${filter.toolName}`}
    ${filter.tags === null ? sql`` : sql`and tags && ${[...filter.tags]}::text[]`}
    ${filter.q === null ? sql`` : sql`and ${matches(sql, filter.q)}`}`;
}

/** Of an event's data. Past this PostgreSQL may refuse to make a text vector of it. */
const VECTOR_BYTES_MAX = 256 * 1024;

/**
 * Full text: words in any order, `"…"` as a phrase, `or`, `-word`, in whatever language. No index holds it: each
 * append would have to write to it, and a session is looked through in milliseconds. What has no words in it, and data
 * too large for a text vector, is looked for as a piece of text.
 */
function matches(sql: Sql, q: string): Fragment {
  const words = sql`websearch_to_tsquery('simple', ${q})`;
  const text = sql`
    case when numnode(${words}) = 0 or octet_length(data::text) > ${VECTOR_BYTES_MAX}
         then data::text ilike ${`%${likeLiteral(q)}%`}
         else jsonb_to_tsvector('simple', data, '["string", "numeric"]') @@ ${words} end`;
  const needed = neededPieces(q);
  if (needed.length === 0) return text;
  // Ten times cheaper than a text vector, and most events fall through here.
  return sql`data::text ilike all (${needed.map((piece) => `%${likeLiteral(piece)}%`)}::text[]) and ${text}`;
}

/** Pieces of text that whatever the words find must hold; none when the words are alternatives. */
function neededPieces(q: string): string[] {
  if (/(?:^|\s)or(?:\s|$)/i.test(q)) return [];
  const wanted = q.replace(/(?:^|\s)-(?:"[^"]*"?|\S+)/g, " ");
  return (wanted.match(/[\p{L}\p{N}]+/gu) ?? []).slice(0, 20);
}

const likeLiteral = (text: string) => text.replace(/[\\%_]/g, "\\$&");

/**
 * The sequence that a cursor (an event id) stands for. The id carries it, so that a pruned delta is a valid
 * cursor; an event that is there must have this very id.
 *
 * @returns null when the id is not one of this session's
 */
export async function resolveCursor({ sql }: Db, log: SessionLog, eventId: string): Promise<number | null> {
  const sequence = isId("event", eventId) ? sequenceOfEventId(eventId) : null;
  if (sequence === null) return null;
  const rows = await sql<{ last_sequence: number; id: string | null }[]>`
    select s.last_sequence, e.id
      from sessions s left join events e on e.session_id = ${ownerOf(log, sequence)} and e.sequence = ${sequence}
     where s.id = ${log.id}`;
  const row = rows[0];
  if (!row || sequence > row.last_sequence) return null;
  return row.id === null || row.id === eventId ? sequence : null;
}

/** What a reader needs to know of a session before it starts; null when there is none for this caller. */
export async function sessionHead(
  { sql }: Db,
  organizationId: string,
  sessionId: string,
): Promise<{ log: SessionLog; lastSequence: number; status: string } | null> {
  const rows = await sql<({ last_sequence: number; status: string } & LineageColumns)[]>`
    select last_sequence, status, lineage_ids, lineage_up_to from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null`;
  const row = rows[0];
  if (!row) return null;
  return {
    log: { id: sessionId, lineage: toLineage(row) },
    lastSequence: row.last_sequence,
    status: row.status,
  };
}

/**
 * The deltas of an answer that is under way at a cursor, oldest first: those after the last
 * `output.message.started` at or before it. Needed to show `accumulated` to a reader that joins mid-answer.
 */
export function openDeltas(db: Db, log: SessionLog, cursor: number): Promise<Event[]> {
  const { sql } = db;
  const edges = sql`and type in ('output.message.started', 'output.message.completed')`;
  return deltasSince(db, log, newest(sql, log, cursor + 1, edges), cursor);
}

/** The deltas from the beginning of the answer that `first` belongs to up to `last`, oldest first. */
export function deltasOfAnswers(
  db: Db,
  log: SessionLog,
  { first, last }: { first: number; last: number },
): Promise<Event[]> {
  const start = newest(db.sql, log, first, db.sql`and type = 'output.message.started'`);
  return deltasSince(db, log, start, last);
}

function newest(sql: Sql, log: SessionLog, before: number, condition: Fragment): Fragment {
  return selectFrom(sql, log, { before, order: "desc", limit: 1 }, sql`sequence`, condition);
}

function deltasSince(db: Db, log: SessionLog, start: Fragment, last: number): Promise<Event[]> {
  const { sql } = db;
  const condition = sql`and type = any (${[...DELTA_TYPES]}::text[]) and sequence > coalesce((${start}), 0)`;
  return readRows(db, log, { before: last + 1, order: "asc", limit: null }, condition);
}

/**
 * The head together with a cursor, in one statement: what a reconnecting reader of an idle session costs.
 *
 * @returns cursor  null when the id is not one of this session's
 */
export async function headAndCursor(
  { sql }: Db,
  organizationId: string,
  sessionId: string,
  eventId: string,
): Promise<{ log: SessionLog; lastSequence: number; cursor: number | null } | null> {
  const sequence = sequenceOfEventId(eventId) ?? 0;
  const rows = await sql<({ last_sequence: number; event_id: string | null } & LineageColumns)[]>`
    select s.last_sequence, s.lineage_ids, s.lineage_up_to, e.id as event_id
      from sessions s
      left join events e
        on e.sequence = ${sequence}
       and e.session_id = coalesce((select a.id from unnest(s.lineage_ids, s.lineage_up_to) with ordinality a(id, up_to, place)
                                     where a.up_to >= ${sequence} order by a.place limit 1), s.id)
     where s.id = ${sessionId} and s.organization_id = ${organizationId} and s.deleted_at is null`;
  const row = rows[0];
  if (!row) return null;
  const isOwn = sequence <= row.last_sequence && (row.event_id === null || row.event_id === eventId);
  return {
    log: { id: sessionId, lineage: toLineage(row) },
    lastSequence: row.last_sequence,
    cursor: isOwn ? sequence : null,
  };
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
export function readMessages(db: Db, log: SessionLog, sequence: number | null = null): Promise<Event[]> {
  const { sql } = db;
  return readRows(
    db,
    log,
    {
      ...(sequence === null ? {} : { after: sequence - 1, before: sequence + 1 }),
      order: "asc",
      limit: null,
    },
    sql`and type in ('input.message', 'output.message.completed', 'tool.completed')`,
  );
}

export interface Branch {
  /** The first ones, deltas left out. */
  events: Event[];
  hasMore: boolean;
  /** Of every model call of the branch, also of those past the limit. */
  usage: TokenUsage;
}

/** What a session did after a sequence. */
export async function readBranch(
  db: Db,
  log: SessionLog,
  branch: { after: number; upTo: number; limit: number },
): Promise<Branch> {
  const { sql } = db;
  const range = { after: branch.after, before: branch.upTo + 1, order: "asc" as const };
  const sum = (name: keyof TokenUsage) => sql`
    coalesce(sum((data #>> array['metadata', 'usage', ${name}])::numeric), 0)::float8`;
  const [events, totals] = await Promise.all([
    readRows(
      db,
      log,
      { ...range, limit: branch.limit + 1 },
      sql`and type <> all (${[...DELTA_TYPES]}::text[])`,
    ),
    sql<TokenUsage[]>`
      select ${sum("input_tokens")} as input_tokens, ${sum("output_tokens")} as output_tokens,
             ${sum("cache_read_tokens")} as cache_read_tokens,
             ${sum("cache_creation_tokens")} as cache_creation_tokens,
             ${sum("estimated_cost_usd")} as estimated_cost_usd
        from (${selectFrom(sql, log, { ...range, limit: null }, sql`sequence, data`, sql`and type = 'llm.generation'`)}) g`,
  ]);
  return {
    events: events.slice(0, branch.limit),
    hasMore: events.length > branch.limit,
    usage: totals[0] ?? NO_USAGE,
  };
}
