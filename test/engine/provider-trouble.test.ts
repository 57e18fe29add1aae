/** Breaker, limits and cancellation with real workers; the model is a real HTTP server where its socket matters. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { cancelTurn } from "../../src/db/cancel.ts";
import { type Breaker, CLOSED_BREAKER, changeBreaker } from "../../src/db/providers/breakers.ts";
import { FAILURES_TO_OPEN } from "../../src/engine/breaker.ts";
import type { Driver } from "../../src/llm/driver.ts";
import { createDriver, createDriverDeps } from "../../src/llm/registry.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type LiveServer, startServer, until } from "../support/live.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type ModelServer, startModelServer } from "../support/model-server.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, send } from "../support/sessions.ts";

let database: TestDatabase;
const cleanUp: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  database = await testDatabase();
  await seedModel(database.db);
});
afterEach(async () => {
  for (const stop of cleanUp.splice(0).reverse()) await stop();
  await database.drop();
});

const start = async (driver: Driver): Promise<TestEngine> => {
  const engine = await startEngine(database, { driver, drainMs: 0 });
  cleanUp.push(engine.stop);
  return engine;
};
const ask = async (engine: TestEngine, text = "go") => {
  const session = await newSession(database.db);
  await send(database.db, session, text);
  engine.hint();
  return session;
};
const runOf = async (session: string) => {
  const [run] = await database.db.sql<
    { id: string; state: string; attempt: number; error_code: string | null; is_waiting: boolean }[]
  >`select id, state, attempt, error_code, state = 'queued' and available_at > now() as is_waiting
      from runs where session_id = ${session}`;
  if (!run) throw new Error("the session has no run");
  return run;
};
/** The runs that wait for the breaker may look again, as if their time had come. */
const comeBack = async (engine: TestEngine) => {
  await database.db.sql`update runs set available_at = now() where state = 'queued'`;
  engine.hint();
};
const theProvider = async () => {
  const [row] = await database.db.sql<{ id: string }[]>`select id from providers`;
  return { organizationId: ORGANIZATION, providerId: row?.id ?? "", model: "llmsim" };
};
const setBreaker = async (change: (now: Date) => Partial<Breaker>) => {
  const changed = await changeBreaker(database.db, await theProvider(), (_, now) => ({
    ...CLOSED_BREAKER,
    state: "open",
    reason: "failures",
    trips: 1,
    openedAt: now,
    ...change(now),
  }));
  expect(changed).not.toBeNull();
};
const breaker = async () => {
  const rows = await database.db.sql<
    { state: string; failure_count: number }[]
  >`select state, failure_count from circuit_breakers`;
  return rows[0];
};
const ago = (now: Date, ms: number) => new Date(now.getTime() - ms);
/** A driver that does not wait long between its retries. */
const quickDriver = (baseUrl: string) =>
  createDriver(
    { providerType: "openai_completions", apiKey: "sk-any", baseUrl },
    createDriverDeps({ backoff: { baseMs: 1, capMs: 2 } }),
  );

