/** kill -9 of a worker that holds 200 runs, while another one has nothing to do. */

import { silentLog } from "../../src/base/log.ts";
import { createHints } from "../../src/db/hints.ts";
import { type Db, openDb } from "../../src/db/pool.ts";
import { ms } from "./report.ts";
import { ended, queueRuns, seedModel } from "./rows.ts";
import { type Stage, until } from "./stage.ts";

const ANSWERS = 4;
/** Of the simulated model, before each answer. */
const LATENCY_MS = 50;

export async function measureKill(stage: Stage): Promise<void> {
  stage.report.part("kill -9");
  // The database that `serve` and `worker` of this data directory use.
  const db = openDb(stage.postgres.address, { applicationName: "everruns-bench" });
  const hints = createHints({ db, log: silentLog });
  await hints.start();
  try {
    const runs = stage.pick(200, 8);
    const undisturbed = await trial(stage, db, hints, { count: runs, kills: false });
    const killed = await trial(stage, db, hints, { count: runs, kills: true });
    const seconds = killed.afterKillMs / 1000;
    stage.report.add({
      what: `kill -9 of a worker with ${runs} runs in flight: until all of them have ended elsewhere`,
      measured: `${seconds.toFixed(2)} s`,
      goal: "≤ 1 s",
      isMet: seconds <= 1,
      elsewhere:
        "0.51 s bare SQL, 1.13 s Restate, 1.3–3.6 s DBOS, 30 s openworkflow, 120 s absurd, others not within 420 s",
      bound: `of the ${seconds.toFixed(2)} s ${(killed.lastTakenMs / 1000).toFixed(2)} s went by until the last run was taken over; the work that was left takes an undisturbed worker ${(undisturbed.afterKillMs / 1000).toFixed(2)} s`,
      note:
        `${ANSWERS} answers and ${ANSWERS - 1} tool calls a run, ${LATENCY_MS} ms before each answer; at the kill ${killed.settledAtKill} of ${runs * (2 * ANSWERS - 1)} steps were settled; ` +
        `${killed.taken} runs were taken over, the first after ${ms(killed.firstTakenMs)} ms, the last after ${ms(killed.lastTakenMs)} ms`,
    });
    stage.report.add({
      what: "settled steps that ran twice, runs lost",
      measured: `${killed.settledTwice}, ${killed.lost}`,
      goal: "0, 0",
      isMet: killed.settledTwice === 0 && killed.lost === 0,
      elsewhere: "4 to 136 steps ran twice",
      note: `${killed.startedAgain} model calls that were in flight were asked again, which is their nature`,
    });
  } finally {
    await hints.stop();
    await db.close();
  }
}

async function trial(
  stage: Stage,
  db: Db,
  hints: ReturnType<typeof createHints>,
  { count, kills }: { count: number; kills: boolean },
) {
  const startWorker = () =>
    stage.start(["cli/everruns.ts", "worker", "--concurrency", String(count)], /everruns worker: up to/, {
      EVERRUNS_LOG_LEVEL: "error",
    });
  const survivor = await startWorker();
  // Stopped for a moment, so that the other one gets all the runs; it keeps its connections and its lock.
  survivor.signal("SIGSTOP");
  const victim = await startWorker();
  const [model] = await db.sql`select from organizations where default_model_id is not null`;
  if (!model) await seedModel(db);
  const before = await ended(db);
  const runs = await queueRuns(db, count, script());
  hints.publish({ isQueued: true });
  await until("every run has its first answer and its first call settled", async () => {
    const rows = await db.sql<{ runs: number }[]>`
      select count(*) as runs from (
        select from steps where run_id = any (${runs}::text[]) and status = 'settled' group by run_id having count(*) > 1
      ) begun`;
    return rows[0]?.runs === count;
  });
  survivor.signal("SIGCONT");
  if (kills) await victim.stop("SIGKILL");
  const killedAt = performance.now();
  const settled = await settledSteps(db, runs);
  const takenMs: number[] = [];
  await until("all runs ended", async () => {
    const rows = await db.sql<{ taken: number }[]>`
      select count(*) as taken from runs where id = any (${runs}::text[]) and attempt > 1`;
    for (let n = takenMs.length; n < (rows[0]?.taken ?? 0); n += 1)
      takenMs.push(performance.now() - killedAt);
    return (await ended(db)) >= before + count;
  });
  const afterKillMs = performance.now() - killedAt;
  await Promise.all([survivor.stop(), victim.stop()]);

  const after = await settledSteps(db, runs);
  const asked = await db.sql<{ key: string; times: number }[]>`
    select context ->> 'turn_id' || ' reason:' || (data ->> 'iteration') as key, count(*) as times from events
     where session_id in (select session_id from runs where id = any (${runs}::text[])) and type = 'output.message.started'
     group by 1`;
  const [ok] = await db.sql<{ completed: number }[]>`
    select count(*) as completed from runs where id = any (${runs}::text[]) and state = 'completed'`;
  return {
    afterKillMs,
    settledAtKill: settled.size,
    // Stored again, or its model asked again although the answer was settled.
    settledTwice:
      [...settled].filter(([key, stamp]) => after.get(key) !== stamp).length +
      asked.filter(({ key, times }) => settled.has(key) && times > 1).length,
    startedAgain: asked.filter(({ key, times }) => !settled.has(key) && times > 1).length,
    lost: count - (ok?.completed ?? 0),
    taken: takenMs.length,
    firstTakenMs: takenMs.at(0) ?? 0,
    lastTakenMs: takenMs.at(-1) ?? 0,
  };
}

async function settledSteps({ sql }: Db, runs: readonly string[]): Promise<Map<string, string>> {
  const rows = await sql<{ key: string; stamp: string }[]>`
    select run_id || ' ' || name as key, attempt || ' ' || finished_at as stamp
      from steps where run_id = any (${[...runs]}::text[]) and status = 'settled'`;
  return new Map(rows.map(({ key, stamp }) => [key, stamp]));
}

function script(): string {
  const steps = Array.from({ length: ANSWERS }, (_, index) => ({
    text: `Answer ${index + 1}.`,
    tool_calls: index < ANSWERS - 1 ? [{ name: "get_current_time", arguments: {} }] : [],
  }));
  return `Go.\n\`\`\`llmsim\n${JSON.stringify({ rate: 0, latency_ms: LATENCY_MS, steps })}\n\`\`\``;
}
