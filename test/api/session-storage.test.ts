import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { textOf } from "../../src/contract/message.ts";
import { createSessionStorage } from "../../src/db/session-storage.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, send } from "../support/sessions.ts";

const CANARY = "canary-8f3a61";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const newSession = async (body: object = {}): Promise<string> => (await app.post("/sessions", body)).body.id;
const storageOf = (sessionId: string) =>
  createSessionStorage(app.db, app.sealer)({ organizationId: ORGANIZATION, sessionId });

describe("secrets over REST", () => {
  test("are set all at once, listed by name, and never shown", async () => {
    const session = await newSession();
    const path = `/sessions/${session}/storage/secrets`;
    const set = await app.call("PUT", path, { secrets: { B_KEY: CANARY, a_key: "x" } });
    expect([set.status, set.body]).toEqual([200, { count: 2 }]);
    expect((await app.call("PUT", path, { secrets: { a_key: CANARY } })).body).toEqual({ count: 1 });
    const listed = await app.get(path);
    expect(listed.body.data.map((secret: { name: string }) => secret.name)).toEqual(["B_KEY", "a_key"]);
    const rows = await app.db.sql`select * from session_secrets where session_id = ${session}`;
    expect(JSON.stringify([rows, listed.body, app.logged])).not.toContain(CANARY);
    expect(await storageOf(session).openSecret("a_key")).toBe(CANARY);
  });

  test("what is refused, and then nothing is stored", async () => {
    const session = await newSession();
    const path = `/sessions/${session}/storage/secrets`;
    const many = Object.fromEntries(
      Array.from({ length: limits.sessionSecretsMax + 1 }, (_, n) => [`k${n}`, CANARY]),
    );
    const refused: [unknown, number, string][] = [
      [{ secrets: { "a/b": CANARY } }, 400, "invalid_request"],
      [{ secrets: { "": CANARY } }, 400, "invalid_request"],
      [{ secrets: { ok: CANARY, "1st": CANARY } }, 400, "invalid_request"],
      [{ secrets: { empty: "" } }, 400, "limit_exceeded"],
      [{ secrets: { long: "x".repeat(limits.sessionSecretCharsMax + 1) } }, 400, "limit_exceeded"],
      [{ secrets: { number: 7 } }, 400, "invalid_request"],
      [{}, 400, "invalid_request"],
      [{ secrets: many }, 400, "limit_exceeded"],
    ];
    for (const [body, status, code] of refused) {
      const answer = await app.call("PUT", path, body);
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code]);
      expect(JSON.stringify(answer.body)).not.toContain(CANARY);
    }
    expect((await app.get(path)).body.data).toEqual([]);
    for (const method of ["GET", "PUT"]) {
      const answer = await app.call(
        method,
        `/sessions/${newId("session")}/storage/secrets`,
        method === "PUT" ? { secrets: {} } : undefined,
      );
      expect(answer.status).toBe(404);
    }
  });

  test("a sealed secret moved to another session does not open", async () => {
    const [one, other] = [await newSession(), await newSession()];
    await storageOf(one).putSecrets({ key: CANARY });
    await app.db.sql`
      insert into session_secrets (session_id, name, organization_id, value_sealed)
      select ${other}, name, organization_id, value_sealed from session_secrets where session_id = ${one}`;
    expect(storageOf(other).openSecret("key")).rejects.toThrow("cannot be opened");
  });
});

