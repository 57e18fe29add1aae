/** The queue alone: how fast it drains, how soon it starts, and what ended and parked runs cost a claim. */

import { silentLog } from "../../src/base/log.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { createHints } from "../../src/db/hints.ts";
import { createWriter } from "../../src/db/writer.ts";
import { madeUpDriver, startEngine } from "./engine.ts";
import { type Meter, startMeter } from "./meter.ts";
import { type Ceiling, shareOf, throughputGoal } from "./pgbench.ts";
import { count, latencyText, ms, quantile } from "./report.ts";
import { newSessions, ORGANIZATION, queueRuns, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";
import { analyze, eachClaimed, endingWrite } from "./steps.ts";

const SLOTS = 50;

export async function measureQueue(stage: Stage, ceiling: Ceiling): Promise<void> {
  stage.report.part("The queue");
  await drainNoops(stage, ceiling);
  await startLatency(stage);
}

async function drainNoops(stage: Stage, ceiling: Ceiling): Promise<void> {
  const database = await stage.database();
  try {
    const drain = async (runs: number, slots: number) => {
      await queueRuns(database.db, runs, "go");
      const { db } = database;
      const writer = createWriter({ db, onWritten: () => {} });
      const start = performance.now();
      await eachClaimed(
        (free) => claimRuns(db, { workerId: "bench", slots: free, leaseMs: 30_000 }),
        slots,
        (run) =>
          writer.write(
            { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch },
            { events: [], ending: endingWrite(run.id) },
          ),
      );
      return runs / ((performance.now() - start) / 1000);
    };
    const runs = stage.pick(10_000, 500);
    await drain(runs / 10, SLOTS);
    await analyze(database);
    for (const slots of [SLOTS, 500]) {
      const meter = await startMeter(stage, database.db, { bench: process.pid });
      const perSecond = await drain(runs, slots);
      const bound = await meter.text({ name: "run", count: runs });
      stage.report.add({
        what: `runs that do nothing, drained by one process, ${slots} slots, each with its two closing events`,
        measured: `${count(perSecond)} runs/s`,
        ...(slots === SLOTS
          ? throughputGoal(ceiling, { perSecond: 35_000, unit: "runs/s" }, perSecond)
          : { goal: null, isMet: null }),
        share: shareOf(perSecond, ceiling.runsPerSecond, "pgbench"),
        elsewhere: "33,346 graphile-worker, prefetching 500; 17,172 bare SQL",
        bound,
        note: `${count(runs)} runs, claims and grouped writer; session, run and log are written`,
      });
    }
  } finally {
    await database.drop();
  }
}

/** Enqueuer and worker have connections and hints of their own, so that the hint goes through the database. */
async function startLatency(stage: Stage): Promise<void> {
  const database = await stage.database();
  try {
    const { db } = database;
    await seedModel(db);
    let claimedAt = 0;
    let calledAt = 0;
    const engine = await startEngine(database.address, {
      concurrency: SLOTS,
      driver: madeUpDriver(() => {
        calledAt = performance.now();
        return [{ kind: "text", text: "ok" }];
      }),
      failpoint(name) {
        if (name === "claim:after") claimedAt = performance.now();
      },
    });
    const hints = createHints({ db, log: silentLog });
    await hints.start();
    const messages = stage.pick(300, 20);
    const warmUp = stage.pick(50, 5);
    const sessions = await newSessions(db, messages + warmUp);
    const claimed: number[] = [];
    const called: number[] = [];
    let meter: Meter | null = null;
    for (const [index, session] of sessions.entries()) {
      if (index === warmUp) meter = await startMeter(stage, db, { bench: process.pid });
      claimedAt = 0;
      calledAt = 0;
      await Bun.sleep(5 + stage.random() * 10);
      const start = performance.now();
      await send(db, session, "hello");
      hints.publish({ sessions: [session], isQueued: true });
      await until("the model was called", () => calledAt > 0);
      if (index < warmUp) continue;
      claimed.push(claimedAt - start);
      called.push(calledAt - start);
    }
    const bound = (await meter?.each({ name: "message with its turn", count: messages })) ?? null;
    await hints.stop();
    await engine.stop();
    const note = `${messages} messages one at a time at random moments, each after the last one's model call; enqueuer and worker meet in the database alone`;
    stage.report.add({
      what: "from sending a message to the worker holding the run, idle worker",
      measured: latencyText(claimed),
      goal: "p50 ≤ 2 ms, p99 ≤ 4 ms",
      isMet: quantile(claimed, 0.5) <= 2 && quantile(claimed, 0.99) <= 4,
      elsewhere: "3.0 / 5.3 graphile-worker, 2.1 / 4.3 bare SQL, others 4 to 1,950",
      bound,
      note,
    });
    const own = called.map((value, index) => value - (claimed[index] ?? 0));
    stage.report.add({
      what: "own overhead: from the claim to the model's call",
      measured: latencyText(own),
      goal: "p50 ≤ 5 ms",
      isMet: quantile(own, 0.5) <= 5,
      elsewhere: "40 ms",
      bound,
      note: `both together: ${latencyText(called)}`,
    });
  } finally {
    await database.drop();
  }
}

export const PARKED = 100_000;
export const ENDED_STAGES = [1_000, 100_000, 1_000_000];

/** Claims on an empty queue, then on one with a past that grows. */
export async function measureFullTable(stage: Stage): Promise<void> {
  stage.report.part("A queue with a past");
  const database = await stage.database();
  const claims = stage.pick(60, 3);
  const parked = stage.pick(PARKED, 100);
  const measure = async () => {
    await queueRuns(database.db, claims * SLOTS * 2, "go");
    await claimTimes(database, claims);
    await endRunning(database);
    await analyze(database);
    const meter = await startMeter(stage, database.db, { bench: process.pid });
    const times = await claimTimes(database, claims);
    const bound = await meter.each({ name: "claim", count: claims });
    await endRunning(database);
    return { times, bound };
  };
  try {
    const empty = await measure();
    let ended = 0;
    await fillParked(database, parked);
    for (const goal of stage.pick(ENDED_STAGES, [500])) {
      await fillEnded(database, { from: ended + 1, to: goal, parked });
      ended = goal;
      const full = await measure();
      const ratio = quantile(full.times, 0.5) / quantile(empty.times, 0.5);
      const isLast = goal === ENDED_STAGES.at(-1);
      stage.report.add({
        what: `claim of ${SLOTS} with ${count(parked)} parked and ${count(ended)} ended runs, against an empty table`,
        measured: `${ms(quantile(full.times, 0.5))} ms against ${ms(quantile(empty.times, 0.5))} ms p50 (${ratio >= 1 ? "+" : ""}${Math.round((ratio - 1) * 100)} %)`,
        ...(isLast ? { goal: "within 20 %", isMet: ratio <= 1.2 } : { goal: null, isMet: null }),
        bound: `full: ${full.bound}. Empty: ${empty.bound}`,
        note: `${claims} claims each, p99 ${ms(quantile(full.times, 0.99))} and ${ms(quantile(empty.times, 0.99))} ms`,
      });
    }
  } finally {
    await database.drop();
  }
}

async function claimTimes({ db }: BenchDatabase, claims: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < claims; n += 1) {
    const start = performance.now();
    const runs = await claimRuns(db, { workerId: "bench", slots: SLOTS, leaseMs: 3_600_000 });
    times.push(performance.now() - start);
    if (runs.length !== SLOTS) throw new Error("the queue ran dry");
  }
  // What is claimed stays leased meanwhile: a worker that holds many runs is part of the picture.
  return times;
}

