/** Who holds a run: one worker at a time, under an epoch that grows. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { claimRuns } from "../../src/db/claim.ts";
import { releaseRun } from "../../src/db/runs.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, send } from "../support/sessions.ts";

describe("claiming", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase({ connections: 16 });
  });
  afterAll(() => database.drop());

  test("I3: workers that claim at once never get the same run", async () => {
    const sessions = await Promise.all(Array.from({ length: 60 }, () => newSession(database.db)));
    await Promise.all(sessions.map((session) => send(database.db, session, "hello")));
    const claims = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        claimRuns(database.db, { workerId: `worker-${n}`, slots: 10, leaseMs: 60_000 }),
      ),
    );
    const ids = claims.flat().map((run) => run.id);
    expect(new Set(ids).size).toBe(ids.length);
    const rest = await claimRuns(database.db, { workerId: "worker-x", slots: 100, leaseMs: 60_000 });
    expect(ids.length + rest.length).toBe(60);
  });

  test("an expired lease is taken over with a new epoch and attempt; a live one is not", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    const [first] = await claimRuns(database.db, { workerId: "worker-a", slots: 1, leaseMs: 30_000 });
    expect(first).toMatchObject({ session_id: session, attempt: 1, lease_epoch: 1 });
    expect(await claimRuns(database.db, { workerId: "worker-b", slots: 5, leaseMs: 30_000 })).toEqual([]);
    const later = new Date(Date.now() + 31_000);
    const [second] = await claimRuns(database.db, {
      workerId: "worker-b",
      slots: 5,
      leaseMs: 30_000,
      now: later,
    });
    expect(second).toMatchObject({ id: first?.id, attempt: 2, lease_epoch: 2 });
  });

  test("a run that was handed back by a drain keeps its count of attempts", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    const claim = async () => {
      const runs = await claimRuns(database.db, { workerId: "worker-a", slots: 9, leaseMs: 30_000 });
      const run = runs.find((one) => one.session_id === session);
      if (!run) throw new Error("not claimed");
      return { run, lease: { runId: run.id, sessionId: session, epoch: run.lease_epoch } };
    };
    const one = await claim();
    expect(await releaseRun(database.db, one.lease, { delayMs: 0, isRetry: false })).toBe(true);
    expect(await releaseRun(database.db, one.lease, { delayMs: 0, isRetry: false })).toBe(false);
    const two = await claim();
    expect(two.run).toMatchObject({ attempt: 1, lease_epoch: 2 });
    await releaseRun(database.db, two.lease, { delayMs: 60_000, isRetry: true });
    const [row] = await database.db.sql`select state, attempt from runs where id = ${two.run.id}`;
    expect(row).toEqual({ state: "queued", attempt: 1 });
  });
});
