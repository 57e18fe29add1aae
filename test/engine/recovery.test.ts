/**
 * Every failpoint × every golden script: the worker stops dead at the failpoint, another takes over, and the
 * transcript is the one of a quiet run. Then the first wakes up and goes on where it was: nothing changes (I5).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Event } from "../../src/contract/event.ts";
import { FAILPOINTS, type Failpoint } from "../../src/engine/failpoint.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { CLIENT_SCRIPT, clientToolsOf, GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { newSession, readLog, send } from "../support/sessions.ts";
import { transcript } from "../support/transcript.ts";
import { answeredLog } from "../support/waiting.ts";

const SCRIPTS = [...GOLDEN_SCRIPTS, CLIENT_SCRIPT];

describe("a worker that stops dead", () => {
  let database: TestDatabase;
  const quiet = new Map<string, string>();

  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    const engine = await startEngine(database);
    for (const script of SCRIPTS) {
      const session = await newSession(database.db, null, { tools: clientToolsOf(script) });
      await send(database.db, session, script.message);
      engine.hint();
      quiet.set(
        script.name,
        transcript(await answeredLog(database.db, session, () => engine.hint()), { durable: true }),
      );
    }
    await engine.stop();
  });
  afterAll(() => database.drop());

  for (const failpoint of FAILPOINTS) {
    for (const script of SCRIPTS) {
      test(`at ${failpoint} in "${script.name}" is replaced without a trace`, async () => {
        const session = await newSession(database.db, null, { tools: clientToolsOf(script) });
        await send(database.db, session, script.message);
        const reached = Promise.withResolvers<"reached">();
        const release = Promise.withResolvers<void>();
        const sleeper = await startEngine(database, {
          // One slot, and the dead run sits in it: the sleeper cannot take over from itself.
          concurrency: 1,
          failpoint: (name: Failpoint) => {
            if (name !== failpoint) return;
            reached.resolve("reached");
            return release.promise;
          },
        });
        let hint = () => sleeper.hint();
        const done = answeredLog(database.db, session, () => hint());
        // A failpoint behind the end is reached with the turn already done; one that a script never meets is not.
        await Promise.race([reached.promise, done]);

        const rescuer = await startEngine(database);
        hint = () => rescuer.hint();
        await database.db
          .sql`update runs set lease_expires_at = now() where session_id = ${session} and state = 'running'`;
        const events = await done;
        expect(transcript(events, { durable: true })).toBe(quiet.get(script.name) ?? "");
        expectSound(events);

        release.resolve();
        await sleeper.stop();
        await rescuer.stop();
        expect(await readLog(database.db, session)).toEqual(events);
      });
    }
  }
});

/** I1, I6 and I8 on one log of one turn. */
function expectSound(events: readonly Event[]): void {
  expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
  expect(
    events.filter((event) => /^turn\.(completed|failed|cancelled|sealed)$/.test(event.type)),
  ).toHaveLength(1);
  const results = events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.tool_call_id] : [],
  );
  expect(new Set(results).size).toBe(results.length);
}