describe("a provider that fails", () => {
  let server: ModelServer;
  beforeEach(async () => {
    server = await startModelServer();
    cleanUp.push(server.stop);
  });

  test("is left alone once its breaker is open, is tried with one call, and answers the turn that waited", async () => {
    let isDown = true;
    server.mock.addFixture({
      match: { predicate: () => isDown },
      response: { error: { message: "down" }, status: 503 },
    });
    server.text("go", "here again");
    const engine = await start(quickDriver(server.openaiUrl));
    const session = await ask(engine);
    await until(async () => (await breaker())?.state === "open" && (await runOf(session)).is_waiting);
    expect(server.requests()).toHaveLength(FAILURES_TO_OPEN);
    const { attempt } = await runOf(session);

    // It comes back too early: nothing goes out, and it is no attempt of the run.
    await comeBack(engine);
    await until(async () => (await runOf(session)).is_waiting);
    expect(server.requests()).toHaveLength(FAILURES_TO_OPEN);
    expect((await runOf(session)).attempt).toBe(attempt);

    isDown = false;
    await database.db.sql`update circuit_breakers set half_open_at = now()`;
    await comeBack(engine);
    const events = await logOnce(database.db, session, isIdle);
    expect(events.at(-2)?.type).toBe("turn.completed");
    expect(server.requests()).toHaveLength(FAILURES_TO_OPEN + 1);
    expect(await breaker()).toEqual({ state: "closed", failure_count: 0 });
  });

  test("a refused key is nobody's outage", async () => {
    server.mock.addFixture({
      match: { predicate: () => true },
      response: { error: { message: "no" }, status: 401 },
    });
    const engine = await start(quickDriver(server.openaiUrl));
    const session = await ask(engine);
    await logOnce(database.db, session, isIdle);
    expect(await breaker()).toBeUndefined();
  });

  test("one that asks for a long wait is not asked by others meanwhile", async () => {
    server.mock.addFixture({
      match: { predicate: () => true },
      response: { error: { message: "slow down" }, status: 429, retryAfter: 60 },
    });
    const engine = await start(quickDriver(server.openaiUrl));
    const first = await ask(engine);
    await until(async () => (await runOf(first)).is_waiting);
    const second = await ask(engine);
    await until(async () => (await runOf(second)).is_waiting);
    expect(server.requests()).toHaveLength(1);
    expect((await runOf(second)).attempt).toBe(0);
  });
});

describe("a circuit breaker", () => {
  test("sends one probe, however many runs of however many processes wait for it", async () => {
    await setBreaker((now) => ({ openedAt: ago(now, 5_000), halfOpenAt: now }));
    const model = createManualDriver();
    const engines = [await start(model.driver), await start(model.driver)];
    const sessions = await Promise.all([0, 1, 2, 3, 4].map((n) => ask(engines[n % 2] as TestEngine)));
    const call = await model.nextCall();
    const waiting = async () => {
      const runs = await Promise.all(sessions.map(runOf));
      return runs.filter((run) => run.is_waiting).length;
    };
    await until(async () => (await waiting()) === 4);
    expect([model.calls(), (await breaker())?.state]).toEqual([1, "half_open"]);

    // Its first word closes the breaker, long before its answer is whole.
    call.say("I am ");
    await until(async () => (await breaker())?.state === "closed");
    await comeBack(engines[0] as TestEngine);
    for (let n = 0; n < 4; n += 1) {
      const next = await model.nextCall();
      next.say("fine");
      next.finish();
    }
    call.say("back");
    call.finish();
    for (const session of sessions) await logOnce(database.db, session, isIdle);
    expect(model.calls()).toBe(5);
  });

  test("fails a turn that has waited long enough, and says so to the user", async () => {
    await setBreaker((now) => ({ openedAt: ago(now, 3_600_000), halfOpenAt: ago(now, -30_000) }));
    const model = createManualDriver();
    const engine = await start(model.driver);
    const session = await ask(engine);
    await until(async () => (await runOf(session)).is_waiting);
    await database.db.sql`update runs set started_at = now() - interval '100 seconds'`;
    await comeBack(engine);
    await logOnce(database.db, session, isIdle);
    expect(await runOf(session)).toMatchObject({ state: "failed", error_code: "provider_unavailable" });
    expect(model.calls()).toBe(0);
  });

  test("held open by an operator fails the turn at once", async () => {
    await setBreaker(() => ({ reason: "operator", halfOpenAt: null }));
    const model = createManualDriver();
    const session = await ask(await start(model.driver));
    await logOnce(database.db, session, isIdle);
    expect(await runOf(session)).toMatchObject({ state: "failed", error_code: "provider_unavailable" });
    expect(model.calls()).toBe(0);
  });

  test("is free again when the turn of its probe is cancelled", async () => {
    await setBreaker((now) => ({ openedAt: ago(now, 5_000), halfOpenAt: now }));
    const model = createManualDriver();
    const engine = await start(model.driver);
    const session = await ask(engine);
    await model.nextCall();
    await cancel(session, engine);
    await until(async () => (await breaker())?.state === "open");
    const next = await ask(engine);
    (await model.nextCall()).finish();
    await logOnce(database.db, next, isIdle);
    expect((await breaker())?.state).toBe("closed");
  });

  test("leaves no row for a provider that answers", async () => {
    const model = createManualDriver();
    const engine = await start(model.driver);
    const session = await ask(engine);
    const call = await model.nextCall();
    call.say("fine");
    call.finish();
    await logOnce(database.db, session, isIdle);
    expect(await breaker()).toBeUndefined();
  });
});

