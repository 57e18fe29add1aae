/**
 * Every failpoint × every golden script × every time that the script gets there: a worker process kills itself with
 * SIGKILL at that place, a process of its own finishes, and the transcript is the one of a quiet run. What the
 * in-process sweep of recovery.test.ts leaves alive (connections, sockets, what is in the client's buffers) dies here.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import type { Event } from "../../src/contract/event.ts";
import { createHints, type Hints } from "../../src/db/hints.ts";
import { FAILPOINTS, type Failpoint } from "../../src/engine/failpoint.ts";
import { seedModel } from "../support/engine.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { CLIENT_SCRIPT, clientToolsOf, GOLDEN_SCRIPTS, type GoldenScript } from "../support/scripts.ts";
import { newSession, send } from "../support/sessions.ts";
import { transcript } from "../support/transcript.ts";
import { answeredLog } from "../support/waiting.ts";
import type { WorkerReport } from "../support/worker-process.ts";
import { startWorkerProcess, type WorkerProcess } from "../support/worker-processes.ts";

/** A database of its own, because a worker takes whatever is queued; and the processes that work on it. */
interface Lane {
  database: TestDatabase;
  /** Tells the processes that a run was queued, as the API does. */
  hints: Hints;
  /** The one that is killed; another is started in its place. */
  victim: WorkerProcess;
  rescuer: WorkerProcess;
}

const SCRIPTS = [...GOLDEN_SCRIPTS, CLIENT_SCRIPT];

interface Case {
  script: GoldenScript;
  failpoint: Failpoint;
  nth: number;
}

const LANES = 2;
const SWEEP_MS_MAX = 300_000;

describe("a worker process that is killed with SIGKILL", () => {
  const lanes: Lane[] = [];
  const quiet = new Map<string, { transcript: string; reached: WorkerReport["reached"] }>();

  beforeAll(async () => {
    for (let n = 0; n < LANES; n += 1) {
      const database = await testDatabase();
      await seedModel(database.db);
      const start = () => startWorkerProcess(database.address);
      const hints = createHints({ db: database.db, log: silentLog });
      await hints.start();
      lanes.push({ database, hints, victim: start(), rescuer: start() });
    }
    const [lane] = lanes as [Lane];
    for (const script of SCRIPTS) {
      const events = await played(lane, script, async () => void (await lane.victim.tell({ do: "work" })));
      const report = await lane.victim.tell({ do: "rest" });
      quiet.set(script.name, {
        transcript: transcript(events, { durable: true }),
        reached: report?.reached ?? {},
      });
    }
  });
  afterAll(async () => {
    for (const { database, hints, victim, rescuer } of lanes) {
      await hints.stop();
      await victim.kill();
      await rescuer.kill();
      await database.drop();
    }
  });

  /** The whole log of one turn of the script. @param during  after the message was sent */
  async function played(
    { database: { db }, hints }: Lane,
    script: GoldenScript,
    during: (session: string) => Promise<void>,
  ): Promise<Event[]> {
    const session = await newSession(db, null, { tools: clientToolsOf(script) });
    await send(db, session, script.message);
    const log = answeredLog(db, session, () => hints.publish({ isQueued: true }));
    await during(session);
    return log;
  }

  async function runCase(lane: Lane, { script, failpoint, nth }: Case): Promise<void> {
    const { sql } = lane.database.db;
    const events = await played(lane, script, async (session) => {
      await lane.victim.tell({ do: "work", dieAt: { failpoint, nth } });
      const signal = await lane.victim.ended;
      if (signal !== "SIGKILL") throw new Error(`the worker process ended by ${signal}`);
      lane.victim = startWorkerProcess(lane.database.address);
      // The reaper would find it within a second; there are many cases.
      await sql`update runs set lease_expires_at = now() where session_id = ${session} and state = 'running'`;
      await lane.rescuer.tell({ do: "work" });
    });
    await lane.rescuer.tell({ do: "rest" });
    const what = `${failpoint} (${nth}) in "${script.name}"`;
    expect(`${what}\n${transcript(events, { durable: true })}`).toBe(
      `${what}\n${quiet.get(script.name)?.transcript}`,
    );
    expectSound(events);
  }

  test(
    "at any failpoint of any script is replaced without a trace (I1, I4, I6, I7, I8)",
    async () => {
      const pairs = SCRIPTS.flatMap((script) =>
        FAILPOINTS.map((failpoint) => {
          const times = quiet.get(script.name)?.reached[failpoint] ?? 0;
          return Array.from({ length: times }, (_, at) => ({ script, failpoint, nth: at + 1 }));
        }),
      );
      const open = pairs.flat();
      const work = async (lane: Lane) => {
        for (let next = open.shift(); next; next = open.shift()) await runCase(lane, next);
      };
      await Promise.all(lanes.map(work));
      const reached = pairs.filter((cases) => cases.length > 0).length;
      console.log(
        `kill sweep: ${FAILPOINTS.length} failpoints × ${SCRIPTS.length} scripts = ${pairs.length} pairs; ` +
          `${reached} reached, ${pairs.length - reached} not; ${pairs.flat().length} kills`,
      );
      expect(reached).toBeGreaterThan(pairs.length / 2);
    },
    SWEEP_MS_MAX,
  );
});

/** I1, I6 and I8 on the log of one turn. */
function expectSound(events: readonly Event[]): void {
  expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
  const ends = events.filter((event) => /^turn\.(completed|failed|cancelled|sealed)$/.test(event.type));
  expect(ends).toHaveLength(1);
  const results = events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.tool_call_id] : [],
  );
  expect(new Set(results).size).toBe(results.length);
}
