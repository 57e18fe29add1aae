import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { createSqlRunner } from "../../src/sandbox/sql-runner.ts";
import { testSqlRunner } from "../support/sql-runner.ts";

const run = testSqlRunner();
const never = new AbortController().signal;
const request = (mode: "execute" | "query", sql: string, more: object = {}) => ({
  mode,
  sql,
  params: [],
  rowsMax: 5,
  answerBytesMax: 2_000,
  databaseBytesMax: 1024 * 1024,
  ...more,
});
const FOREVER = "with recursive c(x) as (select 1 union all select x + 1 from c) select max(x) from c";

describe("a database in a process of its own", () => {
  test("goes in and comes out as bytes", async () => {
    const made = await run(
      request(
        "execute",
        "create table t (a integer primary key, b text not null default 'x'); create index i on t (b); insert into t (b) values ('1'), ('2'); create view v as select a from t",
      ),
      null,
      never,
    );
    expect(made.answer).toMatchObject({ changes: 2, lastInsertRowid: 2 });
    expect(made.answer).toMatchObject({
      tables: [
        {
          name: "t",
          type: "table",
          columns: [
            { name: "a", type: "INTEGER", not_null: false, primary_key: true },
            { name: "b", type: "TEXT", not_null: true, primary_key: false, default: "'x'" },
          ],
          indexes: ["CREATE INDEX i on t (b)"],
        },
        { name: "v", type: "view" },
      ],
    });
    const read = await run(
      request("query", "select * from t where a > ?", { params: [1] }),
      made.bytes,
      never,
    );
    expect(read.answer).toMatchObject({ columns: ["a", "b"], rows: [[2, "2"]], isCut: false });
    expect(read.bytes).toHaveLength(0);
    const write = run(request("query", "with x as (select 1) delete from t"), made.bytes, never);
    expect(write).rejects.toThrow("readonly");
    await write.catch(() => {});
  });

  test("values of every type, and no more than was asked for", async () => {
    const rows = async (sql: string) => (await run(request("query", sql), null, never)).answer;
    expect(
      await rows("select 9007199254740993 big, x'00ff' blob, null n, 1.5 f, zeroblob(2000) large"),
    ).toMatchObject({
      rows: [["9007199254740993", { blob_base64: "AP8=" }, null, 1.5, { blob_bytes: 2000 }]],
    });
    const many = "with recursive c(x) as (select 1 union all select x + 1 from c) select x from c";
    expect(await rows(many)).toMatchObject({ rows: [[1], [2], [3], [4], [5]], isCut: true });
    expect(await rows("select hex(zeroblob(800)) h union all select hex(zeroblob(700))")).toMatchObject({
      rows: [{ length: 1 }],
      isCut: true,
    });
  });

  const failing: [string, "execute" | "query", string, string][] = [
    ["what SQLite says", "execute", "insert into nowhere values (1)", "no such table: nowhere"],
    ["columns of one name", "query", "select 1 as a, 2 as a", "two columns have the name a"],
    ["an open transaction", "execute", "begin; create table t (a)", "left open"],
    [
      "a database that grows too large",
      "execute",
      "create table t (a); insert into t values (hex(zeroblob(1000000)))",
      "full",
    ],
    ["a file", "execute", "attach '/tmp/everruns-sql-escape' as x", "not allowed"],
    ["a copy to a file", "execute", "vacuum into '/tmp/everruns-sql-escape'", "not allowed"],
    ["an extension", "query", "select load_extension('/lib/x86_64-linux-gnu/libm.so.6')", "not authorized"],
    ["reading a file", "query", "select readfile('/etc/passwd')", "no such function"],
    ["writing a file", "query", "select writefile('/tmp/everruns-sql-escape', 'x')", "no such function"],
    [
      "a table over a file",
      "execute",
      "create virtual table c using csv(filename='/etc/passwd')",
      "no such module",
    ],
  ];
  for (const [what, mode, sql, complaint] of failing) {
    test(`${what}: refused`, async () => {
      const refused = run(request(mode, sql), null, never);
      expect(refused).rejects.toMatchObject({ code: "invalid_request" });
      expect(refused).rejects.toThrow(complaint);
      await refused.catch(() => {});
      expect(existsSync("/tmp/everruns-sql-escape")).toBe(false);
    });
  }

  test("the process has nothing of our environment", async () => {
    process.env.EVERRUNS_TEST_CANARY = "canary";
    const echo = createSqlRunner({
      command: ["/bin/sh", "-c", 'cat >/dev/null; [ -z "$EVERRUNS_TEST_CANARY" ] && exit 7'],
      timeoutMs: 10_000,
      concurrency: 1,
    });
    expect(echo(request("query", "select 1"), null, never)).rejects.toThrow("ended with 7");
  });

  test("is killed when its time is up, and when nobody wants it any more", async () => {
    const short = testSqlRunner({ timeoutMs: 1_500 });
    const late = short(request("query", FOREVER), null, never);
    expect(late).rejects.toMatchObject({ code: "limit_exceeded", message: expect.stringContaining("1.5 s") });
    await late.catch(() => {});
    const abort = new AbortController();
    const unwanted = run(request("query", FOREVER), null, abort.signal);
    abort.abort(new Error("cancelled"));
    expect(unwanted).rejects.toThrow("cancelled");
    await unwanted.catch(() => {});
  });

  test.if(process.platform === "linux")("is killed when it takes too much memory", async () => {
    const greedy =
      "with recursive c(x, s) as (select 1, zeroblob(1) union all select x + 1, zeroblob(90000000) || x from c where x < 1000) select max(length(s)), count(*) n, group_concat(s) from c";
    const refused = run(request("query", greedy), null, never);
    expect(refused).rejects.toMatchObject({
      code: "limit_exceeded",
      message: expect.stringContaining("memory"),
    });
    await refused.catch(() => {});
  });
});
