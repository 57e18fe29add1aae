/** One-step turns over REST beside runs that ended long ago: do tables that grow make a turn slower? */
import { openDb } from "../../src/db/pool.ts";
import { startMeter } from "./meter.ts";
import { ENDED_STAGES, fillEnded, fillParked, PARKED } from "./queue.ts";
import { count, latencyText } from "./report.ts";
import type { BenchDatabase, Stage } from "./stage.ts";
import { analyze } from "./steps.ts";
import { startServe, turns } from "./turns.ts";

export async function measurePast(stage: Stage): Promise<void> {
  stage.report.part("One-step turns over REST beside ended runs");
  const server = await startServe(stage);
  const db = openDb(stage.postgres.address, { applicationName: "everruns-bench" });
  const database = { db };
  try {
    await empty(database);
    const port = Number(server.found[1]);
    const parked = stage.pick(PARKED, 100);
    await turns(db, port, { clients: 1, turnsEach: stage.pick(50, 3) });
    let ended = 0;
    for (const goal of [0, ...stage.pick(ENDED_STAGES, [500])]) {
      if (goal > 0) {
        if (ended === 0) await fillParked(database, parked);
        await fillEnded(database, { from: ended + 1, to: goal, parked });
        ended = goal;
      }
      await analyze(database);
      for (const clients of [1, 64]) {
        // What the server kept in memory from the last load is not what is measured.
        await turns(db, port, { clients, turnsEach: clients === 1 ? stage.pick(20, 1) : 1 });
        const meter = await startMeter(stage, db, { bench: process.pid, server: server.pid });
        const load = clients === 1 ? { turnsEach: stage.pick(150, 5) } : { seconds: stage.pick(3, 0.5) };
        const done = await turns(db, port, { clients, ...load });
        const number = done.latencies.length;
        stage.report.add({
          what: `one-step turns, ${clients} ${clients === 1 ? "client" : "clients"}, beside ${count(ended)} ended runs`,
          measured: `${clients === 1 ? "" : `${count(number / done.seconds)} turns/s, `}${latencyText(done.latencies)}`,
          goal: null,
          isMet: null,
          bound: await meter.text({ name: "turn", count: number }),
          note: `${count(number)} turns; ${ended === 0 ? "nothing else in the tables" : `besides, ${count(parked)} sessions with a parked run each`}`,
        });
      }
    }
  } finally {
    await server.stop();
    await empty(database);
    await db.close();
  }
}

/** The database is that of every `serve` and `worker` of the bench: other parts must not find what this one filled in. */
async function empty({ db }: Pick<BenchDatabase, "db">): Promise<void> {
  await db.sql.unsafe("truncate sessions, runs, steps, events cascade");
}
