/**
 * Several processes on one database, and the ways in which they go away: killed in the middle of their work, told
 * to stop, cut off from their readers. Nothing accepted is lost (I10), nothing settled happens twice (I4, I6, I8).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import type { Event } from "../../src/contract/event.ts";
import type { Run } from "../../src/contract/run.ts";
import { killCluster, until, workDirectory } from "../embedded/support/clusters.ts";
import {
  type RunningServer,
  runExecutable,
  serveExecutable,
  startExecutable,
} from "../support/executable.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import type { StartedProcess } from "../support/processes.ts";
import { type Api, apiOf, isTerminal, message, simScript } from "./support/api.ts";
import { type DatabaseUrl, databaseUrl } from "./support/database-url.ts";

const SESSIONS = 50;
/** Of each worker: none can have all the turns, and one alone can go on with many. */
const SLOTS = 30;
const ITERATIONS = 4;
const CALLS_EACH = 3;
/** Longer than any test may take: whoever finishes the runs of a dead worker has not waited for their leases. */
const LEASE_MS = 60_000;
const TAKEOVER_MS_MAX = 45_000;

const work = workDirectory();
const cwd = work.fresh("empty");
const idleDir = work.fresh("idle");

afterAll(() => work.remove());

describe("workers on one DATABASE_URL", () => {
  let database: TestDatabase;
  let address: DatabaseUrl;
  let env: Record<string, string>;
  let server: RunningServer;
  let api: Api;
  const workers: StartedProcess[] = [];

  beforeAll(async () => {
    database = await testDatabase({ migrated: false });
    address = await databaseUrl(database.address);
    env = {
      DATABASE_URL: address.url,
      EVERRUNS_ENCRYPTION_KEY: randomBytes(32).toString("hex"),
      EVERRUNS_LEASE_MS: String(LEASE_MS),
      EVERRUNS_DATA_DIR: idleDir,
    };
    api = apiOf(() => server.url);
  });
  afterAll(async () => {
    for (const worker of workers) await worker.kill();
    await server?.kill();
    await address?.stop();
    await database?.drop();
  });

  const startWorker = async (concurrency: number) => {
    const worker = startExecutable(["worker", "--concurrency", String(concurrency)], { cwd, env });
    workers.push(worker);
    await worker.shown(/everruns worker: /);
    return worker;
  };
  /** How many turns each living worker has in hand, by its process id. */
  const loads = async () => {
    const rows = await database.db.sql<{ pid: number; load: number }[]>`
      select w.pid, count(*)::int as load
        from runs r join workers w on w.id = r.lease_owner where r.state = 'running' group by 1`;
    return new Map(rows.map(({ pid, load }) => [pid, load]));
  };
  const settledCalls = async () => {
    const rows = await database.db.sql`select count(*)::int as n from steps where kind = 'tool'`;
    return Number(rows[0]?.n);
  };
  const allEnded = (sessions: readonly { turnId: string }[]) =>
    until(async () => {
      const ids = sessions.map(({ turnId }) => turnId);
      const [row] = await database.db.sql`
        select count(*)::int as n from runs
         where id = any(${ids}) and state in ('completed', 'failed', 'cancelled', 'sealed')`;
      return row?.n === sessions.length;
    });

  test("the schema is made by `everruns migrate`, once", async () => {
    const migrate = (...args: string[]) => runExecutable(["migrate", ...args], { cwd, env });
    expect(await migrate("status")).toMatchObject({ code: 1, stdout: expect.stringMatching(/^missing /) });
    expect(await migrate()).toMatchObject({ code: 0, stdout: expect.stringContaining("applied ") });
    expect(await migrate()).toMatchObject({ code: 0, stdout: expect.stringContaining("up to date") });
    expect(await migrate("status")).toMatchObject({
      code: 0,
      stdout: expect.not.stringContaining("missing"),
    });
  });

  test("a server without workers accepts, and nothing embedded is started", async () => {
    server = await serveExecutable(["--workers", "0"], { cwd, env });
    expect(server.output()).toContain("none here; start some with: everruns worker");
    expect(readdirSync(idleDir)).toEqual([]);
    expect(readdirSync(cwd)).toEqual([]);
  });

  test(
    `${SESSIONS} turns complete although one of two workers is killed with -9 in the middle`,
    async () => {
      await startWorker(SLOTS);
      await startWorker(SLOTS);
      const sessions = await Promise.all(
        Array.from({ length: SESSIONS }, (_, index) => api.begin(workingTurn(index))),
      );
      await until(
        async () => (await settledCalls()) >= SESSIONS && [...(await loads()).values()].every((n) => n >= 5),
      );
      const [pid = 0] = [...(await loads())].sort((a, b) => b[1] - a[1])[0] ?? [];
      const victim = workers.find((worker) => worker.pid === pid);
      await victim?.kill();
      await allEnded(sessions);

      const runs = await Promise.all(sessions.map(({ turnId }) => api.get(`/runs/${turnId}`)));
      expect(runs.filter(({ attempt }) => attempt > 1).length).toBeGreaterThan(0);
      for (const run of runs) expectWholeRun(run);
      const logs = await Promise.all(sessions.map(({ sessionId }) => api.events(sessionId)));
      for (const [index, events] of logs.entries()) expectWholeLog(events, index);
    },
    TAKEOVER_MS_MAX,
  );

  test("SIGTERM drains a worker: it ends well, and its turns are finished elsewhere", async () => {
    const leaving = await startWorker(SLOTS);
    const staying = workers.find((worker) => worker.isRunning() && worker !== leaving);
    const before = await settledCalls();
    const sessions = await Promise.all(
      Array.from({ length: SLOTS + 10 }, (_, index) => api.begin(workingTurn(index))),
    );
    await until(
      async () => (await settledCalls()) > before + 10 && ((await loads()).get(leaving.pid) ?? 0) >= 3,
    );
    expect(await leaving.stop()).toMatchObject({ code: 0 });
    expect(staying?.isRunning()).toBe(true);
    await allEnded(sessions);
    for (const [index, { sessionId, turnId }] of sessions.entries()) {
      expectWholeRun(await api.get(`/runs/${turnId}`));
      expectWholeLog(await api.events(sessionId), index);
    }
    const stopped = await database.db.sql`select status from workers where pid = ${leaving.pid}`;
    expect(stopped[0]?.status).toBe("stopped");
  });

  test("a client reads on when its server is killed with -9 and starts again", async () => {
    const text = "The answer goes on while nobody serves it. ".repeat(8).trim();
    const prompt = simScript({ rate: 25, steps: [{ text }] });
    const client = startExecutable(["run", prompt], { cwd, env: { EVERRUNS_API_URL: server.url } });
    await client.shown(/The answer/);
    const { port } = new URL(server.url);
    await server.kill();
    await client.shown(/the connection to the server is gone; trying again/);
    expect(client.isRunning()).toBe(true);
    server = await serveExecutable(["--workers", "0", "--port", port], { cwd, env });
    expect(await client.finished).toMatchObject({ code: 0, stdout: `${text}\n` });
  });
});

