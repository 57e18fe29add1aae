import { afterAll, beforeAll, describe, test } from "bun:test";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { expectGolden } from "../support/golden.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { CLIENT_SCRIPT, clientToolsOf, GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { newSession, send } from "../support/sessions.ts";
import { transcript } from "../support/transcript.ts";
import { answeredLog } from "../support/waiting.ts";

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

  for (const script of [...GOLDEN_SCRIPTS, CLIENT_SCRIPT]) {
    test(script.name, async () => {
      const session = await newSession(database.db, null, { tools: clientToolsOf(script) });
      await send(database.db, session, script.message);
      engine.hint();
      const events = await answeredLog(database.db, session, () => engine.hint());
      // Deltas are cut by time; everything else is the same each time.
      const steady = events.filter((event) => !event.type.endsWith(".delta"));
      expectGolden(`${script.name}.txt`, transcript(steady, { withoutSequence: true }));
    });
  }
});