describe("values", () => {
  test("are listed by key, replaced, and taken away", async () => {
    const session = await newSession();
    const storage = storageOf(session);
    await storage.putValue("b", "1");
    await storage.putValue("a", "zero\0byte");
    await storage.putValue("b", "2");
    const { body } = await app.get(`/sessions/${session}/storage/keys`);
    expect(body.data.map(({ key, value }: { key: string; value: string }) => [key, value])).toEqual([
      ["a", "zero\uFFFDbyte"],
      ["b", "2"],
    ]);
    await storage.deleteValue("a");
    await storage.deleteValue("a");
    expect((await storage.values()).map(({ key }) => key)).toEqual(["b"]);
    expect(await storage.value("a")).toBeNull();
  });

  test("have limits: of a key, a value, their number and all together", async () => {
    const session = await newSession();
    const storage = storageOf(session);
    const refuse = (key: string, value: string) =>
      expect(storage.putValue(key, value)).rejects.toMatchObject({ name: "UserError" });
    await refuse("", "x");
    await refuse("k".repeat(limits.sessionKeyCharsMax + 1), "x");
    await refuse("nul\0", "x");
    await refuse("big", "x".repeat(limits.sessionValueBytesMax + 1));
    await app.db.sql`
      insert into session_values (session_id, key, organization_id, value)
      select ${session}, 'n' || n, ${ORGANIZATION}, '' from generate_series(1, ${limits.sessionValuesMax}::int) n`;
    await refuse("one more", "x");
    await storage.putValue("n1", "a known key may change");
    await app.db.sql`delete from session_values where session_id = ${session} and key > 'n5'`;
    await app.db.sql`
      update session_values set value = repeat('x', ${limits.sessionValuesBytesMax}::int)
       where session_id = ${session} and key = 'n2'`;
    await refuse("n3", "x".repeat(limits.sessionValueBytesMax));
  });

  test("go along into a fork, secrets do not; both end with their session", async () => {
    const session = await newSession();
    await storageOf(session).putValue("k", "v");
    await storageOf(session).putSecrets({ s: CANARY });
    const fork = (await app.post(`/sessions/${session}/fork`, {})).body.id;
    expect((await storageOf(fork).value("k"))?.value).toBe("v");
    expect(await storageOf(fork).secrets()).toEqual([]);
    await app.call("DELETE", `/sessions/${session}`);
    expect((await app.get(`/sessions/${session}/storage/keys`)).status).toBe(404);
    expect(storageOf(session).putValue("k", "v")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("the tools in a turn", () => {
  const turn = async (config: object | undefined, calls: object[], secrets: Record<string, string>) => {
    const session = await newSession({ capabilities: [{ ref: "session_storage", config }] });
    await storageOf(session).putSecrets(secrets);
    await send(
      app.db,
      session,
      script([...calls.map((call) => ({ tool_calls: [call] })), { text: "Done." }]),
    );
    const events = await logOnce(app.db, session, isIdle);
    const results = events.flatMap((event) =>
      event.type === "tool.completed"
        ? [event.data.error ?? JSON.parse(textOf(event.data.result ?? []))]
        : [],
    );
    return { session, results, log: JSON.stringify(events) };
  };
  let engine: Awaited<ReturnType<typeof startEngine>>;
  beforeAll(async () => {
    await seedModel(app.db);
    engine = await startEngine({ address: app.db.address });
  });
  afterAll(() => engine.stop());

  test("values are kept for later turns", async () => {
    const call = (args: object) => ({ name: "kv_store", arguments: args });
    const { session, results } = await turn(
      undefined,
      [
        call({ action: "set", key: "city", value: "Kyiv" }),
        call({ action: "set", key: "gone", value: "x" }),
        call({ action: "delete", key: "gone" }),
        call({ action: "get", key: "city" }),
        call({ action: "get", key: "gone" }),
        call({ action: "list", prefix: "c" }),
        call({ action: "set", key: "empty" }),
      ],
      {},
    );
    const at = expect.any(String);
    expect(results).toEqual([
      { key: "city", stored: true },
      { key: "gone", stored: true },
      { key: "gone", deleted: true },
      { key: "city", value: "Kyiv", updated_at: at },
      { key: "gone", found: false },
      { keys: [{ key: "city", size_bytes: 4, updated_at: at }] },
      "set needs a value.",
    ]);
    const { body } = await app.get(`/sessions/${session}/storage/keys`);
    expect(body.data).toMatchObject([{ key: "city", value: "Kyiv" }]);
  });

  const call = (args: object) => ({ name: "secret_store", arguments: args });
  const asks = [
    call({ action: "list" }),
    call({ action: "get", name: "TOKEN" }),
    call({ action: "get", name: "NONE" }),
    call({ action: "delete", name: "TOKEN" }),
    call({ action: "list" }),
  ];

  test("a secret's value reaches neither the model nor the log", async () => {
    const { results, log } = await turn(undefined, asks, { TOKEN: CANARY });
    const at = expect.any(String);
    expect(results).toEqual([
      { secrets: [{ name: "TOKEN", updated_at: at }] },
      { name: "TOKEN", found: true, updated_at: at, note: "The value is not shown." },
      { name: "NONE", found: false },
      { name: "TOKEN", deleted: true },
      { secrets: [] },
    ]);
    expect(log).not.toContain(CANARY);
  });

  test("unless the agent was configured to read it", async () => {
    const { results } = await turn({ reveal_secrets: true }, asks, { TOKEN: CANARY });
    expect(results.slice(1, 3)).toEqual([
      { name: "TOKEN", value: CANARY },
      { name: "NONE", found: false },
    ]);
  });

  test("a secret that the agent keeps is sealed like the others", async () => {
    const { session } = await turn(undefined, [call({ action: "set", name: "MINE", value: CANARY })], {});
    expect(await storageOf(session).openSecret("MINE")).toBe(CANARY);
    const rows = await app.db.sql`select value_sealed from session_secrets where session_id = ${session}`;
    expect(JSON.stringify(rows)).not.toContain(CANARY);
  });
});