describe("one process with its embedded database", () => {
  test("is killed with -9, database and all, and finishes the turn at its next start", async () => {
    const dataDir = work.fresh("embedded");
    let server = await serveExecutable(["--data-dir", dataDir], { cwd });
    const api = apiOf(() => server.url);
    try {
      const { sessionId, turnId } = await api.begin("hello");
      await until(async () => (await api.get(`/runs/${turnId}`)).status === "completed");
      const under = await api.post(`/sessions/${sessionId}/messages`, message(workingTurn(0)));
      const settled = async () =>
        (await api.events(sessionId)).filter((event) => event.type === "tool.completed").map(({ id }) => id);
      await until(async () => (await settled()).length > 0);
      const before = { settled: await settled(), messages: await api.get(`/sessions/${sessionId}/messages`) };

      await server.kill();
      killCluster(dataDir);
      server = await serveExecutable(["--data-dir", dataDir], { cwd });

      await until(async () => (await api.get(`/runs/${under.turn_id}`)).status === "completed");
      const { data: messages } = await api.get(`/sessions/${sessionId}/messages`);
      expect(messages.slice(0, before.messages.data.length)).toEqual(before.messages.data);
      expect((await settled()).slice(0, before.settled.length)).toEqual(before.settled);
      const events = (await api.events(sessionId)).filter(
        (event) => event.context.turn_id === under.turn_id || event.type === "session.idled",
      );
      const run = await api.get(`/runs/${under.turn_id}`);
      expectWholeRun(run);
      expect(run.attempt).toBe(2);
      expect(events.filter(isTerminal)).toHaveLength(1);
      expect(messages.at(-1).content).toEqual([{ type: "text", text: finalText(0) }]);
    } finally {
      await server.stop();
      killCluster(dataDir);
    }
  }, 45_000);
});

/** A turn of several iterations with several tool calls each, slow enough to be met under way. */
function workingTurn(index: number): string {
  const step = (iteration: number) => ({
    text: `Step ${iteration} of turn ${index}.`,
    tool_calls: [
      { name: "write_file", arguments: { path: `/${iteration}/a.md`, content: `${index}` } },
      { name: "write_file", arguments: { path: `/${iteration}/b.md`, content: `${index}` } },
      { name: "get_current_time", arguments: { timezone: "Europe/Kyiv" } },
    ],
  });
  const steps = Array.from({ length: ITERATIONS }, (_, at) => step(at + 1));
  return simScript({ rate: 0, latency_ms: 250, steps: [...steps, { text: finalText(index) }] });
}

const finalText = (index: number) => `Turn ${index} is done.`;

/** The run record: completed, and each step stored once, in the end settled. */
function expectWholeRun(run: Run): void {
  expect(run).toMatchObject({ status: "completed", iterations: ITERATIONS + 1 });
  const steps = run.steps ?? [];
  expect(steps).toHaveLength(ITERATIONS + 1 + ITERATIONS * CALLS_EACH);
  expect(new Set(steps.map(({ name }) => name)).size).toBe(steps.length);
  expect(steps.filter(({ status }) => status !== "settled")).toEqual([]);
}

/** The log of a session with one working turn. */
function expectWholeLog(events: readonly Event[], index: number): void {
  const sequences = events.map(({ sequence }) => sequence);
  expect(sequences[0]).toBe(1);
  for (const [at, event] of events.entries()) {
    const next = events[at + 1];
    if (!next || next.sequence === event.sequence + 1) continue;
    // I1: a hole is a pruned delta, and those lie between the announcement of a message and what ends it.
    expect(next.sequence).toBeGreaterThan(event.sequence);
    expect(event.type).toBe("output.message.started");
    expect(["output.message.completed", "reason.started"]).toContain(next.type);
  }
  expect(events.filter(isTerminal).map(({ type }) => type)).toEqual(["turn.completed"]);
  const asked = events.flatMap((event) =>
    event.type === "output.message.completed"
      ? event.data.message.content.flatMap((part) => (part.type === "tool_call" ? [part.id] : []))
      : [],
  );
  const answered = events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.tool_call_id] : [],
  );
  expect(asked).toHaveLength(ITERATIONS * CALLS_EACH);
  expect(answered.toSorted()).toEqual(asked.toSorted());
  const answer = events.findLast((event) => event.type === "output.message.completed");
  expect(answer?.data.message.content).toEqual([{ type: "text", text: finalText(index) }]);
}
