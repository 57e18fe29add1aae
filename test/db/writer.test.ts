import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LeaseLostError } from "../../src/base/errors.ts";
import type { Event, NewEvent } from "../../src/contract/event.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { heartbeat, loadSteps, releaseRun } from "../../src/db/runs.ts";
import {
  createWriter,
  type Ending,
  type LeaseRef,
  type StepWrite,
  type Writer,
} from "../../src/db/writer.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

const note = (message: string): NewEvent => ({
  type: "tool.progress",
  data: { tool_call_id: "c", tool_name: "t", message },
});
const step = (name: string, overrides: Partial<StepWrite> = {}): StepWrite => ({
  name,
  kind: "tool",
  toolName: "t",
  effect: "pure",
  status: "settled",
  attempt: 1,
  result: { ok: true },
  usage: null,
  error: null,
  durationMs: 3,
  ...overrides,
});
const ending = (seenInputSequence: number | null): Ending => ({
  state: "completed",
  events: [note("the end")],
  errorCode: null,
  error: null,
  finalMessageId: null,
  outputPreview: "bye",
  seenInputSequence,
});

describe("the grouped writer", () => {
  let database: TestDatabase;
  let writer: Writer;
  const grown: string[] = [];
  beforeAll(async () => {
    database = await testDatabase();
    writer = createWriter({ db: database.db, onWritten: (sessions) => grown.push(...sessions) });
  });
  afterAll(() => database.drop());

  /** A session with a run that is leased. */
  async function leased(leaseMs = 60_000): Promise<LeaseRef> {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    return claim(session, leaseMs);
  }
  async function claim(session: string, leaseMs = 60_000): Promise<LeaseRef> {
    const runs = await claimRuns(database.db, { workerId: "worker-test", slots: 1000, leaseMs });
    const run = runs.find((one) => one.session_id === session);
    if (!run) throw new Error("the run was not claimed");
    return { runId: run.id, sessionId: session, epoch: run.lease_epoch };
  }
  const messagesOf = async (lease: LeaseRef) =>
    (await readLog(database.db, lease.sessionId)).flatMap((event) =>
      event.type === "tool.progress" ? [event.data.message] : [],
    );

  test("stores a step with its events, once (I4)", async () => {
    const lease = await leased();
    const written = await writer.write(lease, { events: [note("a"), note("b")], steps: [step("tool:1")] });
    expect(written).toMatchObject({ lastSequence: 4, lastInputSequence: 1, isEnded: false, queueLength: 0 });
    expect(written.log.events()).toEqual((await readLog(database.db, lease.sessionId)).slice(-2));
    expect(await messagesOf(lease)).toEqual(["a", "b"]);
    expect((await loadSteps(database.db, lease.runId)).map((one) => one.name)).toEqual(["tool:1"]);
    expect(grown).toContain(lease.sessionId);

    const again = writer.write(lease, { events: [note("twice")], steps: [step("tool:1")] });
    expect(await again.catch((error) => error)).toBeInstanceOf(LeaseLostError);
    expect(await messagesOf(lease)).toEqual(["a", "b"]);
  });

  test("I1: what many runs write at once has no gap and no duplicate, and goes out in few statements", async () => {
    const leases = await Promise.all(Array.from({ length: 30 }, () => newSession(database.db)));
    for (const session of leases) await send(database.db, session, "hello");
    const runs = await claimRuns(database.db, { workerId: "worker-test", slots: 1000, leaseMs: 60_000 });
    const before = writer.statements();
    await Promise.all(
      runs.flatMap((run) => {
        const lease = { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch };
        return Array.from({ length: 20 }, (_, n) =>
          writer.write(lease, { events: [note(`${n}`), note(`${n}+`)], steps: [step(`tool:${n}`)] }),
        );
      }),
    );
    expect(writer.statements() - before).toBeLessThan(runs.length * 20);
    for (const run of runs) {
      const events = await readLog(database.db, run.session_id);
      expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
      expect(events.length).toBe(42);
      const texts = events.flatMap((event) => (event.type === "tool.progress" ? [event.data.message] : []));
      expect(texts).toEqual(Array.from({ length: 20 }, (_, n) => [`${n}`, `${n}+`]).flat());
    }
  });

  test("writes of one run that wait together are one, and each is told of its own events", async () => {
    const lease = await leased();
    const before = writer.statements();
    const written = await Promise.all([
      writer.write(lease, { events: [note("a"), note("b")], hasDeltas: true }),
      writer.write(lease, {
        events: [note("c")],
        steps: [step("tool:1")],
        iterations: 1,
        usage: { input_tokens: 1, output_tokens: 2 },
      }),
      writer.write(lease, {
        events: [note("d")],
        steps: [step("tool:2")],
        iterations: 1,
        usage: { input_tokens: 10, output_tokens: 20, cache_read_tokens: 3 },
        ending: ending(1),
      }),
    ]);
    expect(writer.statements() - before).toBe(1);
    expect(written.map((one) => [one.lastSequence, one.isEnded])).toEqual([
      [4, false],
      [5, false],
      [7, true],
    ]);
    expect(await messagesOf(lease)).toEqual(["a", "b", "c", "d", "the end"]);
    expect((await loadSteps(database.db, lease.runId)).length).toBe(2);
    const [run] = await database.db.sql`
      select state, iterations, input_tokens, output_tokens, cache_read_tokens, has_deltas
        from runs where id = ${lease.runId}`;
    expect(run).toEqual({
      state: "completed",
      iterations: 2,
      input_tokens: 11,
      output_tokens: 22,
      cache_read_tokens: 3,
      has_deltas: true,
    });
  });

  test("what comes behind an ending, or stores the same step, waits for a statement of its own", async () => {
    const lease = await leased();
    await send(database.db, lease.sessionId, "wait");
    const [kept, behind, ended] = await Promise.all([
      writer.write(lease, { events: [note("a")], ending: ending(1) }),
      writer.write(lease, {
        events: [note("b")],
        steps: [step("tool:x", { effect: "at_most_once", status: "pending", result: null })],
      }),
      writer.write(lease, {
        events: [note("c")],
        steps: [step("tool:x", { effect: "at_most_once" })],
        ending: ending(3),
      }),
    ]);
    expect([kept, behind, ended].map((one) => one.isEnded)).toEqual([false, false, true]);
    expect(await messagesOf(lease)).toEqual(["a", "b", "c", "the end"]);
    expect((await loadSteps(database.db, lease.runId)).map((one) => one.status)).toEqual(["settled"]);
  });

  test("a write that the database refuses does not take those that waited with it", async () => {
    const lease = await leased();
    const results = await Promise.allSettled([
      writer.write(lease, { events: [note("before")] }),
      writer.write(lease, { events: [], steps: [step("tool:1", { kind: "nonsense" as "tool" })] }),
      writer.write(lease, { events: [note("after")] }),
    ]);
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await messagesOf(lease)).toEqual(["before", "after"]);
  });

  test("I7: what is handed on with the hint is, to the letter, what the log gives back", async () => {
    const lease = await leased();
    const handed: Event[] = [];
    const own = createWriter({
      db: database.db,
      onWritten: (_, logs) => handed.push(...(logs.get(lease.sessionId)?.events() ?? [])),
    });
    const tree = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 3 },
        fc.string({ unit: "binary" }),
        fc.double({ noDefaultInfinity: true, noNaN: true }),
        fc.constantFrom(null, true, false, 0, -0, 1e21, 5e-324, 2 ** 53),
        fc.array(tie("node"), { maxLength: 3 }),
        fc.dictionary(
          fc.oneof(fc.string(), fc.constantFrom("__proto__", "10", "9", "é", "zz", "")),
          tie("node"),
          {
            maxKeys: 5,
          },
        ),
      ),
    })).node;
    await fc.assert(
      fc.asyncProperty(fc.array(tree, { minLength: 1, maxLength: 4 }), async (values) => {
        const events = values.map((value) => ({
          type: "tool.progress",
          context: { turn_id: lease.runId, exec_id: "e" },
          data: { tool_call_id: "c", tool_name: "t", message: "m", value },
        }));
        await own.write(lease, { events: events as unknown as NewEvent[] });
      }),
      { numRuns: 60 },
    );
    const { lastSequence } = await own.write(lease, { events: [note("a")], ending: ending(null) });
    const read = (await readLog(database.db, lease.sessionId)).slice(2);
    expect(handed.map((event) => JSON.stringify(event))).toEqual(read.map((event) => JSON.stringify(event)));
    expect(handed.at(-1)?.sequence).toBe(lastSequence);
  });

  test("event ids carry their sequence", async () => {
    const lease = await leased();
    await writer.write(lease, { events: [note("a")] });
    for (const event of await readLog(database.db, lease.sessionId)) {
      expect(Number.parseInt(event.id.slice(-10), 16)).toBe(event.sequence);
    }
  });

  const staleCases: [string, (lease: LeaseRef) => Promise<unknown>][] = [
    [
      "the run was claimed by another worker",
      async (lease) => {
        await database.db.sql`update runs set lease_expires_at = now() where id = ${lease.runId}`;
        await claim(lease.sessionId);
      },
    ],
    [
      "the lease ran out",
      (lease) => database.db.sql`update runs set lease_expires_at = now() where id = ${lease.runId}`,
    ],
    ["the run was handed back", (lease) => releaseRun(database.db, lease, { delayMs: 0, isRetry: true })],
    [
      "the turn was cancelled",
      (lease) =>
        cancelTurn(database.db, {
          organizationId: ORGANIZATION,
          sessionId: lease.sessionId,
          reason: "",
          now: new Date(),
        }),
    ],
    ["the run has ended", (lease) => writer.write(lease, { events: [], ending: ending(null) })],
  ];
  for (const [name, intervene] of staleCases) {
    test(`I5: writes nothing when ${name}`, async () => {
      const lease = await leased();
      await intervene(lease);
      const before = await readLog(database.db, lease.sessionId);
      const late = writer.write(lease, {
        events: [note("late")],
        steps: [step("tool:late")],
        usage: { input_tokens: 5, output_tokens: 5 },
        iterations: 1,
        ending: ending(null),
      });
      expect(await late.catch((error) => error)).toBeInstanceOf(LeaseLostError);
      expect(await readLog(database.db, lease.sessionId)).toEqual(before);
      expect(await loadSteps(database.db, lease.runId)).toEqual([]);
      const [run] = await database.db
        .sql`select iterations, input_tokens from runs where id = ${lease.runId}`;
      expect(run).toMatchObject({ iterations: 0, input_tokens: 0 });
      expect((await heartbeat(database.db, { leases: [lease], leaseMs: 60_000 })).size).toBe(0);
    });
  }

  test("a stale write does not take the others of its group with it", async () => {
    const [stale, fresh] = [await leased(), await leased()];
    await releaseRun(database.db, stale, { delayMs: 60_000, isRetry: true });
    const results = await Promise.allSettled([
      writer.write(stale, { events: [note("stale")] }),
      writer.write(fresh, { events: [note("fresh")] }),
    ]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
    expect(await messagesOf(fresh)).toEqual(["fresh"]);
  });

  test("a write that the database refuses does not take the others of its group with it", async () => {
    const [bad, good] = [await leased(), await leased()];
    const results = await Promise.allSettled([
      writer.write(bad, { events: [], steps: [step("tool:1", { kind: "nonsense" as "tool" })] }),
      writer.write(good, { events: [note("good")] }),
    ]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "fulfilled"]);
    expect(await messagesOf(good)).toEqual(["good"]);
  });

  test("an ending ends run and session, and adds up what was used", async () => {
    const lease = await leased();
    await writer.write(lease, {
      events: [note("a")],
      usage: { input_tokens: 10, output_tokens: 4, cache_read_tokens: 2, estimated_cost_usd: 0.5 },
      iterations: 1,
      ending: ending(1),
    });
    const [run] = await database.db.sql`
      select state, iterations, input_tokens, cost_usd, finished_at is not null as is_finished, lease_owner
        from runs where id = ${lease.runId}`;
    expect(run).toEqual({
      state: "completed",
      iterations: 1,
      input_tokens: 10,
      cost_usd: 0.5,
      is_finished: true,
      lease_owner: null,
    });
    const [session] = await database.db.sql`
      select status, active_run_id, output_tokens, cache_read_tokens, output_preview
        from sessions where id = ${lease.sessionId}`;
    expect(session).toEqual({
      status: "idle",
      active_run_id: null,
      output_tokens: 4,
      cache_read_tokens: 2,
      output_preview: "bye",
    });
    expect(await messagesOf(lease)).toEqual(["a", "the end"]);
  });

  test("an ending gives way to a message that the model has not seen; the rest of the write stands", async () => {
    const lease = await leased();
    await send(database.db, lease.sessionId, "wait");
    const written = await writer.write(lease, {
      events: [note("a")],
      steps: [step("reason:1")],
      ending: ending(1),
    });
    expect(written).toMatchObject({ isEnded: false, lastInputSequence: 3 });
    expect(await messagesOf(lease)).toEqual(["a"]);
    const ended = await writer.write(lease, { events: [], ending: ending(3) });
    expect(ended.isEnded).toBe(true);
  });

  test("I10: a message that meets the ending either joins the turn or starts the next, and is never lost", async () => {
    for (let round = 0; round < 30; round += 1) {
      const lease = await leased();
      const [written, accepted] = await Promise.all([
        writer.write(lease, { events: [], ending: ending(1) }),
        send(database.db, lease.sessionId, "now?"),
      ]);
      expect(accepted.outcome).toBe(written.isEnded ? "started" : "steered");
      if (!written.isEnded) await writer.write(lease, { events: [], ending: ending(null) });
    }
  });

  test("an announced call is settled in place, and only once", async () => {
    const lease = await leased();
    await writer.write(lease, {
      events: [],
      steps: [step("tool:x", { effect: "at_most_once", status: "pending", result: null })],
    });
    await writer.write(lease, {
      events: [note("done")],
      steps: [step("tool:x", { effect: "at_most_once" })],
    });
    expect((await loadSteps(database.db, lease.runId)).map((one) => one.status)).toEqual(["settled"]);
    const again = writer.write(lease, {
      events: [note("again")],
      steps: [step("tool:x", { status: "unknown" })],
    });
    expect(await again.catch((error) => error)).toBeInstanceOf(LeaseLostError);
  });

  test("no deadlock when groups of two writers touch the same sessions in opposite order", async () => {
    const other = createWriter({ db: database.db, onWritten: () => {} });
    const leases: LeaseRef[] = [];
    for (let n = 0; n < 20; n += 1) leases.push(await leased());
    const reversed = [...leases].reverse();
    for (let round = 0; round < 20; round += 1) {
      await Promise.all([
        ...leases.map((lease) => writer.write(lease, { events: [note("w")] })),
        ...reversed.map((lease) => other.write(lease, { events: [note("o")] })),
      ]);
    }
    for (const lease of leases) expect((await messagesOf(lease)).length).toBe(40);
  });
});

