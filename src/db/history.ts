/** The model's history: the few event types that it is built from, through the partial index on exactly these. */
import type { Event, EventType } from "../contract/event.ts";
import { COLUMNS, type EventRow, readRows, selectFrom, toEvents } from "./_log-rows.ts";
import type { SessionLog } from "./lineage.ts";
import type { Db, Sql } from "./pool.ts";

/** The event types that the model's history is built from; `events_history` is the index on exactly these. */
export type HistoryType =
  | "input.message"
  | "output.message.completed"
  | "tool.completed"
  | "reason.started"
  | "reason.item";

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
  const rows = await sql<(EventRow & { newer_bytes: number; stored_bytes: number })[]>`
    select * from (
      select p.*, coalesce(sum(stored_bytes) over (order by sequence desc rows between unbounded preceding
                                                   and 1 preceding), 0)::bigint as newer_bytes
        from (${selectFrom(sql, log, range, sql`${COLUMNS(sql)}, pg_column_size(data) as stored_bytes`, HISTORY(sql))}) p
    ) sized
     where newer_bytes < ${page.storedBytesMax}
     order by sequence`;
  const oldest = rows[0];
  const isCut =
    rows.length === page.rowsMax ||
    (oldest !== undefined && oldest.newer_bytes + oldest.stored_bytes >= page.storedBytesMax);
  return {
    events: toEvents(
      log,
      rows.map(({ newer_bytes, stored_bytes, ...row }) => row),
    ),
    isFirst: !isCut,
  };
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
