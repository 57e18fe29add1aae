/**
 * What runs in the process of its own: one request on one SQLite database in memory, then the end. It gets the
 * database as bytes and gives it back as bytes; it opens no file. See sql-runner.ts for the other side.
 */
import { Database } from "bun:sqlite";
import type { SqlRows, SqlValue, TableSchema } from "../contract/session-database.ts";
import { packMessage, unpackMessage } from "./message.ts";
import { refuseSql } from "./statements.ts";

export interface SqlRequest {
  mode: "execute" | "query";
  sql: string;
  params: (string | number | boolean | null)[];
  rowsMax: number;
  /** Of the rows, as JSON. */
  answerBytesMax: number;
  databaseBytesMax: number;
}

export type SqlAnswer =
  | { ok: false; error: string }
  | ({ ok: true; mode: "query" } & SqlRows)
  | {
      ok: true;
      mode: "execute";
      changes: number;
      lastInsertRowid: number;
      pageCount: number;
      tables: TableSchema[];
    };

const PAGE_BYTES = 4096;
const BLOB_SHOWN_BYTES_MAX = 1024;
const TABLES_MAX = 200;

/** @param message  a `SqlRequest` and the database's bytes; none for a new one */
export function answerSql(message: Uint8Array): Uint8Array {
  const { head, bytes } = unpackMessage<SqlRequest>(message);
  const refusal = refuseSql(head.sql, head.mode);
  if (refusal !== null) return packMessage<SqlAnswer>({ ok: false, error: refusal }, null);
  const db = bytes.length === 0 ? new Database(":memory:", OPTIONS) : Database.deserialize(bytes, OPTIONS);
  try {
    bound(db, head);
    if (head.mode === "query")
      return packMessage<SqlAnswer>({ ok: true, mode: "query", ...rows(db, head) }, null);
    const before = count(db, "select total_changes() as n");
    db.run(head.sql);
    if (db.inTransaction) return packMessage<SqlAnswer>({ ok: false, error: OPEN_TRANSACTION }, null);
    const answer: SqlAnswer = {
      ok: true,
      mode: "execute",
      changes: count(db, "select total_changes() as n") - before,
      lastInsertRowid: count(db, "select last_insert_rowid() as n"),
      pageCount: count(db, "pragma page_count"),
      tables: tablesOf(db),
    };
    return packMessage<SqlAnswer>(answer, db.serialize());
  } catch (error) {
    return packMessage<SqlAnswer>(
      { ok: false, error: error instanceof Error ? error.message : "failed" },
      null,
    );
  }
}

const OPTIONS = { strict: true, safeIntegers: true };
const OPEN_TRANSACTION = "a transaction is left open; end it with commit in the same call";

/**
 * Nothing that the caller may send can undo these: `pragma` is refused. SQLite's own limit of memory does nothing in
 * Bun 1.4.5, which counts none: the other process watches this one's.
 */
function bound(db: Database, { mode, databaseBytesMax }: SqlRequest): void {
  db.run(`pragma max_page_count = ${Math.floor(databaseBytesMax / PAGE_BYTES)}`);
  db.run("pragma temp_store = memory");
  db.run("pragma trusted_schema = off");
  db.run("pragma foreign_keys = on");
  if (mode === "query") db.run("pragma query_only = on");
}

function rows(db: Database, { sql, params, rowsMax, answerBytesMax }: SqlRequest): SqlRows {
  const statement = db.prepare(sql);
  const columns = statement.columnNames;
  const twice = columns.find((column, index) => columns.indexOf(column) !== index);
  // A row comes as an object: the second would take the place of the first.
  if (twice !== undefined) throw new Error(`two columns have the name ${twice}; name them apart with AS`);
  const found: SqlValue[][] = [];
  let bytes = JSON.stringify(columns).length;
  for (const row of statement.iterate(...params) as Iterable<Record<string, unknown>>) {
    const values = columns.map((column) => shown(row[column]));
    bytes += Buffer.byteLength(JSON.stringify(values));
    if (found.length >= rowsMax || bytes > answerBytesMax) return { columns, rows: found, isCut: true };
    found.push(values);
  }
  return { columns, rows: found, isCut: false };
}

function shown(value: unknown): SqlValue {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : String(value);
  }
  if (value instanceof Uint8Array) {
    if (value.length > BLOB_SHOWN_BYTES_MAX) return { blob_bytes: value.length };
    return { blob_base64: Buffer.from(value).toString("base64") };
  }
  return (value ?? null) as SqlValue;
}

function tablesOf(db: Database): TableSchema[] {
  const tables = db
    .query(
      `select name, type, sql from sqlite_schema
        where type in ('table', 'view') and name not like 'sqlite\\_%' escape '\\' order by name limit ${TABLES_MAX}`,
    )
    .all() as { name: string; type: string; sql: string | null }[];
  const columns = db.query(
    `select name, type, "notnull" as is_required, pk, dflt_value from pragma_table_info(?)`,
  );
  const indexes = db.query(
    "select sql from sqlite_schema where type = 'index' and tbl_name = ? and sql is not null",
  );
  return tables.map(({ name, type, sql }) => ({
    name,
    type,
    ...(sql === null ? {} : { sql }),
    columns: (columns.all(name) as ColumnRow[]).map((column) => ({
      name: column.name,
      type: column.type,
      not_null: column.is_required === 1n,
      primary_key: column.pk > 0n,
      ...(column.dflt_value === null ? {} : { default: String(column.dflt_value) }),
    })),
    indexes: (indexes.all(name) as { sql: string }[]).map((index) => index.sql),
  }));
}

interface ColumnRow {
  name: string;
  type: string;
  is_required: bigint;
  pk: bigint;
  dflt_value: unknown;
}

function count(db: Database, sql: string): number {
  return Number(Object.values(db.query(sql).get() as Record<string, bigint>)[0]);
}
