/** Rows of a log, whoever wrote them: the one place that knows how a fork's events are read. */
import type { PendingQuery, Row } from "postgres";
import type { Event, EventType } from "../contract/event.ts";
import { partsOf, type SessionLog } from "./lineage.ts";
import type { Db, Sql } from "./pool.ts";

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

/** Which part of a log, and how much of it. */
export interface Range {
  /** Exclusive bounds; null is open. */
  after?: number | null;
  before?: number | null;
  order: "asc" | "desc";
  /** null: no limit. */
  limit: number | null;
}

export type Fragment = PendingQuery<Row[]>;

export const COLUMNS = (sql: Sql) => sql`id, type, ts, session_id, sequence, context, data, metadata, tags`;

/**
 * A select over a log, for a statement or within one: a session that is no fork reads its own rows, a fork those of
 * each session that wrote a part of the range, in the same statement.
 *
 * @param condition  `` sql`and …` `` on columns of events, or empty
 */
export function selectFrom(
  sql: Sql,
  log: SessionLog,
  range: Range,
  columns: Fragment,
  condition: Fragment,
): Fragment {
  const order = range.order === "asc" ? sql`asc` : sql`desc`;
  const limit = range.limit === null ? sql`` : sql`limit ${range.limit}`;
  const after = range.after ?? null;
  const before = range.before ?? null;
  if (log.lineage.length === 0) {
    return sql`
      select ${columns}
        from events
       where session_id = ${log.id}
         ${after === null ? sql`` : sql`and sequence > ${after}`}
         ${before === null ? sql`` : sql`and sequence < ${before}`}
         ${condition}
       order by sequence ${order}
       ${limit}`;
  }
  return sql`
    select e.*
      from ${partRows(sql, log, after, before)}, lateral (
        select ${columns}
          from events
         where session_id = part.owner_id and sequence > part.after and sequence <= part.up_to ${condition}
         order by sequence ${order}
         ${limit}
      ) e
     order by e.sequence ${order}
     ${limit}`;
}

export function partRows(sql: Sql, log: SessionLog, after: number | null, before: number | null): Fragment {
  const parts = partsOf(log, { after: after ?? 0, before: before ?? Number.MAX_SAFE_INTEGER });
  return sql`
    unnest(${parts.map((part) => part.ownerId)}::text[], ${parts.map((part) => part.after)}::bigint[],
           ${parts.map((part) => part.upTo)}::bigint[]) as part(owner_id, after, up_to)`;
}

/** Rows as events of this very log, whoever wrote them. */
export function toEvents(log: SessionLog, rows: readonly EventRow[]): Event[] {
  if (log.lineage.length === 0) return rows.map(toEvent);
  return rows.map((row) => toEvent({ ...row, session_id: log.id }));
}

export async function readRows(
  { sql }: Db,
  log: SessionLog,
  range: Range,
  condition: Fragment,
): Promise<Event[]> {
  return toEvents(log, await sql<EventRow[]>`${selectFrom(sql, log, range, COLUMNS(sql), condition)}`);
}
