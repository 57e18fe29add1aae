/** One log to many readers, and what a server that does nothing else reaches with the same readers and bytes. */
import { silentLog } from "../../src/base/log.ts";
import { createHints } from "../../src/db/hints.ts";
import type { Db } from "../../src/db/pool.ts";
import { percent } from "./bound.ts";
import { startMeter } from "./meter.ts";
import { openRawStream, type RawStream } from "./raw-http.ts";
import { count, latencyText, ms, quantile } from "./report.ts";
import { newSessions } from "./rows.ts";
import { type BenchDatabase, type Child, type Stage, until } from "./stage.ts";

interface Load {
  readers: number;
  eventsPerSecond: number;
}

/** So many readers look at each event's time; the others only count bytes. */
const LOOKING = 20;
/** The load that the goal names. */
const GOAL_READERS = 1_000;
const QUICK_READERS = 40;

interface Delivered {
  perSecond: number;
  /** Milliseconds from before the event came into being until a reader had it. */
  lags: number[];
  /** Milliseconds that each `emit` took. */
  emits: number[];
  total: number;
  mibPerSecond: number;
  bound: string;
}

export async function measureFanOut(stage: Stage, database: BenchDatabase, server: Child): Promise<void> {
  const bare = await measureBare(stage, database);
  const loads = stage.pick<Load[]>(
    [
      { readers: 1, eventsPerSecond: 100 },
      { readers: 100, eventsPerSecond: 100 },
      { readers: GOAL_READERS, eventsPerSecond: 100 },
      { readers: 10_000, eventsPerSecond: 10 },
    ],
    [{ readers: QUICK_READERS, eventsPerSecond: 100 }],
  );
  const goalReaders = stage.pick(GOAL_READERS, QUICK_READERS);
  const hints = createHints({ db: database.db, log: silentLog });
  await hints.start();
  try {
    for (const load of loads) {
      const [session = ""] = await newSessions(database.db, 1);
      const delivered = await deliver(stage, database.db, server, load, {
        path: `/v1/sessions/${session}/sse`,
        async emit() {
          await append(database.db, session);
          hints.publish({ sessions: [session] });
        },
      });
      const p50 = quantile(delivered.lags, 0.5);
      const isGoal = load.readers === goalReaders;
      stage.report.add({
        what: `fan-out: ${count(load.readers)} ${load.readers === 1 ? "stream" : "streams"} of one session, ${load.eventsPerSecond} events/s`,
        measured: `${count(delivered.perSecond)} events/s delivered, ${latencyText(delivered.lags)}`,
        ...(isGoal
          ? {
              goal: "within 20 % of bare Elysia then: ≥ 80,000 events/s, p50 ≤ 8.3 ms",
              isMet: delivered.perSecond >= 80_000 && p50 <= 8.3,
              elsewhere: "100,000 events/s, p50 6.9 ms (bare Elysia)",
            }
          : { goal: null, isMet: null }),
        note: `${count(delivered.total)} events, each its own commit and hint, measured from before the commit; ${delivered.mibPerSecond.toFixed(0)} MiB/s to the readers`,
        bound: delivered.bound,
      });
      if (isGoal) addComparison(stage, delivered, bare);
    }
  } finally {
    await hints.stop();
  }
}

/** Ours is measured from before the commit, the other from before the post: what emitting took is shown for both. */
function addComparison(stage: Stage, ours: Delivered, bare: Delivered): void {
  const p50 = quantile(ours.lags, 0.5);
  const bareP50 = quantile(bare.lags, 0.5);
  stage.report.add({
    what: "the same fan-out against the bare server of this run",
    measured: `${percent(ours.perSecond / bare.perSecond)} of its events/s, p50 ${ms(p50)} ms against ${ms(bareP50)} ms`,
    goal: `within 20 %: ≥ ${count(0.8 * bare.perSecond)} events/s, p50 ≤ ${ms(1.2 * bareP50)} ms`,
    isMet: ours.perSecond >= 0.8 * bare.perSecond && p50 <= 1.2 * bareP50,
    bound: `until the event was emitted, p50: ${ms(quantile(ours.emits, 0.5))} ms for the commit, ${ms(quantile(bare.emits, 0.5))} ms for the post; ours: ${ours.bound}; bare: ${bare.bound}`,
    note: `${ours.mibPerSecond.toFixed(0)} MiB/s against ${bare.mibPerSecond.toFixed(0)} MiB/s`,
  });
}

