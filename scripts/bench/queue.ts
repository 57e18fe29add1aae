/** The queue alone: how fast it drains, how soon it starts, and what ended and parked runs cost a claim. */

import { silentLog } from "../../src/base/log.ts";
import type { NewEvent } from "../../src/contract/event.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { createHints } from "../../src/db/hints.ts";
import { createWriter } from "../../src/db/writer.ts";
import { madeUpDriver, startEngine } from "./engine.ts";
import { watchCpu } from "./machine.ts";
import type { Ceiling } from "./pgbench.ts";
import { count, latencyText, ms, quantile } from "./report.ts";
import { newSessions, ORGANIZATION, queueRuns, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";
import { analyze, eachClaimed } from "./steps.ts";

const SLOTS = 50;
const NOOP_RUNS = 10_000;
const LATENCY_RUNS = 300;

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
            { events: [], ending: ending(run.id) },
          ),
      );
      return runs / ((performance.now() - start) / 1000);
    };
    await drain(1_000, SLOTS);
    await analyze(database);
    for (const slots of [SLOTS, 500]) {
      const cpu = watchCpu({ bench: process.pid, PostgreSQL: stage.postgres.pid });
      const perSecond = await drain(NOOP_RUNS, slots);
      const than =
        ceiling.runsPerSecond === null ? "" : `; pgbench's claim + done: ${count(ceiling.runsPerSecond)}`;
      stage.report.add({
        what: `runs that do nothing, drained by one process, ${slots} slots, each with its two closing events`,
        measured: `${count(perSecond)} runs/s`,
        goal: slots === SLOTS ? "≥ 35,000 runs/s" : null,
        isMet: slots === SLOTS ? perSecond >= 35_000 : null,
        note: `${count(NOOP_RUNS)} runs, claims and grouped writer; session, run and log are written${than}; ${cpu.text()}`,
      });
    }
  } finally {
    await database.drop();
  }
}

function ending(runId: string) {
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
    const sessions = await newSessions(db, LATENCY_RUNS + 50);
    const claimed: number[] = [];
    const called: number[] = [];
    for (const [index, session] of sessions.entries()) {
      claimedAt = 0;
      calledAt = 0;
      await Bun.sleep(5 + stage.random() * 10);
      const start = performance.now();
      await send(db, session, "hello");
      hints.publish({ sessions: [session], isQueued: true });
      await until("the model was called", () => calledAt > 0);
      if (index < 50) continue;
      claimed.push(claimedAt - start);
      called.push(calledAt - start);
    }
    await hints.stop();
    await engine.stop();
    const note = `${LATENCY_RUNS} messages one at a time at random moments; two commits, message and claim, each with its disk sync, and the notification between them`;
    stage.report.add({
      what: "from sending a message to the worker holding the run, idle worker",
      measured: latencyText(claimed),
      goal: "p50 ≤ 2 ms, p99 ≤ 4 ms",
      isMet: quantile(claimed, 0.5) <= 2 && quantile(claimed, 0.99) <= 4,
      note,
    });
    const own = called.map((value, index) => value - (claimed[index] ?? 0));
    stage.report.add({
      what: "from there to the model's call (loading, turn.started and reason.started written)",
      measured: latencyText(own),
      goal: "p50 ≤ 5 ms (own overhead before the model is called)",
      isMet: quantile(own, 0.5) <= 5,
      note: `both together: ${latencyText(called)}`,
    });
  } finally {
    await database.drop();
  }
}

const PARKED = 100_000;
const ENDED = 1_000_000;
const CLAIMS = 60;

/** Claims on an empty queue, then on one with a past. */
export async function measureFullTable(stage: Stage): Promise<void> {
  stage.report.part("A queue with a past");
  const database = await stage.database();
  try {
    await queueRuns(database.db, CLAIMS * SLOTS * 2, "go");
    await claimTimes(database);
    await analyze(database);
    const empty = await claimTimes(database);
    const start = performance.now();
    await fill(database);
    const fillSeconds = (performance.now() - start) / 1000;
    await queueRuns(database.db, CLAIMS * SLOTS * 2, "go");
    await claimTimes(database);
    await analyze(database);
    const full = await claimTimes(database);
    const ratio = quantile(full, 0.5) / quantile(empty, 0.5);
    stage.report.add({
      what: `claim of 50 with ${count(PARKED)} parked and ${count(ENDED)} ended runs, against an empty table`,
      measured: `${ms(quantile(full, 0.5))} ms against ${ms(quantile(empty, 0.5))} ms p50 (${ratio >= 1 ? "+" : ""}${Math.round((ratio - 1) * 100)} %)`,
      goal: "within 20 %",
      isMet: ratio <= 1.2,
      note: `${CLAIMS} claims each, p99 ${ms(quantile(full, 0.99))} and ${ms(quantile(empty, 0.99))} ms; filled by SQL in ${fillSeconds.toFixed(0)} s`,
    });
  } finally {
    await database.drop();
  }
}

async function claimTimes({ db }: BenchDatabase): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < CLAIMS; n += 1) {
    const start = performance.now();
    const runs = await claimRuns(db, { workerId: "bench", slots: SLOTS, leaseMs: 3_600_000 });
    times.push(performance.now() - start);
    if (runs.length !== SLOTS) throw new Error("the queue ran dry");
  }
  // They stay leased: a worker that holds many runs is part of the picture in both measurements alike.
  return times;
}

async function fill({ db }: BenchDatabase): Promise<void> {
  // Several statements sent as one are one transaction. One session each for the parked; the trigger of the foreign key is not what is measured.
  await db.sql.unsafe(`
    set local session_replication_role = replica;
    set local statement_timeout = 0;
    insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id, status, active_run_id)
    select 'session_' || lpad(to_hex(n), 32, '0'), '${ORGANIZATION}', 'harness_00000000000000000000000000000002', 'wsp_' || n,
           'principal_bench', 'waitingfortoolresults', 'turn_' || lpad(to_hex(n), 32, '0')
      from generate_series(1, ${PARKED}) n;
    insert into runs (id, organization_id, session_id, state, waiting_on, attempt, lease_epoch, input_message_id, input_sequence, started_at)
    select 'turn_' || lpad(to_hex(n), 32, '0'), '${ORGANIZATION}', 'session_' || lpad(to_hex(n), 32, '0'), 'waiting', 'client_tools', 1, 1,
           'message_1', 1, now()
      from generate_series(1, ${PARKED}) n;
    insert into runs (id, organization_id, session_id, state, attempt, lease_epoch, input_message_id, input_sequence,
                      queued_at, available_at, started_at, finished_at)
    select 'turn_e' || lpad(to_hex(n), 31, '0'), '${ORGANIZATION}', 'session_' || lpad(to_hex(1 + n % ${PARKED}), 32, '0'), 'completed', 1, 1,
           'message_1', 1, t, t, t, t
      from (select n, now() - n * interval '1 second' as t from generate_series(1, ${ENDED}) n) ended;`);
}
