import { afterAll, beforeAll, describe, test } from "bun:test";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { expectGolden } from "../support/golden.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";
import { transcript } from "../support/transcript.ts";

describe("golden transcripts", () => {
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

  for (const script of GOLDEN_SCRIPTS) {
    test(script.name, async () => {
      const session = await newSession(database.db);
      await send(database.db, session, script.message);
      engine.hint();
      const events = await logOnce(database.db, session, isIdle);
      // Deltas are cut by time; everything else is the same each time.
      const steady = events.filter((event) => !event.type.endsWith(".delta"));
      expectGolden(`${script.name}.txt`, transcript(steady, { withoutSequence: true }));
    });
  }
});
