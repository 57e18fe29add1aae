/** The model's history: the few event types that it is built from, through the partial index on exactly these. */
import type { Event, EventType } from "../contract/event.ts";
import { createGrouping } from "./_grouping.ts";
import { COLUMNS, type Fragment, readRows, selectFrom, toEvent } from "./_log-rows.ts";
import { ownLog, type SessionLog } from "./lineage.ts";
import type { Db, Sql } from "./pool.ts";

/** The event types that the model's history is built from; `events_history` is the index on exactly these. */
const HISTORY_TYPES: ReadonlySet<EventType> = new Set([
  "input.message",
  "output.message.completed",
  "tool.completed",
  "reason.started",
  "reason.item",
]);

export const isHistoryEvent = (event: Event): boolean => HISTORY_TYPES.has(event.type);

// Literals, not parameters: only so does PostgreSQL see that the partial index holds them all.
const HISTORY = (sql: Sql) => sql`
  and type in ('input.message', 'output.message.completed', 'tool.completed', 'reason.started', 'reason.item')`;

/** Everything between two sequences (exclusive), oldest first. */
export function readHistory(
  db: Db,
  log: SessionLog,
  range: { after: number; before?: number },
): Promise<Event[]> {
  return readRows(db, log, { ...range, order: "asc", limit: null }, HISTORY(db.sql));
}

export interface HistoryPage {
  /** Oldest first. */
  events: Event[];
  /** Nothing lies before the oldest of them in this log. */
  isFirst: boolean;
}

/**
 * The newest events before a sequence: at most `rowsMax`, and no more once `storedBytesMax` are reached. One event
 * comes in any case. The bytes are those on disk, where long texts are compressed.
 *
 * @param page.before  exclusive; null: from the end
 */
export async function readHistoryPage(
  { sql }: Db,
  log: SessionLog,
  page: { before: number | null; rowsMax: number; storedBytesMax: number },
): Promise<HistoryPage> {
  const range = { before: page.before, order: "desc" as const, limit: page.rowsMax };
  const columns = sql`${COLUMNS(sql)}, pg_column_size(data) as stored_bytes`;
  const newest = selectFrom(sql, log, range, columns, HISTORY(sql));
  const rows = await sql<PackedPage[]>`${selectPage(sql, newest, page.storedBytesMax)}`;
  return toPage(log, rows[0], page);
}

export interface NewestPage extends HistoryPage {
  /** The session's newest sequence, of any type, as of the reading; 0 when there is no such session. */
  upTo: number;
}

/**
 * The newest page of what a session wrote itself. Grouped: the pages that many runs want at the same moment are one
 * statement.
 */
export function readNewestPage(db: Db, sessionId: string): Promise<NewestPage> {
  return askNewestPage(db, sessionId);
}

/** Holds most sessions whole. */
const NEWEST_PAGE = { rowsMax: 500, storedBytesMax: 256 * 1024 };
/** Few: each may bring a page. */
const PAGES_MAX = 20;
const askNewestPage = createGrouping({ groupMax: PAGES_MAX, answer: readNewestPages });

async function readNewestPages({ sql }: Db, sessionIds: readonly string[]): Promise<NewestPage[]> {
  const rows = await sql<(PackedPage & { place: number; up_to: number })[]>`
    select asked.place, coalesce(s.last_sequence, 0) as up_to, page.*
      from unnest(${[...sessionIds]}::text[], ${sessionIds.map((_, place) => place)}::int[])
             as asked(session_id, place)
      left join sessions s on s.id = asked.session_id,
           lateral (
             ${selectPage(
               sql,
               sql`
                 select ${COLUMNS(sql)}, pg_column_size(data) as stored_bytes
                   from events
                  where session_id = asked.session_id ${HISTORY(sql)}
                  order by sequence desc
                  limit ${NEWEST_PAGE.rowsMax}`,
               NEWEST_PAGE.storedBytesMax,
             )}
           ) page`;
  const found = new Map(rows.map((row) => [row.place, row]));
  return sessionIds.map((id, place) => ({
    ...toPage(ownLog(id), found.get(place), NEWEST_PAGE),
    upTo: found.get(place)?.up_to ?? 0,
  }));
}

/** A page as one text: parsed at once it costs a third of what its rows would. */
interface PackedPage {
  /** Arrays, oldest first, without the brackets around; null when there is none. */
  events: string | null;
  row_count: number;
  stored_bytes: number | null;
}

type Packed = [
  string,
  EventType,
  string,
  number,
  object,
  unknown,
  Record<string, unknown> | null,
  string[] | null,
];

/** @param newest  a select of the log's columns and `stored_bytes`, newest first */
function selectPage(sql: Sql, newest: Fragment, storedBytesMax: number): Fragment {
  return sql`
    select string_agg('["' || id || '","' || type || '",' || to_json(ts) || ',' || sequence || ',' || context::text || ','
                      || data::text || ',' || coalesce(metadata::text, 'null') || ','
                      || coalesce(to_json(tags)::text, 'null') || ']', ',' order by sequence) as events,
           count(*) as row_count,
           max(newer_bytes + stored_bytes) as stored_bytes
      from (
        select p.*, coalesce(sum(stored_bytes) over (order by sequence desc rows between unbounded preceding
                                                     and 1 preceding), 0)::bigint as newer_bytes
          from (${newest}) p
      ) sized
     where newer_bytes < ${storedBytesMax}`;
}

function toPage(
  log: SessionLog,
  page: PackedPage | undefined,
  asked: { rowsMax: number; storedBytesMax: number },
): HistoryPage {
  if (!page) throw new Error(`${log.id}: an aggregate has one row`);
  const events = (JSON.parse(`[${page.events ?? ""}]`) as Packed[]).map(
    ([id, type, ts, sequence, context, data, metadata, tags]) =>
      toEvent({
        id,
        type,
        ts: new Date(ts),
        session_id: log.id,
        sequence,
        context: context as Record<string, unknown>,
        data,
        metadata,
        tags,
      }),
  );
  const isCut = page.row_count === asked.rowsMax || (page.stored_bytes ?? 0) >= asked.storedBytesMax;
  return { events, isFirst: !isCut };
}

/** The messages of users between two sequences (exclusive), oldest first. */
export function readInputs(
  db: Db,
  log: SessionLog,
  range: { after: number; before: number },
): Promise<Event[]> {
  return readRows(db, log, { ...range, order: "asc", limit: null }, db.sql`and type = 'input.message'`);
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
