/** One-step turns over REST, against `everruns serve` in a process of its own. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type Db, openDb } from "../../src/db/pool.ts";
import { percent } from "./bound.ts";
import { startMeter } from "./meter.ts";
import { type Ceiling, shareOf, throughputGoal } from "./pgbench.ts";
import { openRawPoster, openRawStream, type RawStream } from "./raw-http.ts";
import { count, latencyText, ms, quantile } from "./report.ts";
import { deadlocks, newSessions } from "./rows.ts";
import { type Child, type Stage, until } from "./stage.ts";
import { TURN_TEXT } from "./turn-statements.ts";

/** A session is left after so many turns: what is measured is a turn, not a long conversation. */
const TURNS_PER_SESSION = 10;
const MESSAGE = JSON.stringify({ message: { role: "user", content: [{ type: "text", text: TURN_TEXT }] } });
const LOADS = [
  { clients: 8, seconds: 3 },
  { clients: 64, seconds: 5 },
  { clients: 512, seconds: 6 },
];
const QUICK_LOADS = [{ clients: 64, seconds: 0.5 }];

interface Turns {
  latencies: number[];
  seconds: number;
}

export async function measureTurns(stage: Stage, ceiling: Ceiling): Promise<void> {
  stage.report.part(
    "One-step turns over REST: POST to turn.completed on the stream, simulated model without delay",
  );
  const server = await startServe(stage);
  const db = openDb(stage.postgres.address, { applicationName: "everruns-bench" });
  try {
    const port = Number(server.found[1]);
    const turnsEach = stage.pick(300, 10);
    await turns(db, port, { clients: 1, turnsEach: stage.pick(100, 5) });
    await db.sql.unsafe("vacuum analyze");
    const meter = await startMeter(stage, db, { bench: process.pid, server: server.pid });
    const alone = await turns(db, port, { clients: 1, turnsEach });
    const bound = await meter.text({ name: "turn", count: turnsEach });
    const ofDatabase = ceiling.turnsPerSecond.get(1);
    stage.report.add({
      what: "one-step turns, 1 client",
      measured: latencyText(alone.latencies),
      goal: "p50 ≤ 8 ms, p99 ≤ 25 ms",
      isMet: quantile(alone.latencies, 0.5) <= 8 && quantile(alone.latencies, 0.99) <= 25,
      elsewhere: "39 ms p50",
      share: ofDatabase
        ? `of the p50 ${percent(1_000 / ofDatabase / quantile(alone.latencies, 0.5))} is what its writing statements take alone (${ms(1_000 / ofDatabase)} ms)`
        : null,
      bound,
      note: `${turnsEach} turns, a fresh session every ${TURNS_PER_SESSION}`,
    });
    for (const { clients, seconds } of stage.pick(LOADS, QUICK_LOADS)) {
      await underLoad(stage, ceiling, db, server, { port, clients, seconds });
    }
    await countStatements(stage, db, port);
  } finally {
    await db.close();
    await server.stop();
  }
}

/** With a worker, on the database that every `serve` and `worker` of the stage's directory uses. */
export function startServe(stage: Stage): Promise<Child> {
  return stage.start(
    ["cli/everruns.ts", "serve", "--port", "0"],
    /listens on http:\/\/127\.0\.0\.1:(\d+)[\s\S]*next /,
    { EVERRUNS_LOG_LEVEL: "warn" },
  );
}

async function underLoad(
  stage: Stage,
  ceiling: Ceiling,
  db: Db,
  server: Child,
  { port, clients, seconds }: { port: number; clients: number; seconds: number },
): Promise<void> {
  await turns(db, port, { clients, turnsEach: stage.pick(3, 1) });
  const meter = await startMeter(stage, db, { bench: process.pid, server: server.pid });
  const done = await turns(db, port, { clients, seconds });
  const perSecond = done.latencies.length / done.seconds;
  const bound = await meter.text({ name: "turn", count: done.latencies.length });
  stage.report.add({
    what: `one-step turns, ${clients} clients`,
    measured: `${count(perSecond)} turns/s, ${latencyText(done.latencies)}`,
    ...(clients === 64
      ? throughputGoal(ceiling, { perSecond: 1_500, unit: "turns/s" }, perSecond)
      : { goal: null, isMet: null }),
    share: shareOf(perSecond, ceiling.turnsPerSecond.get(clients) ?? null, "its writing statements alone"),
    elsewhere: "34 turns/s",
    bound,
    note: `${count(done.latencies.length)} turns, one worker of 50 slots in the server's process; ${await deadlocks(db)} deadlocks`,
  });
}

