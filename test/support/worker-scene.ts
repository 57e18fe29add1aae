/** A worker on a database of its own, whose model says what the test makes it say. */
import { afterEach, beforeEach, expect } from "bun:test";
import type { Event } from "../../src/contract/event.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { seedModel, startEngine, type TestEngine } from "./engine.ts";
import { createManualDriver, type ManualDriver } from "./manual-driver.ts";
import { type TestDatabase, testDatabase } from "./postgres.ts";
import { isIdle, newSession, ORGANIZATION, send, turnsEnded } from "./sessions.ts";

/** Database and model are new for each test; engines that were started are stopped after it. */
export function workerScene() {
  let database: TestDatabase;
  let model: ManualDriver;
  const engines: TestEngine[] = [];
  beforeEach(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    model = createManualDriver();
  });
  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.stop();
    await database.drop();
  });

  const start = async (options: Parameters<typeof startEngine>[1] = {}) => {
    const engine = await startEngine(database, { driver: model.driver, drainMs: 100, ...options });
    engines.push(engine);
    return engine;
  };
  /** A session with a message that the worker has been told of. */
  const ask = async (engine: TestEngine, text = "go") => {
    const session = await newSession(database.db);
    await send(database.db, session, text);
    engine.hint();
    return session;
  };
  const runOf = async (session: string) => {
    const [run] = await database.db.sql<
      { id: string; state: string; attempt: number; lease_epoch: number; lease_owner: string | null }[]
    >`select id, state, attempt, lease_epoch, lease_owner from runs where session_id = ${session}`;
    if (!run) throw new Error("the session has no run");
    return run;
  };
  const loseLease = (session: string) =>
    database.db
      .sql`update runs set lease_expires_at = now() where session_id = ${session} and state = 'running'`;
  const types = (events: readonly Event[]) => events.map((event) => event.type);
  const ended = (events: readonly Event[]) => turnsEnded(events) > 0 && isIdle(events);
  const expectWhole = (events: readonly Event[]) => {
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    expect(turnsEnded(events)).toBe(1);
  };
  const answers = (events: readonly Event[]) =>
    events.flatMap((event) =>
      event.type === "output.message.completed"
        ? event.data.message.content.map((part) => (part as { text?: string }).text ?? part.type)
        : [],
    );
  const cancel = (session: string) =>
    cancelTurn(database.db, {
      organizationId: ORGANIZATION,
      sessionId: session,
      reason: "test",
      now: new Date(),
    });
  const delta = (events: readonly Event[]) => events.some((event) => event.type === "output.message.delta");

  return {
    get database() {
      return database;
    },
    get model() {
      return model;
    },
    /** Of those that a test started otherwise: they are stopped, too. */
    engines,
    start,
    ask,
    runOf,
    loseLease,
    types,
    ended,
    expectWhole,
    answers,
    cancel,
    delta,
  };
}
