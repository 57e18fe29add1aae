/** Streams: from the model's token to the reader, and what a silent one costs. */
import { madeUpDriver, startEngine } from "./engine.ts";
import { measureFanOut } from "./fan-out.ts";
import { memoryOf } from "./machine.ts";
import { startMeter } from "./meter.ts";
import { openRawStream, type RawStream } from "./raw-http.ts";
import { count, latencyText, ms, quantile } from "./report.ts";
import { newSessions, seedModel, send } from "./rows.ts";
import { type BenchDatabase, type Child, type Stage, until } from "./stage.ts";

export async function measureStreams(stage: Stage): Promise<void> {
  stage.report.part("Streams: one server's process, the real feed, raw readers");
  const database = await stage.database();
  await seedModel(database.db);
  const server = await startServer(stage, database);
  try {
    const tokens = stage.pick(100, 10);
    for (const load of stage.pick([1, 20, 100, 1_000], [1, 20]).map((sessions) => ({ sessions, tokens }))) {
      await deltas(stage, database, server, load);
    }
    await measureFanOut(stage, database, server);
  } finally {
    await server.stop();
    await database.drop();
  }
  await idle(stage);
}

export function startServer(stage: Stage, database: BenchDatabase): Promise<Child> {
  const address = JSON.stringify(database.address);
  return stage.start(["scripts/bench/stream-server.ts", address], /listens on (\d+)/);
}

export const portOf = (server: Child) => Number(server.found[1]);

const TOKENS_PER_SECOND = 20;

/** Each token is the time at which the driver let it go; the reader compares. */
async function deltas(
  stage: Stage,
  { db, address }: BenchDatabase,
  server: Child,
  { sessions, tokens }: { sessions: number; tokens: number },
): Promise<void> {
  const engine = await startEngine(address, {
    concurrency: sessions,
    driver: madeUpDriver(async function* (_request, signal) {
      // Models do not speak in step.
      await Bun.sleep(stage.random() * 1_000);
      for (let n = 0; n < tokens && !signal.aborted; n += 1) {
        yield { kind: "text", text: `<${performance.now().toFixed(2)}>` };
        await Bun.sleep(1_000 / TOKENS_PER_SECOND);
      }
    }),
  });
  const lags: number[] = [];
  let completed = 0;
  const readers: RawStream[] = [];
  const ids = await newSessions(db, sessions);
  for (const id of ids)
    readers.push(
      await openRawStream(
        portOf(server),
        `/v1/sessions/${id}/sse`,
        readDeltas(lags, () => (completed += 1)),
      ),
    );
  const meter = await startMeter(stage, db, {
    "bench with worker and readers": process.pid,
    server: server.pid,
  });
  const start = performance.now();
  await Promise.all(ids.map((id) => send(db, id, "go")));
  engine.hints.publish({ isQueued: true });
  await until("every turn ended", () => completed === sessions, 60_000).catch(() => {});
  const seconds = (performance.now() - start) / 1000;
  const bound = await meter.text({ name: "token", count: sessions * tokens });
  for (const reader of readers) reader.close();
  await engine.stop();
  const isCrowd = sessions >= 1_000;
  const p50 = quantile(lags, 0.5);
  const p99 = quantile(lags, 0.99);
  stage.report.add({
    bound,
    what: `delta from driver to reader, ${count(sessions)} ${sessions === 1 ? "session" : "sessions"} at ${TOKENS_PER_SECOND} tokens/s each in one worker`,
    measured: latencyText(lags),
    goal: isCrowd ? "1,000 sessions at 20 tokens/s each, all of them in time" : "p50 ≤ 60 ms, p99 ≤ 150 ms",
    isMet: isCrowd
      ? completed === sessions && seconds <= 1.2 * (1 + tokens / TOKENS_PER_SECOND)
      : p50 <= 60 && p99 <= 150,
    elsewhere: isCrowd ? "50 sessions" : "about 100 ms",
    note: `${count(lags.length)} of ${count(sessions * tokens)} tokens came as deltas, ${count(completed)} turns ended in ${seconds.toFixed(1)} s of at least ${(tokens / TOKENS_PER_SECOND).toFixed(1)} s; deltas go out every 50 ms at most`,
  });
}

function readDeltas(lags: number[], onCompleted: () => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const now = performance.now();
    rest += text;
    const end = rest.lastIndexOf("\n\n");
    if (end < 0) return;
    const frames = rest.slice(0, end).split("\n\n");
    rest = rest.slice(end + 2);
    for (const frame of frames) {
      if (frame.includes("event: output.message.delta")) {
        const delta = /"delta":"([^"]*)"/.exec(frame)?.[1] ?? "";
        for (const [, at] of delta.matchAll(/<([\d.]+)>/g)) lags.push(now - Number(at));
      } else if (frame.includes("event: turn.completed")) onCompleted();
    }
  };
}

/** The goal's 20,000 would need more open files than one process may have, on either side. */
const IDLE_STREAMS_MAX = 10_000;

/** A fresh process, so that its memory is that of the streams. */
async function idle(stage: Stage): Promise<void> {
  const database = await stage.database();
  const server = await startServer(stage, database);
  const readers: RawStream[] = [];
  try {
    const open = async (sessions: readonly string[]) => {
      for (let at = 0; at < sessions.length; at += 200) {
        const opened = sessions
          .slice(at, at + 200)
          .map((id) => openRawStream(portOf(server), `/v1/sessions/${id}/sse`, () => {}));
        readers.push(...(await Promise.all(opened)));
      }
      // Until its memory has settled: within half a second it has not grown.
      for (
        let before = -1, now = memoryOf(server.pid);
        now !== null && now > before;
        now = memoryOf(server.pid)
      ) {
        before = now;
        await Bun.sleep(500);
      }
      return memoryOf(server.pid);
    };
    // What the first streams cost is code, not streams.
    const empty = await open(await newSessions(database.db, 100));
    const counts = stage.pick([1_000, IDLE_STREAMS_MAX], [200]);
    for (const streams of counts) {
      const start = performance.now();
      const used = await open(await newSessions(database.db, 100 + streams - readers.length));
      const each = empty === null || used === null ? null : (used - empty) / streams / 1024;
      stage.report.add({
        what: `${count(streams)} idle streams, each of its own session`,
        measured: each === null ? "not measured" : `${ms(each)} KiB each`,
        ...(streams !== counts.at(-1)
          ? { goal: null, isMet: null }
          : {
              goal: "20,000 at ≤ 10 KiB each",
              // Fewer streams than the goal names cannot meet it, whatever each of them costs.
              isMet: each === null ? null : false,
              here: each === null ? null : { goal: "≤ 10 KiB each", isMet: each <= 10 },
              elsewhere: "10,000 streams at most",
            }),
        note:
          each === null
            ? "no /proc"
            : `resident memory of the server's process, ${ms((used ?? 0) / 2 ** 20)} MiB in all; opened in ${((performance.now() - start) / 1000).toFixed(1)} s with settling`,
      });
    }
  } finally {
    for (const reader of readers) reader.close();
    await server.stop();
    await database.drop();
  }
}
