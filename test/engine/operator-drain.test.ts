/** A worker that an operator has asked to drain claims nothing more, and claims again when it is asked to. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { wishDrain } from "../../src/db/workers.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";

let database: TestDatabase;
let first: TestEngine;
beforeAll(async () => {
  database = await testDatabase();
  await seedModel(database.db);
  first = await startEngine(database, { heartbeatMs: 5 });
});
afterAll(async () => {
  await first.stop();
  await database.drop();
});

const statusOf = async (engine: TestEngine): Promise<string> => {
  const [row] = await database.db.sql`select status from workers where id = ${engine.worker.id}`;
  return row?.status;
};
const until = async (engine: TestEngine, status: string) => {
  while ((await statusOf(engine)) !== status) await Bun.sleep(2);
};
test("its turns go to another worker until it may claim again", async () => {
  const { db } = database;
  expect(await wishDrain(db, first.worker.id, true)).toBe(true);
  // It says so with the heartbeat after the one in which it heard it.
  await until(first, "draining");
  const session = await newSession(db);
  await send(db, session, "Hello.");
  first.hint();
  const second = await startEngine(database);
  await logOnce(db, session, isIdle);
  const [worker] =
    await db.sql`select runs_started, runs_completed from workers where id = ${first.worker.id}`;
  expect(worker).toEqual({ runs_started: 0, runs_completed: 0 });
  await second.stop();

  expect(await wishDrain(db, first.worker.id, false)).toBe(true);
  await send(db, session, "Again.");
  await logOnce(db, session, (log) => log.filter((event) => event.type === "session.idled").length === 2);
  await until(first, "running");
  for (;;) {
    const [row] =
      await db.sql`select runs_started, runs_completed from workers where id = ${first.worker.id}`;
    if (row?.runs_completed === 1) {
      expect(row.runs_started).toBe(1);
      break;
    }
    await Bun.sleep(2);
  }
});

test("one that has stopped, or never was, cannot be asked", async () => {
  await first.stop();
  expect(await wishDrain(database.db, first.worker.id, true)).toBe(false);
  expect(await wishDrain(database.db, "worker-none", true)).toBe(false);
});
