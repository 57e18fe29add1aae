import type { PendingQuery, Row } from "postgres";
import { toJsonText } from "../base/json.ts";
import type { Sql } from "./pool.ts";

/** How a column takes its value; plain scalars need no word. */
export type ColumnKinds = Readonly<Record<string, "json" | "text[]">>;

/**
 * `a = 1, b = '…'` for the fields that are present, for the `set` of an update. Undefined fields are left out;
 * null is a value. Column names are identifiers of ours, never a caller's.
 *
 * @returns null when there is nothing to set
 */
export function assignments(
  sql: Sql,
  values: Readonly<Record<string, unknown>>,
  kinds: ColumnKinds,
): PendingQuery<Row[]> | null {
  let list: PendingQuery<Row[]> | null = null;
  for (const [column, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const part = sql`${sql(column)} = ${columnValue(sql, value, kinds[column])}`;
    list = list === null ? part : sql`${list}, ${part}`;
  }
  return list;
}

/** What a change of status stamps, behind other columns of an update; nothing when the status stays. */
export function statusStamps(
  sql: Sql,
  status: "active" | "disabled" | "archived" | "deleted" | undefined,
): PendingQuery<Row[]> {
  switch (status) {
    case undefined:
      return sql``;
    case "active":
    case "disabled":
      return sql`, archived_at = null`;
    case "archived":
      return sql`, archived_at = coalesce(archived_at, now())`;
    case "deleted":
      return sql`, deleted_at = now()`;
  }
}

function columnValue(sql: Sql, value: unknown, kind: "json" | "text[]" | undefined): PendingQuery<Row[]> {
  if (value === null) return sql`null`;
  if (kind === "json") return sql`${toJsonText(value)}::text::jsonb`;
  if (kind === "text[]") return sql`${[...(value as readonly string[])]}::text[]`;
  return sql`${value as string | number | boolean | Date}`;
}
