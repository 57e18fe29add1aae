/** The second wall, with the first one taken away: SQL that opens files, in a process that may open none. */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOM = resolve(import.meta.dir, "../../src/sandbox/no-files.ts");
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "everruns-test-"));
  const victim = new Database(join(directory, "victim.db"), { create: true });
  victim.run("create table t (a); insert into t values ('secret')");
  victim.close();
});
afterAll(() => rmSync(directory, { recursive: true }));

/** What a process prints that runs the SQL: with the wall, then without it. */
async function run(sql: string): Promise<string[]> {
  const program = `
    import { Database } from "bun:sqlite";
    import { withoutFiles } from ${JSON.stringify(ROOM)};
    const attempt = () => {
      const db = new Database(":memory:");
      try { db.run(${JSON.stringify(sql)}); return "done"; } catch (error) { return error.message; }
    };
    console.log(withoutFiles(attempt));
    console.log(attempt());`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
  return (await child.stdout.text()).trim().split("\n");
}

test("an existing file is not read", async () => {
  const sql = `attach '${join(directory, "victim.db")}' as v; create table loot as select * from v.t`;
  expect(await run(sql)).toEqual([expect.stringContaining("unable to open database"), "done"]);
});

test("no file is made", async () => {
  const path = join(directory, "made.db");
  const [walled, open] = await run(`vacuum into '${path}'`);
  expect(walled).toContain("unable to open database");
  expect({ open, isThere: existsSync(path) }).toEqual({ open: "done", isThere: true });
});

test("what is in memory works as ever", async () => {
  const sql = "create table t (a); insert into t values (1), (2); create index i on t (a); vacuum";
  expect(await run(sql)).toEqual(["done", "done"]);
});
