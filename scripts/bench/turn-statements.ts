/**
 * The ceiling of turns: what the database alone can do of them. A real turn is driven once, and what its worker wrote
 * is remembered; then the acceptance, the claim and these writes of many such turns are sent by pgbench, one statement
 * after the other, in groups as large as our clients make them. Reads, streams and notifications are left out.
 */

import { writeGroup } from "../../src/db/_write-group.ts";
import { acceptMessage } from "../../src/db/accept.ts";
import { claimRuns } from "../../src/db/claim.ts";
import type { RunWrite } from "../../src/db/writer.ts";
import { startEngine } from "./engine.ts";
import { runPgbench } from "./pgbench.ts";
import { count, ms } from "./report.ts";
import { ended, messageTo, newSessions, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Stage, until } from "./stage.ts";
import { capture, install, type Statement } from "./statements.ts";
import { analyze } from "./steps.ts";

/** What the turns of this bench ask for: a simulated model without delay. */
export const TURN_TEXT = 'Hi.\n```llmsim\n{"rate":0,"steps":[{"text":"Hello."}]}\n```';

interface Load {
  /** Our clients over REST for which it is the ceiling. */
  ofClients: readonly number[];
  /** Of pgbench: as many statements of each kind as our process has under way at once. */
  clients: number;
  /** Turns in a statement. */
  size: number;
  turns: number;
}

const LOADS: readonly Load[] = [
  { ofClients: [1], clients: 1, size: 1, turns: 200 },
  { ofClients: [8], clients: 2, size: 4, turns: 800 },
  // 50 slots in two statements; more clients than slots wait.
  { ofClients: [64, 512], clients: 2, size: 25, turns: 2_000 },
];
const QUICK_LOADS: readonly Load[] = [{ ofClients: [64], clients: 2, size: 5, turns: 20 }];

/** @returns turns a second by the number of our clients; empty without pgbench */
export async function measureTurnStatements(stage: Stage): Promise<ReadonlyMap<number, number>> {
  const found = new Map<number, number>();
  if (stage.pgbench === null) return found;
  stage.report.part("The ceiling of turns: acceptance, claim and writes of one-step turns, sent by pgbench");
  for (const load of stage.pick(LOADS, QUICK_LOADS)) {
    const phases = await measureLoad(stage, load);
    const msEach = phases.reduce((sum, phase) => sum + phase.msPerTurn, 0);
    const perSecond = 1_000 / msEach;
    for (const clients of load.ofClients) found.set(clients, perSecond);
    const parts = phases.map(({ name, msPerTurn }) => `${name} ${msPerTurn.toFixed(2)}`).join(", ");
    stage.report.add({
      what: `one-step turns, ${load.size} a statement, ${load.clients === 1 ? "one statement" : `${load.clients} statements`} at a time`,
      measured: `${count(perSecond)} turns/s`,
      goal: null,
      isMet: null,
      note: `${count(load.turns)} turns, ${ms(msEach)} ms each: ${parts}; values laid ready in a table; reads, streams and notifications are not in it`,
    });
  }
  return found;
}

async function measureLoad(
  stage: Stage,
  { clients, size, turns }: Load,
): Promise<{ name: string; msPerTurn: number }[]> {
  const database = await stage.database();
  const phases: { name: string; msPerTurn: number }[] = [];
  try {
    const { db } = database;
    const recorded = await recordTurn(database);
    const time = async (name: string, calls: readonly Statement[], transactions: number) => {
      const script = await install(database, name, calls);
      await analyze(database);
      return runPgbench(stage, database, script, { clients, transactions: transactions / clients });
    };

    const sessions = await newSessions(db, turns);
    const accepts: Statement[] = [];
    for (let at = 0; at < turns; at += size) {
      const inputs = sessions.slice(at, at + size).map((session) => messageTo(session, TURN_TEXT));
      // Alike to what meets in the API's process: one statement; the fake answers nothing, so that others follow.
      accepts.push(
        await capture((fake) => Promise.all(inputs.map((input) => acceptMessage(fake, input))), {
          isFirst: true,
        }),
      );
    }
    const acceptTps = await time("accept", accepts, accepts.length);
    phases.push({ name: "acceptance", msPerTurn: 1_000 / (acceptTps * size) });

    const lease = { workerId: "pgbench", leaseMs: 3_600_000 };
    const claim = await capture((fake) => claimRuns(fake, { ...lease, slots: size }));
    const claimTps = await time("claim", [claim], turns / size);
    // Claims that meet leave each other what they look at: a turn costs what the runs that were taken cost.
    const [taken] = await db.sql<
      { runs: number }[]
    >`select count(*)::int as runs from runs where state = 'running'`;
    phases.push({ name: "claim", msPerTurn: 1_000 / (claimTps * ((taken?.runs ?? 0) / (turns / size))) });
    await claimRuns(db, { ...lease, slots: turns });

    const held = await db.sql<{ id: string; session_id: string; lease_epoch: number }[]>`
      select id, session_id, lease_epoch from runs where state = 'running' order by id`;
    if (held.length !== turns) throw new Error(`${held.length} of ${turns} turns were accepted and claimed`);
    for (const [index, write] of recorded.writes.entries()) {
      const calls: Statement[] = [];
      for (let at = 0; at < turns; at += size) {
        const group = held.slice(at, at + size).map((run) => ({
          lease: { runId: run.id, sessionId: run.session_id, epoch: run.lease_epoch },
          write: forRun(write, recorded, run),
        }));
        calls.push(await capture((fake) => writeGroup(fake, group)));
      }
      const tps = await time(`write_${index + 1}`, calls, calls.length);
      phases.push({ name: `write ${index + 1}`, msPerTurn: 1_000 / (tps * size) });
    }
    // With the recorded one.
    const done = await ended(db);
    if (done !== turns + 1) throw new Error(`${done - 1} of ${turns} turns ended`);
    return phases;
  } finally {
    await database.drop();
  }
}

interface Recorded {
  runId: string;
  sessionId: string;
  writes: RunWrite[];
}

/** Lets the real worker drive one turn. */
async function recordTurn({ db, address }: BenchDatabase): Promise<Recorded> {
  await seedModel(db);
  const writes: RunWrite[] = [];
  let runId = "";
  const engine = await startEngine(address, {
    concurrency: 1,
    driver: null,
    onWrite(lease, write) {
      runId = lease.runId;
      writes.push(write);
    },
  });
  try {
    const [sessionId = ""] = await newSessions(db, 1);
    await send(db, sessionId, TURN_TEXT);
    engine.hints.publish({ isQueued: true });
    await until("the turn that is remembered ended", async () => (await ended(db)) === 1);
    return { runId, sessionId, writes };
  } finally {
    await engine.stop();
  }
}

/** The same write, as another run would have made it. */
function forRun(write: RunWrite, recorded: Recorded, run: { id: string; session_id: string }): RunWrite {
  return JSON.parse(
    JSON.stringify(write).replaceAll(recorded.runId, run.id).replaceAll(recorded.sessionId, run.session_id),
  );
}
