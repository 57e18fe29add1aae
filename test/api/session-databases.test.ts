import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { textOf } from "../../src/contract/message.ts";
import { createSessionDatabases } from "../../src/db/session-databases.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, send } from "../support/sessions.ts";
import { testSqlRunner } from "../support/sql-runner.ts";

const never = new AbortController().signal;
let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const newSession = async (body: object = {}): Promise<string> => (await app.post("/sessions", body)).body.id;
const databasesOf = (sessionId: string) =>
  createSessionDatabases(app.db, testSqlRunner())({ organizationId: ORGANIZATION, sessionId });

describe("over REST", () => {
  test("made, listed, read and taken away", async () => {
    const path = `/sessions/${await newSession()}/databases`;
    const made = await app.post(path, { name: "notes" });
    expect([made.status, made.body]).toMatchObject([201, { name: "notes", size_bytes: 0, page_count: 0 }]);
    expect(made.headers.get("location")).toBe(`/v1${path}/notes`);
    expect((await app.get(`${path}/notes/schema`)).body).toEqual({ database: "notes", tables: [] });
    expect((await app.get(path)).body.data).toEqual([made.body]);
    expect((await app.call("DELETE", `${path}/notes`)).status).toBe(204);
    for (const [method, of] of [
      ["GET", ""],
      ["DELETE", ""],
      ["GET", "/schema"],
    ] as const) {
      expect((await app.call(method, `${path}/notes${of}`)).status).toBe(404);
    }
  });

  test("what is refused", async () => {
    const path = `/sessions/${await newSession()}/databases`;
    await app.post(path, { name: "one" });
    const refused: [string, unknown, number, string][] = [
      [path, { name: "one" }, 409, "name_taken"],
      [path, { name: "a b" }, 400, "invalid_request"],
      [path, { name: "../x" }, 400, "invalid_request"],
      [path, { name: "" }, 400, "invalid_request"],
      [path, {}, 400, "invalid_request"],
      [`/sessions/${newId("session")}/databases`, { name: "a" }, 404, "not_found"],
    ];
    for (const [at, body, status, code] of refused) {
      const answer = await app.post(at, body);
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code]);
    }
    for (let n = 1; n < limits.databasesPerSessionMax; n += 1) await app.post(path, { name: `n${n}` });
    expect((await app.post(path, { name: "more" })).body).toMatchObject({
      status: 422,
      code: "database_limit",
    });
    // One that is there is still that, and not a limit.
    expect((await app.post(path, { name: "one" })).status).toBe(409);
  });
});

describe("changes", () => {
  test("of two processes at once are all there", async () => {
    const session = await newSession();
    const [here, there] = [databasesOf(session), databasesOf(session)];
    await here.execute("main", "create table t (a)", never);
    const inserts = [here, there, here, there].map((databases, n) =>
      databases.execute("main", `insert into t values (${n})`, never),
    );
    await Promise.all(inserts);
    const { rows } = await here.query(
      "main",
      { sql: "select a from t order by a", params: [], rowsMax: 10 },
      never,
    );
    expect(rows).toEqual([[0], [1], [2], [3]]);
  });

  test("that fail leave nothing behind", async () => {
    const databases = databasesOf(await newSession());
    await databases.execute("main", "create table t (a)", never);
    expect(
      databases.execute("main", "insert into t values (1); insert into u values (2)", never),
    ).rejects.toThrow("no such table");
    const { rows } = await databases.query("main", { sql: "select * from t", params: [], rowsMax: 1 }, never);
    expect(rows).toEqual([]);
  });

  test("of a fork are its own", async () => {
    const session = await newSession();
    await databasesOf(session).execute("main", "create table t (a); insert into t values (1)", never);
    const fork = (await app.post(`/sessions/${session}/fork`, {})).body.id;
    await databasesOf(fork).execute("main", "insert into t values (2)", never);
    const count = async (id: string) =>
      (
        await databasesOf(id).query(
          "main",
          { sql: "select count(*) n from t", params: [], rowsMax: 1 },
          never,
        )
      ).rows;
    expect([await count(session), await count(fork)]).toEqual([[[1]], [[2]]]);
  });
});

test("the tools in a turn", async () => {
  await seedModel(app.db);
  const session = await newSession({ capabilities: ["session_sql_database"] });
  const engine = await startEngine({ address: app.db.address });
  const call = (name: string, args: object) => ({ tool_calls: [{ name, arguments: args }] });
  await send(
    app.db,
    session,
    script([
      call("sql_execute", { sql: "create table towns (name text, people integer)" }),
      call("sql_execute", { sql: "insert into towns values ('Kyiv', 2952301), ('Lviv', 717273)" }),
      call("sql_query", { sql: "select name from towns where people > ?", params: [1_000_000] }),
      call("sql_query", { sql: "select * from towns", limit: 1 }),
      call("sql_query", { sql: "pragma database_list" }),
      call("sql_query", { database: "other", sql: "select 1" }),
      call("sql_schema", {}),
      { text: "Done." },
    ]),
  );
  const events = await logOnce(app.db, session, isIdle);
  await engine.stop();
  const results = events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.error ?? JSON.parse(textOf(event.data.result ?? []))] : [],
  );
  expect(results).toMatchObject([
    { database: "main", changes: 0 },
    { database: "main", changes: 2, last_insert_rowid: 2 },
    { columns: ["name"], rows: [["Kyiv"]], row_count: 1 },
    { rows: [["Kyiv", 2952301]], row_count: 1, more_rows: true },
    expect.stringContaining('"pragma" is not allowed'),
    'there is no database "other"',
    { databases: [{ name: "main", size_bytes: expect.any(Number) }] },
  ]);
  const { body } = await app.get(`/sessions/${session}/databases/main/schema`);
  expect(body.tables).toMatchObject([{ name: "towns", columns: [{ name: "name" }, { name: "people" }] }]);
  const info = (await app.get(`/sessions/${session}/databases/main`)).body;
  expect(info.size_bytes).toBe(info.page_count * 4096);
}, 30_000);
