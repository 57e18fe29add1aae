import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { emptyTranscript, foldTranscript } from "../../src/client/transcript.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { openPool } from "../../src/db/pool.ts";
import { sweep } from "../../src/db/sweep.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { GOLDEN_SCRIPTS, script } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

describe("sweeping", () => {
  let database: TestDatabase;
  let engine: TestEngine;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    engine = await startEngine(database);
  });
  afterAll(async () => {
    await engine.stop();
    await database.drop();
  });

  const turn = async (session: string) => {
    const before = (await readLog(database.db, session)).length;
    await send(database.db, session, GOLDEN_SCRIPTS.find((one) => one.name === "thinking")?.message ?? "");
    engine.hint();
    return logOnce(database.db, session, (events) => events.length > before && isIdle(events));
  };
  const isDelta = (event: { type: string }) => event.type.endsWith(".delta");
  const age = (session: string) =>
    database.db.sql`update runs set finished_at = now() - interval '1 hour' where session_id = ${session}`;

  test("prunes the deltas of turns that ended a while ago, and nothing else (I1)", async () => {
    const [old, fresh] = [await newSession(database.db), await newSession(database.db)];
    const before = await turn(old);
    const young = await turn(fresh);
    await age(old);
    const deltas = before.filter(isDelta);
    expect(new Set(deltas.map((event) => event.type)).size).toBe(2);
    expect((await sweep(database.db, { keepDeltasMs: 60_000 })).deltas).toBe(deltas.length);
    expect(await readLog(database.db, old)).toEqual(before.filter((event) => !isDelta(event)));
    expect(await readLog(database.db, fresh)).toEqual(young);
    expect((await sweep(database.db, { keepDeltasMs: 60_000 })).deltas).toBe(0);
  });

  test("keeps the deltas of a later turn of the same session", async () => {
    const session = await newSession(database.db);
    await turn(session);
    await age(session);
    const log = await turn(session);
    const [, second] = new Set(log.flatMap((event) => event.context?.turn_id ?? []));
    await sweep(database.db, { keepDeltasMs: 60_000 });
    const left = (await readLog(database.db, session)).filter(isDelta);
    expect(left.length).toBeGreaterThan(0);
    expect(left.every((event) => event.context?.turn_id === second)).toBe(true);
  });

  test("keeps what people saw of an answer that a cancellation cut off (I7)", async () => {
    const session = await newSession(database.db);
    const steps = [
      { text: "One moment.", tool_calls: [{ name: "no_such_tool" }] },
      { text: "On and on. ".repeat(60) },
    ];
    await send(database.db, session, `Go on.\n${script(steps, { rate: 100 })}`);
    engine.hint();
    await logOnce(
      database.db,
      session,
      (events) =>
        events.filter((event) => event.type === "output.message.started").length === 2 &&
        isDelta(events.at(-1)!),
    );
    const cancelled = { organizationId: ORGANIZATION, sessionId: session, reason: "a test", now: new Date() };
    await cancelTurn(database.db, cancelled);
    const before = await readLog(database.db, session);
    const entries = foldTranscript(emptyTranscript, before).entries;
    await age(session);
    expect((await sweep(database.db, { keepDeltasMs: 60_000 })).deltas).toBeGreaterThan(0);
    const left = await readLog(database.db, session);
    expect(foldTranscript(emptyTranscript, left).entries).toEqual(entries);
    expect(left.filter(isDelta).length).toBeGreaterThan(0);
    expect((await sweep(database.db, { keepDeltasMs: 60_000 })).deltas).toBe(0);
  });

  test("does nothing while another process sweeps", async () => {
    const session = await newSession(database.db);
    const log = await turn(session);
    await age(session);
    const other = openPool(database.address, 1);
    const release = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = other.begin(async (sql) => {
      await sql`select pg_advisory_xact_lock(${0x65_76_73_77})`;
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    expect(await sweep(database.db, { keepDeltasMs: 60_000 })).toMatchObject({ deltas: 0 });
    expect(await readLog(database.db, session)).toEqual(log);
    release.resolve();
    await holding;
    await other.end({ timeout: 1 });
    expect((await sweep(database.db, { keepDeltasMs: 60_000 })).deltas).toBeGreaterThan(0);
  });

  test("forgets workers that stopped long ago, not those that live", async () => {
    await database.db.sql`
      insert into workers (id, hostname, pid, version, concurrency, lock_key, status, heartbeat_at)
      values ('worker-old', 'h', 1, 'v', 1, 1, 'stopped', now() - interval '2 days'),
             ('worker-new', 'h', 1, 'v', 1, 2, 'stopped', now())`;
    await sweep(database.db, { keepDeltasMs: 60_000 });
    const rows = await database.db.sql<{ id: string }[]>`select id from workers`;
    expect(new Set(rows.map((row) => row.id))).toEqual(new Set(["worker-new", engine.worker.id]));
  });
});
