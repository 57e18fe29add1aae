/**
 * `session_sql_database`: SQLite databases of the session. Statements run in a process of their own that can open no
 * file and is killed when its time is up.
 *
 * Queries are pure. `sql_execute` is at_most_once: an insert that ran twice would be there twice, and a call whose
 * worker was lost may have been stored or not.
 */
import { z } from "zod";
import { limits } from "../contract/limits.ts";
import { defineCapability } from "./capability.ts";
import { defineTool } from "./tool.ts";

const Name = z.string().min(1).max(limits.nameCharsMax).default("main").describe("Database; default: main");
const Sql = z.string().min(1).max(limits.sqlCharsMax);

const execute = defineTool({
  name: "sql_execute",
  displayName: "Change database",
  description:
    "Runs SQL statements (SQLite) that change a database of this session: create, insert, update, delete. All of them " +
    "or none. A database that is not there is made. pragma, attach and vacuum are not available.",
  effect: "at_most_once",
  input: z.object({ database: Name, sql: Sql.describe("One or more statements, parted by ;") }),
  async run({ database, sql }, { databases, signal }) {
    const done = await databases.execute(database, sql, signal);
    return {
      database,
      changes: done.changes,
      last_insert_rowid: done.lastInsertRowid,
      size_bytes: done.sizeBytes,
    };
  },
});

const query = defineTool({
  name: "sql_query",
  displayName: "Query database",
  description:
    "Runs one SELECT (SQLite) on a database of this session and shows the rows. Write values as ? and give them in " +
    "params. Use LIMIT and aggregates: long answers are cut.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({
    database: Name,
    sql: Sql,
    params: z
      .array(z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .max(limits.sqlParametersMax)
      .default([])
      .describe("Values for the ? in sql, in order"),
    limit: z
      .number()
      .int()
      .min(1)
      .max(limits.databaseRowsMax)
      .default(limits.databaseRowsDefault)
      .describe("Rows to show"),
  }),
  async run({ database, sql, params, limit }, { databases, signal }) {
    const { columns, rows, isCut } = await databases.query(database, { sql, params, rowsMax: limit }, signal);
    return { columns, rows, row_count: rows.length, ...(isCut ? { more_rows: true } : {}) };
  },
});

const schema = defineTool({
  name: "sql_schema",
  displayName: "Database schema",
  description:
    "Shows the tables, views, columns and indexes of a database, or, without database, which there are.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({ database: z.string().min(1).max(limits.nameCharsMax).optional() }),
  async run({ database }, { databases }) {
    if (database !== undefined) return { database, tables: await databases.schema(database) };
    const list = await databases.list();
    return { databases: list.map(({ name, sizeBytes }) => ({ name, size_bytes: sizeBytes })) };
  },
});

export const sessionDatabase = defineCapability({
  id: "session_sql_database",
  name: "SQL database",
  description: `SQLite databases of the session, at most ${limits.databasesPerSessionMax} of ${limits.databaseBytesMax / 1024 / 1024} MiB each.`,
  category: "State",
  icon: "table",
  features: ["sql_database"],
  tools: () => [execute, query, schema],
});
