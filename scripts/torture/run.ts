/** One torture from its first process to the verdict. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDb } from "../../src/db/pool.ts";
import { readExecutions } from "./capability.ts";
import { check, type Verdict } from "./checker.ts";
import { startClients } from "./clients.ts";
import { startDatabase } from "./database.ts";
import { disturb, type FaultCounts, noFaults } from "./faults.ts";
import { openRuns, readStored } from "./history.ts";
import { type Members, startMembers } from "./members.ts";
import { randomFrom } from "./random.ts";

export interface TortureOptions {
  seed: number;
  /** The program, built from executable.ts. */
  executable: string;
  /** The storm goes on so long … */
  minutes: number | null;
  /** … or until every session has had so many turns. */
  turnsEach: number | null;
  sessions: number;
  workers: number;
  /** Called about once a second with what has happened so far. */
  onProgress?(line: string): void;
  signal?: AbortSignal;
}

export interface TortureResult extends Verdict {
  /** What was done and what came of it, in the order in which it is to be shown. */
  counts: Record<string, number | string>;
  /** Logs and data, kept when something was found; null when they are gone. */
  keptIn: string | null;
}

const LEASE_MS = 2_000;
const DRAIN_MS = 1_000;
const SERVERS = 2;
/** How long the runs may take to end once nobody disturbs them. */
const SETTLE_MS_MAX = 120_000;

/** @throws Error when the house cannot be brought up, or does not come to rest: then everything is kept, too */
export async function torture(options: TortureOptions): Promise<TortureResult> {
  const directory = mkdtempSync(join(tmpdir(), "everruns-torture-"));
  // As root the server runs under another user, who has to be able to enter.
  chmodSync(directory, 0o755);
  const random = randomFrom(options.seed);
  const start = performance.now();
  const executions = join(directory, "executions.jsonl");
  writeFileSync(executions, "");
  const logs = join(directory, "logs");
  mkdirSync(logs);
  const closers: (() => Promise<unknown>)[] = [];
  let isKept = true;
  try {
    const database = await startDatabase(directory);
    closers.push(() => database.close());
    const env = {
      DATABASE_URL: database.url,
      EVERRUNS_DATA_DIR: join(directory, "idle"),
      EVERRUNS_ENCRYPTION_KEY: "77".repeat(32),
      EVERRUNS_LEASE_MS: String(LEASE_MS),
      EVERRUNS_DRAIN_MS: String(DRAIN_MS),
      // What a server's own worker writes goes to its streams another way than what others write.
      EVERRUNS_WORKERS: "1",
      EVERRUNS_CONCURRENCY: "20",
      EVERRUNS_LOG_FORMAT: "json",
      TORTURE_EXECUTIONS: executions,
    };
    await runToEnd([options.executable, "migrate"], env);
    const ports = await freePorts(SERVERS);
    const members = startMembers({
      executable: options.executable,
      env,
      directory: logs,
      workers: options.workers,
      servers: ports,
    });
    closers.push(() => Promise.all(members.all.map((member) => member.end())));
    const servers = members.all.flatMap((member) => (member.kind === "server" ? [member.url] : []));
    await allHealthy(servers);

    const isTimeUp = () =>
      options.signal?.aborted === true ||
      (options.minutes !== null && performance.now() - start > options.minutes * 60_000);
    const clients = startClients({
      servers: servers as [string, ...string[]],
      sessions: options.sessions,
      random: random.fork(),
      goesOn: (turns) => !isTimeUp() && (options.turnsEach === null || turns < options.turnsEach),
    });
    closers.push(() => clients.stop());
    const counts: FaultCounts = { ...noFaults };
    let haveSaid = false;
    void clients.said.then(() => {
      haveSaid = true;
    });
    const progress = setInterval(() => {
      options.onProgress?.(progressLine(performance.now() - start, counts, clients.witness));
    }, 1_000);
    closers.push(async () => clearInterval(progress));
    await disturb({ members, database }, random.fork(), {
      leaseMs: LEASE_MS,
      isOver: () => (options.minutes !== null ? isTimeUp() : haveSaid) || options.signal?.aborted === true,
      counts,
    });
    await database.ready();
    await allHealthy(servers);
    await clients.said;

    const db = openDb(database.address, { applicationName: "everruns-torture" });
    closers.push(() => db.close());
    await settled(
      async () => (await openRuns(db)).length === 0,
      "runs that do not end",
      async () => JSON.stringify(await openRuns(db)),
    );
    const stored = await readStored(db);
    await clients.caughtUp(
      new Map(stored.sessions.map((session) => [session.id, session.lastSequence])),
      SETTLE_MS_MAX,
    );
    await clients.stop();
    const history = {
      ...stored,
      ...clients.witness,
      executions: readExecutions(executions),
      sleeps: members.sleeps,
      postgresErrors: database.errors(),
      oddEnds: members.oddEnds,
    };
    const verdict = check(history);
    isKept = verdict.violations.length > 0;
    if (isKept) writeFileSync(join(directory, "history.json"), JSON.stringify(history));
    return {
      ...verdict,
      counts: summary({ seconds: (performance.now() - start) / 1000, counts, members, history, verdict }),
      keptIn: isKept ? directory : null,
    };
  } catch (error) {
    throw new Error(
      `${error instanceof Error ? error.message : error}\nlogs and data are kept in ${directory}`,
      {
        cause: error,
      },
    );
  } finally {
    for (const close of closers.reverse()) await close().catch(() => {});
    if (!isKept) rmSync(directory, { recursive: true, force: true });
  }
}

