/** Everything that the program wrote or answers, searched for what must not be in it (I9). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Sql } from "postgres";
import { inspectEmbeddedPostgres } from "../../../src/embedded/postgres.ts";
import { withSql } from "../../embedded/support/clusters.ts";

/** Ids to put into the paths of the API, by the names of their parameters. */
export type PathIds = Readonly<Record<string, string>>;

/** Parameters whose resource no provider has a part in: their routes are asked for what is not there. */
const NOTHING_THERE = new Set(
  "run_id from_version_id to_version_id provider execution_id schedule_id image_id server_id memory_id org name task_id skill_id webhook_id".split(
    " ",
  ),
);

/**
 * Every answer to a GET of every route that the server's own document lists, as text by path. Streams are left
 * out: they carry what the list of events has.
 */
export async function everyAnswer(url: string, ids: PathIds): Promise<Map<string, string>> {
  const document = (await (await fetch(`${url}/api-doc/openapi.json`)).json()) as {
    paths: Record<string, { get?: { responses: Record<string, { content?: object }> } }>;
  };
  const answers = new Map<string, string>();
  for (const [template, methods] of Object.entries(document.paths)) {
    if (!methods.get || "text/event-stream" in (methods.get.responses["200"]?.content ?? {})) continue;
    const path = template.replace(/\{(\w+)\}/g, (_, name: string) => {
      const known = ids[name] ?? ids[`${template.split("/")[2]}.${name}`];
      const id = known ?? (NOTHING_THERE.has(name) ? "none" : undefined);
      if (!id) throw new Error(`no id for ${name} of ${template}`);
      return id;
    });
    const response = await fetch(`${url}${path}`);
    answers.set(`${response.status} ${template}`, await response.text());
  }
  return answers;
}

/** All rows of all tables as text, by table, from the embedded database of a data directory. */
export async function everyRow(dataDir: string): Promise<Map<string, string>> {
  const found = inspectEmbeddedPostgres(dataDir);
  if (!found) throw new Error(`no database in ${dataDir}`);
  return withSql(found.address, async (sql: Sql) => {
    const rows = new Map<string, string>();
    const tables = await sql<{ name: string }[]>`
      select tablename as name from pg_tables where schemaname = 'public' order by 1`;
    for (const { name } of tables) {
      const dumped = await sql<{ row: string }[]>`select t::text as row from ${sql(name)} t`;
      rows.set(name, dumped.map(({ row }) => row).join("\n"));
    }
    return rows;
  });
}

/** The files below a directory that hold the secret, write-ahead log and server logs included. */
export function filesWith(directory: string, secret: string): string[] {
  const needle = Buffer.from(secret);
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(needle));
}
