/**
 * SQL databases of a session. The shapes are the wire's; `SessionDatabases` is the promise between the db room, which
 * keeps them, and the capabilities room, whose tools use them: neither may import the other.
 */
import { limits } from "./limits.ts";
import { type Static, Type } from "./schema.ts";

/** Letters, digits, `_` and `-`, beginning with a letter or `_`. */
export const DATABASE_NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,63}$/;

export const DatabaseInfo = Type.Object({
  name: Type.String(),
  size_bytes: Type.Integer(),
  page_count: Type.Integer(),
  created_at: Type.String({ format: "date-time" }),
  updated_at: Type.String({ format: "date-time" }),
});
export type DatabaseInfo = Static<typeof DatabaseInfo>;

export const CreateDatabaseRequest = Type.Object({
  name: Type.String({ maxLength: limits.nameCharsMax }),
});

/** A table or view, with what made it. */
export const TableSchema = Type.Object({
  name: Type.String(),
  type: Type.String(),
  sql: Type.Optional(Type.String()),
  columns: Type.Array(
    Type.Object({
      name: Type.String(),
      type: Type.String(),
      not_null: Type.Boolean(),
      primary_key: Type.Boolean(),
      default: Type.Optional(Type.String()),
    }),
  ),
  indexes: Type.Array(Type.String()),
});
export type TableSchema = Static<typeof TableSchema>;

export const DatabaseSchema = Type.Object({ database: Type.String(), tables: Type.Array(TableSchema) });

/** A value as SQLite has it; text for integers beyond 2^53. */
export type SqlValue = string | number | null | { blob_base64: string } | { blob_bytes: number };

export interface SqlRows {
  columns: string[];
  rows: SqlValue[][];
  /** There are more rows than are here. */
  isCut: boolean;
}

export interface SqlExecuted {
  /** Rows that were inserted, updated or deleted. */
  changes: number;
  lastInsertRowid: number;
  sizeBytes: number;
}

/**
 * Every method throws UserError (`invalid_request`: also what SQLite says of the statement; `limit_exceeded`,
 * `database_limit`, `not_found`) for what the caller can mend, and RetryableError when the database is out of reach.
 */
export interface SessionDatabases {
  /** Sorted by name. */
  list(): Promise<{ name: string; sizeBytes: number }[]>;
  /** Runs statements, all or none; makes the database when there is none of this name. */
  execute(name: string, sql: string, signal: AbortSignal): Promise<SqlExecuted>;
  /** One statement that reads. @param params  for `?` in it, in order */
  query(
    name: string,
    input: { sql: string; params: readonly (string | number | boolean | null)[]; rowsMax: number },
    signal: AbortSignal,
  ): Promise<SqlRows>;
  schema(name: string): Promise<TableSchema[]>;
}
