/** Checkpointed steps: 1,000 runs of six steps on 50 slots, about 1 KB a step. */
import type { NewEvent } from "../../src/contract/event.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { createWriter, type RunWrite } from "../../src/db/writer.ts";
import type { Chunk, Driver } from "../../src/llm/driver.ts";
import { madeUpDriver, startEngine } from "./engine.ts";
import { startMeter } from "./meter.ts";
import { type Ceiling, shareOf, throughputGoal } from "./pgbench.ts";
import { count } from "./report.ts";
import { deadlocks, ended, FILL, queueRuns, seedModel } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";

const SLOTS = 50;
export const STEPS = 6;

export async function measureSteps(stage: Stage, ceiling: Ceiling): Promise<void> {
  stage.report.part("Six-step runs, 50 slots, about 1 KB a step, everything durable");
  await writerAlone(stage, ceiling);
  await wholeWorker(
    stage,
    ceiling,
    "six-step runs: the whole worker, a model that answers at once, a tool that does nothing",
    madeUp(),
  );
  await wholeWorker(
    stage,
    ceiling,
    "six-step runs: the whole worker, the simulated model (llmsim, rate 0)",
    null,
  );
}

async function writerAlone(stage: Stage, ceiling: Ceiling): Promise<void> {
  const database = await stage.database();
  try {
    const runs = stage.pick(1_000, 60);
    await drainThroughWriter(database, stage.pick(100, 20));
    await analyze(database);
    const meter = await startMeter(stage, database.db, { bench: process.pid });
    const { stepsPerSecond, eventsPerSecond, statementsPerRun } = await drainThroughWriter(database, runs);
    const bound = await meter.text({ name: "step", count: runs * STEPS });
    stage.report.add({
      what: "six-step runs: grouped writer and claims, four events a step",
      measured: `${count(stepsPerSecond)} steps/s`,
      ...throughputGoal(ceiling, { perSecond: 10_000, unit: "steps/s with all events" }, stepsPerSecond),
      share: [
        shareOf(stepsPerSecond, ceiling.stepsPerSecond, "pgbench"),
        shareOf(stepsPerSecond, ceiling.writerStepsPerSecond, "its statement alone"),
      ]
        .filter((text) => text !== null)
        .join("; "),
      elsewhere: "25 to 1,556 on PostgreSQL, 2,646 Restate, 5,500 bare SQL",
      bound,
      note: `${count(runs)} runs; ${count(eventsPerSecond)} events/s in the same statements, ${statementsPerRun.toFixed(2)} statements a run; ${await deadlocks(database.db)} deadlocks`,
    });
    const share = ceiling.stepsPerSecond === null ? null : stepsPerSecond / ceiling.stepsPerSecond;
    stage.report.add({
      what: "the grouped writer against pgbench, which writes no events",
      measured: share === null ? "not measured" : `${Math.round(share * 100)} %`,
      goal: "≥ 90 %",
      isMet: share === null ? null : share >= 0.9,
      bound,
      note: share === null ? "no pgbench on the PATH" : "the two rows above it, of one run",
    });
  } finally {
    await database.drop();
  }
}

async function drainThroughWriter({ db }: BenchDatabase, runs: number) {
  await queueRuns(db, runs, "go");
  let events = 0;
  let claims = 0;
  const writer = createWriter({ db, onWritten: () => {} });
  const start = performance.now();
  await eachClaimed(
    async (slots) => {
      claims += 1;
      return claimRuns(db, { workerId: "bench", slots, leaseMs: 30_000 });
    },
    SLOTS,
    async (run) => {
      const lease = { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch };
      for (let step = 1; step <= STEPS; step += 1) {
        const write = stepWrite(run.id, step);
        events += write.events.length + (write.ending?.events.length ?? 0);
        await writer.write(lease, write);
      }
    },
  );
  const seconds = (performance.now() - start) / 1000;
  return {
    stepsPerSecond: (runs * STEPS) / seconds,
    eventsPerSecond: events / seconds,
    statementsPerRun: (writer.statements() + claims) / runs,
  };
}

/** Claims into free slots, as the worker does, until a claim finds nothing and all slots are free. */
export async function eachClaimed<T>(
  claim: (slots: number) => Promise<readonly T[]>,
  slots: number,
  work: (run: T) => Promise<unknown>,
): Promise<void> {
  const running = new Set<Promise<unknown>>();
  for (;;) {
    const free = slots - running.size;
    const claimed = free > 0 ? await claim(free) : [];
    for (const run of claimed) {
      const working = work(run).finally(() => running.delete(working));
      running.add(working);
    }
    if (running.size === 0) return;
    if (claimed.length < free || running.size >= slots) await Promise.race(running);
  }
}