/** Each client sends, waits for its turn's end on the stream, and sends again. */
export async function turns(
  db: Db,
  port: number,
  load: { clients: number } & ({ turnsEach: number } | { seconds: number }),
): Promise<Turns> {
  const latencies: number[] = [];
  const ready = Promise.withResolvers<void>();
  let waiting = load.clients;
  let start = 0;
  const isOver = (done: number) =>
    "seconds" in load ? performance.now() - start > load.seconds * 1000 : done >= load.turnsEach;

  const client = async () => {
    const poster = await openRawPoster(port);
    let stream = await watchTurns(db, port);
    waiting -= 1;
    if (waiting === 0) {
      start = performance.now();
      ready.resolve();
    }
    await ready.promise;
    for (let done = 0; !isOver(done); done += 1) {
      if (done > 0 && done % TURNS_PER_SESSION === 0) {
        stream.close();
        stream = await watchTurns(db, port);
      }
      const sentAt = performance.now();
      const completed = stream.nextEnd();
      const status = await poster.post(`/v1/sessions/${stream.session}/messages`, MESSAGE);
      if (status !== 201) throw new Error(`a message was answered with ${status}`);
      latencies.push((await completed) - sentAt);
    }
    stream.close();
    poster.close();
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  return { latencies, seconds: (performance.now() - start) / 1000 };
}

/** Long enough for the longest of the names below, cut in two. */
const TAIL = 40;

async function watchTurns(db: Db, port: number) {
  const [session = ""] = await newSessions(db, 1);
  let tail = "";
  let end: PromiseWithResolvers<number> | null = null;
  const stream: RawStream = await openRawStream(port, `/v1/sessions/${session}/sse`, (text) => {
    const seen = tail + text;
    if (seen.includes("event: turn.completed")) {
      tail = "";
      end?.resolve(performance.now());
      end = null;
    } else if (/event: turn\.failed|stream-closed/.test(seen)) end?.reject(new Error(seen.slice(-2_000)));
    else tail = seen.slice(-TAIL);
  });
  return {
    session,
    nextEnd() {
      end = Promise.withResolvers<number>();
      return end.promise;
    },
    close: () => stream.close(),
  };
}

/** What a statement is for, by what it says. The order matters: the first that fits counts. */
const KINDS: readonly [RegExp, string][] = [
  [/with input as materialized/, "writer"],
  [/with (recursive )?expired as materialized/, "claim"],
  [/with asked as materialized|with session as materialized \(\s*select id, agent_id/, "accept"],
  [/select asked\.place, config\./, "configuration"],
  [/select asked\.place/, "history"],
  [/pg_notify/, "notify"],
  [/from events\s+where session_id = \$1 and sequence > \$2\s+order by/, "feed"],
  [/type in \('input\.message'/, "history"],
  [/harness/, "configuration"],
];

/** The server writes every statement into its log for a while; the lines are counted. */
async function countStatements(stage: Stage, db: Db, port: number): Promise<void> {
  await logStatements(db, true);
  for (const load of [
    { clients: 1, turnsEach: stage.pick(100, 5) },
    { clients: 64, turnsEach: stage.pick(30, 2) },
  ]) {
    const from = statSync(stage.postgresLog).size;
    const { latencies } = await turns(db, port, load);
    const kinds = new Map<string, number>();
    for (const statement of statementsIn(stage.postgresLog, from)) {
      // The bench's own: sessions are made ahead of the turns.
      if (/insert into sessions/.test(statement)) continue;
      const kind = KINDS.find(([pattern]) => pattern.test(statement))?.[1] ?? "other";
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    const per = (n: number) => n / latencies.length;
    const all = per([...kinds.values()].reduce((sum, n) => sum + n, 0));
    const isLoaded = load.clients > 1;
    const breakdown = [...kinds]
      .sort((a, b) => b[1] - a[1])
      .map(([kind, n]) => `${kind} ${per(n).toFixed(2)}`);
    stage.report.add({
      what: `SQL statements a turn, ${load.clients} ${isLoaded ? "clients" : "client"}`,
      measured: all.toFixed(1),
      goal: isLoaded ? "below 3 under load" : "≤ 8",
      isMet: isLoaded ? all < 3 : all <= 8,
      elsewhere: "270 to 284",
      bound: `statements a turn by what they are for: ${breakdown.join(", ")}`,
      note: `${latencies.length} turns with log_statement = all, everything counted, also polls and the streams' opening`,
    });
  }
  await logStatements(db, false);
}

async function logStatements({ sql }: Db, isOn: boolean): Promise<void> {
  await sql.unsafe(`alter system set log_statement = '${isOn ? "all" : "none"}'`);
  await sql.unsafe("alter system set log_parameter_max_length = 0");
  await sql.unsafe("select pg_reload_conf()");
  await until("the setting is in force", async () => {
    const rows = await sql<{ value: string }[]>`select current_setting('log_statement') as value`;
    return rows[0]?.value === (isOn ? "all" : "none");
  });
  await Bun.sleep(200);
}

function statementsIn(path: string, from: number): string[] {
  const bytes = Buffer.alloc(statSync(path).size - from);
  const file = openSync(path, "r");
  try {
    readSync(file, bytes, 0, bytes.length, from);
  } finally {
    closeSync(file);
  }
  return bytes
    .toString()
    .split(/^\d{4}-\d\d-\d\d [\d:.]+ UTC \[\d+\] /m)
    .filter((entry) => /^LOG: {2}(execute|statement)/.test(entry));
}