test("no deadlock (40P01) when two writers, messages and cancellations meet on the same sessions", async () => {
  const database = await testDatabase({ connections: 16 });
  try {
    const { db } = database;
    const writers = [0, 1].map(() => createWriter({ db, onWritten: () => {} }));
    const sessions = await Promise.all(Array.from({ length: 24 }, () => newSession(db)));
    const failures: unknown[] = [];
    const outcomes: Promise<unknown>[] = [];
    const begin = (work: Promise<unknown>) => outcomes.push(work.catch((error) => failures.push(error)));
    const shuffled = <T>(list: readonly T[], by: number) =>
      list.map((_, n) => list[(n * 7 + by * 5) % list.length] as T);
    for (let round = 0; round < 12; round += 1) {
      for (const session of shuffled(sessions, round)) begin(send(db, session, `round ${round}`));
      await Bun.sleep(0);
      const runs = await claimRuns(db, { workerId: "worker-test", slots: 100, leaseMs: 60_000 });
      for (const [side, writer] of writers.entries()) {
        for (const run of shuffled(runs, side + round)) {
          const lease = { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch };
          begin(
            writer.write(lease, {
              events: [note("w")],
              steps: [step(`tool:${side}`)],
              ...(round % 3 === side ? { ending: ending(null) } : {}),
            }),
          );
        }
      }
      for (const sessionId of shuffled(sessions, round + 3).slice(0, 8)) {
        begin(cancelTurn(db, { organizationId: ORGANIZATION, sessionId, reason: "", now: new Date() }));
      }
    }
    await Promise.all(outcomes);
    // What lost its lease to a cancellation or an ending is told so; a deadlock would come as a RetryableError.
    expect(failures.filter((error) => !(error instanceof LeaseLostError))).toEqual([]);
    const [{ gaps } = { gaps: -1 }] = await db.sql<{ gaps: number }[]>`
      select count(*) as gaps from sessions s
       where last_sequence <> (select count(*) from events e where e.session_id = s.id)`;
    expect(gaps).toBe(0);
  } finally {
    await database.drop();
  }
});