const cancel = async (session: string, engine: TestEngine) => {
  const cancelled = await cancelTurn(database.db, {
    organizationId: ORGANIZATION,
    sessionId: session,
    reason: "test",
    now: new Date(),
  });
  if (cancelled.outcome !== "cancelled") throw new Error("the turn was not running");
  engine.cancelled(cancelled.turnId);
};

describe("a provider's limits", () => {
  test("hold back what is too much, in order; who waits can be cancelled, and waiting fails nothing", async () => {
    await database.db.sql`update providers set limits = '{"max_concurrent_requests": 1}'`;
    const model = createManualDriver();
    const engine = await start(model.driver);
    const first = await ask(engine, "first");
    const call = await model.nextCall();
    const second = await ask(engine, "second");
    await until(() => engine.worker.load() === 2);
    const third = await ask(engine, "third");
    await until(() => engine.worker.load() === 3);
    await cancel(second, engine);
    await until(() => engine.worker.load() === 2);
    expect(model.calls()).toBe(1);
    call.say("done");
    call.finish();
    const next = await model.nextCall();
    expect(JSON.stringify(next.request.messages)).toContain("third");
    next.finish();
    for (const session of [first, third]) {
      expect((await logOnce(database.db, session, isIdle)).at(-2)?.type).toBe("turn.completed");
    }
    expect(model.calls()).toBe(2);
  });
});

describe("POST /cancel", () => {
  let api: LiveServer;
  beforeEach(async () => {
    api = await startServer(database);
    cleanUp.push(api.stop);
  });
  const postCancel = (session: string) =>
    fetch(`${api.url}/v1/sessions/${session}/cancel`, { method: "POST" });

  /** A provider that takes every request as `serve` says, and tells when a connection of one is closed. */
  const provider = async (serve: (response: import("node:http").ServerResponse, n: number) => void) => {
    const asked = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    let requests = 0;
    const server = createServer((_request, response) => {
      requests += 1;
      response.on("close", () => closed.resolve());
      serve(response, requests);
      asked.resolve();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanUp.push(async () => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `http://127.0.0.1:${port}/v1`, asked, closed, requests: () => requests };
  };
  const headers = { "content-type": "text/event-stream" };
  const WORD = 'data: {"choices":[{"index":0,"delta":{"content":"one "}}]}\n\n';

  for (const [what, serve] of [
    ["before the answer", () => {}],
    ["after its headers", (response) => response.writeHead(200, headers).flushHeaders()],
    ["in the middle of the answer", (response) => response.writeHead(200, headers).write(WORD)],
  ] as [string, (response: import("node:http").ServerResponse) => void][]) {
    test(`closes the socket of the call, ${what}, from another process`, async () => {
      const { url, asked, closed } = await provider(serve);
      const engine = await start(quickDriver(url));
      const session = await ask(engine);
      await asked.promise;
      expect((await postCancel(session)).status).toBe(200);
      // The server never ends this connection by itself: who closes it is the cancelled worker.
      await closed.promise;
      await until(() => engine.worker.load() === 0);
      expect((await runOf(session)).state).toBe("cancelled");
    });
  }

  test("closes the socket of a call in the same process, without a word to the database's listeners", async () => {
    const { url, asked, closed } = await provider(() => {});
    const engine = await start(quickDriver(url));
    const session = await ask(engine);
    await asked.promise;
    await cancel(session, engine);
    await closed.promise;
    expect((await runOf(session)).state).toBe("cancelled");
  });

  test("ends a call that waits before it asks again", async () => {
    const { url, asked, requests } = await provider((response) => {
      response.writeHead(503, { "retry-after": "25", "content-type": "application/json" }).end("{}");
    });
    const engine = await start(quickDriver(url));
    const session = await ask(engine);
    await asked.promise;
    await postCancel(session);
    await until(() => engine.worker.load() === 0);
    expect([requests(), (await runOf(session)).state]).toEqual([1, "cancelled"]);
  });
});