function progressLine(ms: number, counts: FaultCounts, witness: { sent: unknown[]; received: unknown[] }) {
  return (
    `${Math.round(ms / 1000)} s: ${witness.sent.length} messages, ${counts.kills} kills, ${counts.stops} SIGSTOPs, ` +
    `${counts.databaseRestarts} database restarts`
  );
}

function summary(run: {
  seconds: number;
  counts: FaultCounts;
  members: Members;
  history: Parameters<typeof check>[0];
  verdict: Verdict;
}): TortureResult["counts"] {
  const { counts, history, members, verdict } = run;
  const sum = (list: readonly number[]) => list.reduce((total, one) => total + one, 0);
  const states = Map.groupBy(history.runs, ({ state, errorCode }) =>
    state === "failed" ? `failed (${errorCode})` : state,
  );
  const began = history.executions.filter((mark) => mark.at === "began");
  const calls = new Set(began.map((mark) => `${mark.runId} ${mark.callId}`)).size;
  const unknown = history.steps.filter((step) => step.status === "unknown").length;
  return {
    minutes: (run.seconds / 60).toFixed(1),
    "processes killed with -9": counts.kills,
    "processes put to sleep (SIGSTOP)": counts.stops,
    "processes drained (SIGTERM)": counts.drains,
    "PostgreSQL restarts": counts.databaseRestarts,
    "times that connections to PostgreSQL were cut": counts.cuts,
    "starts that found no database": members.restarts(),
    "stream connections": sum(history.received.map((one) => one.connections)),
    "events received": sum(history.received.map((one) => one.events.length)),
    messages: history.sent.length,
    "POSTs repeated": sum(history.sent.map((one) => Math.max(0, one.tries - 1))),
    "client results and decisions": history.said.length,
    runs: [...states].map(([state, list]) => `${list.length} ${state}`).join(", "),
    "claims beyond the first": sum(history.runs.map((one) => Math.max(0, one.epoch - 1))),
    steps: history.steps.length,
    "tool executions": `${began.length} of ${calls} calls`,
    "at_most_once calls of unknown outcome": unknown,
    "executions by a process that woke up too late": verdict.lateExecutions,
    "SQLSTATEs in PostgreSQL's log":
      [...history.postgresErrors].map(([state, count]) => `${state}: ${count}`).join(", ") || "none",
    violations: verdict.violations.length,
  };
}

async function settled(
  isSo: () => Promise<boolean>,
  what: string,
  evidence: () => Promise<string>,
): Promise<void> {
  const start = performance.now();
  while (!(await isSo())) {
    if (performance.now() - start > SETTLE_MS_MAX) throw new Error(`${what}: ${await evidence()}`);
    await Bun.sleep(50);
  }
}

async function allHealthy(servers: readonly string[]): Promise<void> {
  for (const url of servers) {
    await settled(
      () =>
        fetch(`${url}/ready`, { signal: AbortSignal.timeout(1_000) }).then(
          (response) => response.ok,
          () => false,
        ),
      `${url} is not ready`,
      async () => "see its log",
    );
  }
}

async function runToEnd(command: string[], env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(command, { env, stdout: "pipe", stderr: "pipe" });
  const [code, said] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${said}`);
}

/** Ports that were free a moment ago, so that a server that starts again is found where it was. */
async function freePorts(count: number): Promise<number[]> {
  const held = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server;
    }),
  );
  const ports = held.map((server) => (server.address() as { port: number }).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