/** One step: its checkpoint and four events; the last one ends the run. */
export function stepWrite(runId: string, step: number): RunWrite {
  const isReason = step % 2 === 1;
  const context = { turn_id: runId };
  const types = isReason
    ? (["reason.started", "output.message.started", "output.message.completed", "reason.completed"] as const)
    : (["act.started", "tool.started", "tool.completed", "act.completed"] as const);
  const events = types.map((type) => ({ type, context, data: { turn_id: runId, text: FILL.slice(0, 150) } }));
  const endings = ["turn.completed", "session.idled"] as const;
  return {
    events: events as unknown as NewEvent[],
    steps: [
      {
        name: `${isReason ? "reason" : "tool"}:${step}`,
        kind: isReason ? "reason" : "tool",
        toolName: null,
        effect: null,
        status: "settled",
        attempt: 1,
        result: { text: FILL },
        usage: null,
        error: null,
        durationMs: 1,
      },
    ],
    ...(step < STEPS
      ? {}
      : {
          ending: {
            state: "completed",
            events: endings.map((type) => ({
              type,
              context,
              data: { turn_id: runId },
            })) as unknown as NewEvent[],
            errorCode: null,
            error: null,
            finalMessageId: null,
            outputPreview: null,
            seenInputSequence: null,
          },
        }),
  };
}

/** The end of a run that said nothing. */
export function endingWrite(runId: string) {
  const events = (["turn.completed", "session.idled"] as const).map((type) => ({
    type,
    context: { turn_id: runId },
    data: { turn_id: runId },
  }));
  return {
    state: "completed" as const,
    events: events as unknown as NewEvent[],
    errorCode: null,
    error: null,
    finalMessageId: null,
    outputPreview: null,
    seenInputSequence: null,
  };
}

/** Three answers of the model and three tool calls: a call, two calls at once, the end. */
const CALLS_OF_ANSWER = [1, 2, 0];

function madeUp(): Driver {
  return madeUpDriver((request) => {
    const answers = request.messages.filter((message) => message.role === "assistant").length;
    const calls = CALLS_OF_ANSWER[answers] ?? 0;
    return [
      { kind: "text", text: FILL },
      ...Array.from(
        { length: calls },
        (_, index): Chunk => ({ kind: "tool_call", index, id: `call_${answers}_${index}`, name: "noop" }),
      ),
    ];
  });
}

function script(): string {
  const steps = CALLS_OF_ANSWER.map((calls) => ({
    text: FILL,
    tool_calls: Array(calls).fill({ name: "noop" }),
  }));
  return `Go.\n\`\`\`llmsim\n${JSON.stringify({ rate: 0, steps })}\n\`\`\``;
}

async function wholeWorker(
  stage: Stage,
  ceiling: Ceiling,
  what: string,
  driver: Driver | null,
): Promise<void> {
  const runs = stage.pick(1_000, 60);
  const database = await stage.database();
  try {
    const { db } = database;
    await seedModel(db);
    const engine = await startEngine(database.address, { concurrency: SLOTS, driver });
    const drain = async (runs: number) => {
      const before = await ended(db);
      await queueRuns(db, runs, driver === null ? script() : "Go.");
      const start = performance.now();
      engine.hints.publish({ isQueued: true });
      await until("all runs ended", async () => {
        await Bun.sleep(20);
        return (await ended(db)) === before + runs;
      });
      return (performance.now() - start) / 1000;
    };
    await drain(stage.pick(100, 20));
    await analyze(database);
    const [before, stepsBefore] = await totals(database);
    const statementsBefore = engine.statements();
    const meter = await startMeter(stage, db, { bench: process.pid });
    const seconds = await drain(runs);
    const bound = await meter.text({ name: "step", count: runs * STEPS });
    const [after, stepsAfter] = await totals(database);
    const steps = stepsAfter - stepsBefore;
    await engine.stop();
    if (steps !== runs * STEPS) throw new Error(`${steps} steps were stored instead of ${runs * STEPS}`);
    stage.report.add({
      what,
      measured: `${count(steps / seconds)} steps/s`,
      ...throughputGoal(ceiling, { perSecond: 10_000, unit: "steps/s with all events" }, steps / seconds),
      share: shareOf(steps / seconds, ceiling.stepsPerSecond, "pgbench"),
      bound,
      note: `${count((after - before) / seconds)} events/s, ${((engine.statements() - statementsBefore) / runs).toFixed(2)} writer's statements a run; ${await deadlocks(db)} deadlocks`,
    });
  } finally {
    await database.drop();
  }
}

/** What autovacuum does within a minute: a table that was empty when it was last looked at is planned badly. */
export async function analyze({ db }: Pick<BenchDatabase, "db">): Promise<void> {
  await db.sql.unsafe("vacuum analyze");
}

async function totals({ db }: BenchDatabase): Promise<[events: number, steps: number]> {
  const rows = await db.sql<{ events: number; steps: number }[]>`
    select (select count(*) from events) as events, (select count(*) from steps where status = 'settled') as steps`;
  return [rows[0]?.events ?? 0, rows[0]?.steps ?? 0];
}