/** So that each measurement begins with as many leased runs as the others: none. */
async function endRunning({ db }: BenchDatabase): Promise<void> {
  await db.sql`
    update runs set state = 'completed', lease_owner = null, lease_expires_at = null, finished_at = now()
     where state = 'running'`;
}

/** Several statements sent as one are one transaction. The trigger of the foreign key is not what is measured. */
const UNCHECKED = "set local session_replication_role = replica; set local statement_timeout = 0;";

/** One session each. */
export async function fillParked({ db }: Pick<BenchDatabase, "db">, parked: number): Promise<void> {
  await db.sql.unsafe(`
    ${UNCHECKED}
    insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id, status, active_run_id)
    select 'session_' || lpad(to_hex(n), 32, '0'), '${ORGANIZATION}', 'harness_00000000000000000000000000000002', 'wsp_' || n,
           'principal_bench', 'waitingfortoolresults', 'turn_' || lpad(to_hex(n), 32, '0')
      from generate_series(1, ${parked}) n;
    insert into runs (id, organization_id, session_id, state, waiting_on, attempt, lease_epoch, input_message_id, input_sequence, started_at)
    select 'turn_' || lpad(to_hex(n), 32, '0'), '${ORGANIZATION}', 'session_' || lpad(to_hex(n), 32, '0'), 'waiting', 'client_tools', 1, 1,
           'message_1', 1, now()
      from generate_series(1, ${parked}) n;`);
}

export async function fillEnded(
  { db }: Pick<BenchDatabase, "db">,
  { from, to, parked }: { from: number; to: number; parked: number },
): Promise<void> {
  await db.sql.unsafe(`
    ${UNCHECKED}
    insert into runs (id, organization_id, session_id, state, attempt, lease_epoch, input_message_id, input_sequence,
                      queued_at, available_at, started_at, finished_at)
    select 'turn_e' || lpad(to_hex(n), 31, '0'), '${ORGANIZATION}', 'session_' || lpad(to_hex(1 + n % ${parked}), 32, '0'), 'completed', 1, 1,
           'message_1', 1, t, t, t, t
      from (select n, now() - n * interval '1 second' as t from generate_series(${from}, ${to}) n) ended;`);
}
