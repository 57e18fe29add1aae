/**
 * A worker process that is stopped for longer than its lease (SIGSTOP: a suspended machine, a long pause) in the
 * middle of a step. Its connections live on, so that only the lease tells; another process finishes the run. When
 * the sleeper wakes up it writes nothing (I5), leaves the run, and works on for others.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Effect } from "../../src/capabilities/tool.ts";
import type { Event } from "../../src/contract/event.ts";
import { UNKNOWN_OUTCOME } from "../../src/engine/act.ts";
import { seedModel } from "../support/engine.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, send, turnsEnded } from "../support/sessions.ts";
import { startWorkerProcess, type WorkerProcess } from "../support/worker-processes.ts";

/** Long enough that a machine with much else to do still sends the heartbeats between. */
const LEASE_MS = 2_000;

describe("a worker process that sleeps past its lease", () => {
  let database: TestDatabase;
  let sleeper: WorkerProcess;
  let other: WorkerProcess;

  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    sleeper = startWorkerProcess(database.address);
    other = startWorkerProcess(database.address);
  });
  afterAll(async () => {
    await sleeper.kill();
    await other.kill();
    await database.drop();
  });

  const script = (steps: object[], more: object = {}) =>
    `Play.\n\`\`\`llmsim\n${JSON.stringify({ rate: 0, ...more, steps })}\n\`\`\``;
  const ofRun = async (session: string) => ({
    events: await logOnce(database.db, session, isIdle),
    steps: await database.db.sql`
      select * from steps where run_id in (select id from runs where session_id = ${session}) order by name`,
    run: await database.db.sql`select * from runs where session_id = ${session}`,
    session: await database.db.sql`select * from sessions where id = ${session}`,
  });
  /** Looks again until the sleeper has no run in hand. */
  const atRest = async () => {
    for (;;) {
      const report = await sleeper.tell({ do: "report" });
      if (report === null) throw new Error("the sleeper has ended");
      if (report.load === 0) return report;
    }
  };

  /** Puts the worker to sleep once the log passes, lets the other finish, wakes it. @returns the log as it was before */
  async function sleepThrough(
    text: string,
    hold: Effect,
    isInside: (events: readonly Event[]) => Promise<boolean>,
  ) {
    const session = await newSession(database.db);
    await send(database.db, session, text);
    await sleeper.tell({ do: "work", leaseMs: LEASE_MS, hold: { effect: hold, isReleased: false } });
    for (let isThere = false; !isThere; ) {
      isThere = await isInside(await logOnce(database.db, session, () => true));
    }
    sleeper.signal("SIGSTOP");
    await other.tell({ do: "work", leaseMs: 60_000, hold: { effect: hold, isReleased: true } });
    const before = await ofRun(session);
    const rescued = await other.tell({ do: "rest" });

    sleeper.signal("SIGCONT");
    await sleeper.tell({ do: "release" });
    const slept = await atRest();
    expect(await ofRun(session)).toEqual(before);
    expect(turnsEnded(before.events)).toBe(1);
    expect(before.run[0]).toMatchObject({ state: "completed" });
    expect(Number(before.run[0]?.lease_epoch)).toBeGreaterThan(1);

    // It is a worker like any other again.
    const next = await newSession(database.db);
    await send(database.db, next, script([{ text: "Still here." }]));
    const after = await logOnce(database.db, next, isIdle);
    expect(after.filter((event) => event.type === "turn.completed")).toHaveLength(1);
    await sleeper.tell({ do: "rest" });
    return { events: before.events, slept: slept.held, rescued: rescued?.held };
  }

  test("inside a model call: the other goes on from what was streamed, the sleeper adds nothing to it (I5, I6, I7)", async () => {
    const text = "A long answer, word by word. ".repeat(8).trim();
    const { events } = await sleepThrough(script([{ text }], { rate: 100 }), "pure", async (log) =>
      log.some((event) => event.type === "output.message.delta"),
    );
    expect(events.filter((event) => event.type === "output.message.started")).toHaveLength(1);
    expect(events.flatMap((event) => (event.type === "reason.recovered" ? [event.data.mode] : []))).toEqual([
      "finalize",
    ]);
    const deltas = events.flatMap((event) =>
      event.type === "output.message.delta" ? [event.data.delta] : [],
    );
    expect(deltas.join("")).toBe(text);
    const answers = events.flatMap((event) =>
      event.type === "output.message.completed" ? [event.data.message.content] : [],
    );
    expect(answers).toEqual([[{ type: "text", text }]]);
  });

  const holding = script([{ tool_calls: [{ name: "hold" }] }, { text: "Done." }]);
  const isHolding = async () => ((await sleeper.tell({ do: "report" }))?.held.length ?? 0) > 0;

  test("inside an idempotent tool: the other runs it with the same key, its result stands (I4, I5)", async () => {
    const { events, slept, rescued } = await sleepThrough(holding, "idempotent", isHolding);
    expect(slept).toHaveLength(1);
    expect(rescued).toEqual(slept);
    expect(events.filter((event) => event.type === "tool.completed")).toHaveLength(1);
  });

  test("inside an at_most_once tool: it is not run again, and the late result changes nothing (I5, I11)", async () => {
    const { events, slept, rescued } = await sleepThrough(holding, "at_most_once", isHolding);
    expect(slept).toHaveLength(1);
    expect(rescued).toEqual([]);
    const results = events.filter((event) => event.type === "tool.completed");
    expect(results).toHaveLength(1);
    expect(results[0]?.data).toMatchObject({ success: false, error: UNKNOWN_OUTCOME });
  });
});
