/**
 * Databases of a session, as rows: SQLite's own bytes. Statements run elsewhere (`RunSql`); here a database is read,
 * handed over, and put back if it still has the version that was read. Who loses the race reads again and repeats:
 * what ran on the old version was never there.
 */
import { RetryableError, UserError } from "../base/errors.ts";
import { toJsonText } from "../base/json.ts";
import { createKeyedMutex, type KeyedMutex } from "../base/keyed-mutex.ts";
import { limits } from "../contract/limits.ts";
import {
  DATABASE_NAME,
  type SessionDatabases,
  type SqlExecuted,
  type SqlRows,
  type TableSchema,
} from "../contract/session-database.ts";
import type { Db } from "./pool.ts";
import type { SessionScope } from "./session-storage.ts";
import { asRetryable } from "./sqlstate.ts";

/** Runs one request on a database's bytes; null for a new one. @throws UserError */
export type RunSql = (
  request: {
    mode: "execute" | "query";
    sql: string;
    params: (string | number | boolean | null)[];
    rowsMax: number;
    answerBytesMax: number;
    databaseBytesMax: number;
  },
  bytes: Uint8Array | null,
  signal: AbortSignal,
) => Promise<{
  answer:
    | ({ mode: "query" } & SqlRows)
    | {
        mode: "execute";
        changes: number;
        lastInsertRowid: number;
        pageCount: number;
        tables: TableSchema[];
      };
  /** The database after it. */
  bytes: Uint8Array;
}>;