/** The same readers and about the same bytes, no database and no log in between. */
async function measureBare(stage: Stage, { db }: BenchDatabase): Promise<Delivered> {
  const server = await stage.start(["scripts/bench/bare-stream-server.ts"], /listens on (\d+)/);
  try {
    const load = { readers: stage.pick(GOAL_READERS, QUICK_READERS), eventsPerSecond: 100 };
    const url = `http://127.0.0.1:${server.found[1]}/`;
    const delivered = await deliver(stage, db, server, load, {
      path: "/",
      async emit() {
        const data = `{"message":"at ${performance.now()}","filler":"${"x".repeat(FILLER_BYTES)}"}`;
        await fetch(url, { method: "POST", body: `event: tool.progress\ndata: ${data}\n\n` });
      },
    });
    stage.report.add({
      what: `a bare server: ${count(load.readers)} streams, ${load.eventsPerSecond} events/s`,
      measured: `${count(delivered.perSecond)} events/s delivered, ${latencyText(delivered.lags)}`,
      goal: null,
      isMet: null,
      note: `no database, no log: what is posted goes to every stream; ${delivered.mibPerSecond.toFixed(0)} MiB/s to the readers`,
      bound: delivered.bound,
    });
    return delivered;
  } finally {
    await server.stop();
  }
}

/** Makes an event of a session as long as this. */
const FILLER_BYTES = 240;

async function deliver(
  stage: Stage,
  db: Db,
  server: Child,
  load: Load,
  source: { path: string; emit(): Promise<void> },
): Promise<Delivered> {
  const lags: number[] = [];
  const emits: number[] = [];
  const looking = Math.min(LOOKING, load.readers);
  let looked = 0;
  let bytes = 0;
  const readers: RawStream[] = [];
  for (let n = 0; n < load.readers; n += 1) {
    const isLooking = n % (load.readers / looking) === 0;
    const onText = (text: string) => {
      bytes += text.length;
      if (!isLooking) return;
      for (const [, at] of text.matchAll(/"message":"at ([\d.]+)/g)) {
        looked += 1;
        lags.push(performance.now() - Number(at));
      }
    };
    readers.push(await openRawStream(Number(server.found[1]), source.path, onText));
  }
  const total = Math.ceil(load.eventsPerSecond * stage.pick(5, 0.5));
  const meter = await startMeter(stage, db, { "bench with readers": process.pid, server: server.pid });
  const bytesBefore = bytes;
  const start = performance.now();
  for (let n = 0; n < total; n += 1) {
    const left = start + (n * 1_000) / load.eventsPerSecond - performance.now();
    if (left > 0) await Bun.sleep(left);
    const emitAt = performance.now();
    await source.emit();
    emits.push(performance.now() - emitAt);
  }
  await until("the lookers have seen everything", () => looked >= total * looking, 30_000);
  // The others' last bytes are on their way: the figure is taken when no more come.
  let last = -1;
  while (bytes !== last) {
    last = bytes;
    await Bun.sleep(20);
  }
  const seconds = (performance.now() - start) / 1000;
  const bound = await meter.text({ name: "event", count: total });
  for (const reader of readers) reader.close();
  return {
    perSecond: (total * load.readers) / seconds,
    lags,
    emits,
    total,
    mibPerSecond: (bytes - bytesBefore) / 2 ** 20 / seconds,
    bound,
  };
}

/** One event as the writer writes it, carrying the time. */
async function append({ sql }: Db, session: string): Promise<void> {
  await sql`
    with grown as (
      update sessions set last_sequence = last_sequence + 1 where id = ${session} returning last_sequence as n
    )
    insert into events (session_id, sequence, id, type, data)
    select ${session}, n, 'event_' || substr(replace(gen_random_uuid()::text, '-', ''), 1, 22) || lpad(to_hex(n), 10, '0'), 'tool.progress',
           jsonb_build_object('tool_call_id', 'call_1', 'tool_name', 'noop', 'message', ${`at ${performance.now().toFixed(2)}`}::text)
      from grown`;
}