export interface DatabaseRow {
  name: string;
  size_bytes: number;
  page_count: number;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = ["name", "size_bytes", "page_count", "created_at", "updated_at"] as const;
/** Below the cap on every tool result, so that a cut is said and not seen. */
const ANSWER_BYTES_MAX = limits.toolResultBytesMax - 8 * 1024;
/** Lost in a row; each one means that somebody else's change stood. */
const RACES_MAX = 10;

/** Make this once a process: the parallel calls of a turn then wait for each other instead of losing races. */
export function createSessionDatabases(db: Db, runSql: RunSql): (scope: SessionScope) => SessionDatabases {
  const queues = createKeyedMutex();
  return (scope) => openDatabases(db, runSql, scope, queues);
}

function openDatabases(db: Db, runSql: RunSql, scope: SessionScope, queues: KeyedMutex): SessionDatabases {
  return {
    async list() {
      return (await listDatabases(db, scope)).map(({ name, size_bytes }) => ({
        name,
        sizeBytes: size_bytes,
      }));
    },
    async execute(name, sql, signal) {
      return queues.run(`${scope.sessionId}/${name}`, async () => {
        if (!(await findDatabase(db, scope, name))) await makeDatabase(db, scope, name);
        return execute(db, runSql, scope, { name, sql, signal });
      });
    },
    async query(name, { sql, params, rowsMax }, signal) {
      const { content } = await readContent(db, scope, name);
      const request = {
        mode: "query" as const,
        sql,
        params: [...params],
        rowsMax,
        answerBytesMax: ANSWER_BYTES_MAX,
        databaseBytesMax: limits.databaseBytesMax,
      };
      const { answer } = await runSql(request, content, signal);
      if (answer.mode !== "query") throw new Error("the answer is of another request");
      return { columns: answer.columns, rows: answer.rows, isCut: answer.isCut };
    },
    async schema(name) {
      const tables = await databaseTables(db, scope, name);
      if (tables === null) throw noDatabase(name);
      return tables;
    },
  };
}

async function execute(
  db: Db,
  runSql: RunSql,
  scope: SessionScope,
  { name, sql, signal }: { name: string; sql: string; signal: AbortSignal },
): Promise<SqlExecuted> {
  for (let race = 0; race < RACES_MAX; race += 1) {
    const { content, version } = await readContent(db, scope, name);
    const request = {
      mode: "execute" as const,
      sql,
      params: [],
      rowsMax: 0,
      answerBytesMax: 0,
      databaseBytesMax: limits.databaseBytesMax,
    };
    const { answer, bytes } = await runSql(request, content, signal);
    if (answer.mode !== "execute") throw new Error("the answer is of another request");
    const rows = await retryable(db.sql`
      update session_databases
         set content = ${bytes}, size_bytes = ${bytes.length}, page_count = ${answer.pageCount},
             tables = ${toJsonText(answer.tables)}::text::jsonb, version = version + 1, updated_at = now()
       where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId} and name = ${name}
         and version = ${version}
      returning 1`);
    if (rows.length === 1) {
      return {
        changes: answer.changes,
        lastInsertRowid: answer.lastInsertRowid,
        sizeBytes: bytes.length,
      };
    }
  }
  throw new RetryableError("unavailable", "the database is being changed by many at once; try again");
}

/** Sorted by name. */
export async function listDatabases({ sql }: Db, scope: SessionScope): Promise<DatabaseRow[]> {
  return await retryable(sql<DatabaseRow[]>`
    select ${sql(COLUMNS)} from session_databases
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId}
     order by name`);
}

export async function findDatabase(
  { sql }: Db,
  scope: SessionScope,
  name: string,
): Promise<DatabaseRow | null> {
  const rows = await retryable(sql<DatabaseRow[]>`
    select ${sql(COLUMNS)} from session_databases
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId} and name = ${name}`);
  return rows[0] ?? null;
}

/** Tables and views; null when there is no such database. */
export async function databaseTables(
  { sql }: Db,
  scope: SessionScope,
  name: string,
): Promise<TableSchema[] | null> {
  const rows = await retryable(sql<{ tables: TableSchema[] }[]>`
    select tables from session_databases
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId} and name = ${name}`);
  return rows[0]?.tables ?? null;
}

/**
 * An empty database. The limit is that of what the statement sees: calls at the very same moment may go past it.
 *
 * @returns null when there is one of this name
 * @throws UserError invalid_request, not_found (the session), database_limit
 */
export async function makeDatabase(
  { sql }: Db,
  scope: SessionScope,
  name: string,
): Promise<DatabaseRow | null> {
  if (!DATABASE_NAME.test(name)) {
    throw new UserError(
      "invalid_request",
      `name: ${JSON.stringify(name.slice(0, 80).toWellFormed())} is no name of a database: a letter or _, then letters, digits, _ and -, at most 64`,
    );
  }
  const [row] = await retryable(sql<(DatabaseRow & { is_live: boolean; is_full: boolean })[]>`
    with session as (
      select id, (select count(*) from session_databases d where d.session_id = sessions.id) as n
        from sessions
       where id = ${scope.sessionId} and organization_id = ${scope.organizationId} and deleted_at is null
    ), made as (
      insert into session_databases (session_id, name, organization_id)
      select id, ${name}, ${scope.organizationId} from session where n < ${limits.databasesPerSessionMax}
      on conflict (session_id, name) do nothing
      returning ${sql(COLUMNS)}
    )
    select exists (select from session) as is_live,
           exists (select from session where n >= ${limits.databasesPerSessionMax}) as is_full, made.*
      from (select 1) one left join made on true`);
  if (!row?.is_live) throw new UserError("not_found", "Session not found");
  if (row.name !== null) return row;
  if (!row.is_full || (await findDatabase({ sql } as Db, scope, name))) return null;
  throw new UserError(
    "database_limit",
    `a session has at most ${limits.databasesPerSessionMax} databases; delete one first`,
  );
}

/** @returns false when there was none */
export async function deleteDatabase({ sql }: Db, scope: SessionScope, name: string): Promise<boolean> {
  const rows = await retryable(sql`
    delete from session_databases
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId} and name = ${name}
    returning 1`);
  return rows.length > 0;
}

async function readContent(
  { sql }: Db,
  scope: SessionScope,
  name: string,
): Promise<{ content: Uint8Array | null; version: number }> {
  const rows = await retryable(sql<{ content: Uint8Array | null; version: number }[]>`
    select content, version from session_databases
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId} and name = ${name}`);
  if (!rows[0]) throw noDatabase(name);
  return rows[0];
}

const noDatabase = (name: string) =>
  new UserError("not_found", `there is no database ${JSON.stringify(name.slice(0, 80).toWellFormed())}`);

async function retryable<T>(work: PromiseLike<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asRetryable(error);
  }
}
