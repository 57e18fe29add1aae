/**
 * Who was busy while a figure was taken: processors, commits, and the log that they wrote. `text` says it in one
 * line that is made of these numbers alone, so that it is true of the run in which it stands.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { type Db, openDb } from "../../src/db/pool.ts";
import { boundOf, percent } from "./bound.ts";
import { pressureUs, watchCpu } from "./machine.ts";
import { count, ms, quantile } from "./report.ts";
import type { Stage } from "./stage.ts";

/** Each is asked once, at the end: it also ends the watching. */
export interface Meter {
  /** Of a throughput. @param unit  what the writes are counted by, such as 6,000 steps */
  text(unit: { name: string; count: number }): Promise<string>;
  /** Of a latency: what one of them took, whatever the pauses between them. */
  each(unit: { name: string; count: number }): Promise<string>;
}

/** From now on. `watched` are process ids by the names to show them under; PostgreSQL is always watched. */
export async function startMeter(
  stage: Stage,
  db: Db,
  watched: Readonly<Record<string, number>>,
): Promise<Meter> {
  const all = { ...watched, PostgreSQL: stage.postgres.pid };
  const waits = watchWaits(stage);
  const before = await written(db);
  const start = performance.now();
  const pressureBefore = pressureUs();
  const cpu = watchCpu(all);
  const read = async () => {
    const seconds = (performance.now() - start) / 1000;
    const cpuText = cpu.text();
    const others = cpu.others();
    const used = Object.keys(all).map((name) => ({ name, cores: cpu.of(name) }));
    const pressureAfter = pressureUs();
    const pressure =
      pressureBefore === null || pressureAfter === null
        ? null
        : Math.min(1, (pressureAfter - pressureBefore) / 1e6 / seconds);
    const after = await written(db);
    return {
      seconds,
      cpuText,
      others,
      used,
      pressure,
      waitsText: await waits.text(),
      transactions: after.transactions - before.transactions,
      walKib: (after.walBytes - before.walBytes) / 1024,
    };
  };
  return {
    async text(unit) {
      const { seconds, cpuText, transactions, walKib, waitsText, ...seen } = await read();
      const commits = transactions / seconds;
      const bound = boundOf({ ...seen, cores: cpus().length, commits, syncMs: stage.syncMs });
      return (
        `${bound}; ${cpuText}; ${waitsText}; ${count(commits)} writing transactions/s, ${(transactions / unit.count).toFixed(2)} per ${unit.name}; ` +
        `log ${(walKib / 1024 / seconds).toFixed(1)} MiB/s, ${ms(walKib / unit.count)} KiB per ${unit.name}; a sync of the disk ${stage.syncMs.toFixed(2)} ms`
      );
    },
    async each(unit) {
      const { seconds, used, others, pressure, transactions, walKib } = await read();
      const per = transactions / unit.count;
      const times = [...used, { name: "anything else", cores: others }].map(
        ({ name, cores }) => `${name} ${ms((cores * seconds * 1000) / unit.count)} ms`,
      );
      return (
        `processor time per ${unit.name}: ${times.join(", ")}` +
        `${pressure === null ? "" : `; ${percent(pressure)} of the time something waited for a processor`}` +
        `; ${per.toFixed(1)} writing transactions per ${unit.name}, a sync of the disk ${stage.syncMs.toFixed(2)} ms, so ${(per * stage.syncMs).toFixed(2)} ms of syncs at most` +
        `; log ${ms(walKib / unit.count)} KiB per ${unit.name}`
      );
    },
  };
}

const LOOK_MS = 50;

/** Looks at what the server's processes are doing, over a connection of its own. */
function watchWaits(stage: Stage) {
  const db = openDb(stage.postgres.address, { connections: 1, applicationName: "everruns-bench-waits" });
  const found = new Map<string, number>();
  let looks = 0;
  let isOver = false;
  const look = async () => {
    while (!isOver) {
      const rows = await db.sql<{ doing: string; backends: number }[]>`
        select coalesce(wait_event, 'processor') as doing, count(*)::int as backends from pg_stat_activity
         where state = 'active' and backend_type = 'client backend' and pid <> pg_backend_pid() group by 1`;
      looks += 1;
      for (const { doing, backends } of rows) found.set(doing, (found.get(doing) ?? 0) + backends);
      await Bun.sleep(LOOK_MS);
    }
  };
  const looking = look().catch(() => {});
  return {
    /** `1.3 connections at work: 1.1 on a processor or about to be, 0.2 WalSync` */
    async text(): Promise<string> {
      isOver = true;
      await looking;
      await db.close();
      if (looks === 0) return "connections at work not seen";
      const sum = [...found.values()].reduce((total, n) => total + n, 0) / looks;
      const parts = [...found]
        .map(([doing, n]) => ({ doing, mean: n / looks }))
        .filter(({ mean }) => mean >= 0.05)
        .sort((a, b) => b.mean - a.mean)
        .map(
          ({ doing, mean }) =>
            `${mean.toFixed(1)} ${doing === "processor" ? "on a processor or about to be" : doing}`,
        );
      return `${sum.toFixed(1)} connections at work${parts.length === 0 ? "" : `: ${parts.join(", ")}`}`;
    },
  };
}

/** Exact at the moment it is read; the statistics views lag by up to a second. */
async function written({ sql }: Db): Promise<{ walBytes: number; transactions: number }> {
  const rows = await sql<{ wal: string; transactions: string }[]>`
    select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as wal,
           pg_snapshot_xmax(pg_current_snapshot())::text as transactions`;
  return { walBytes: Number(rows[0]?.wal ?? 0), transactions: Number(rows[0]?.transactions ?? 0) };
}

/** What a commit waits for: appending 8 KiB to a file and fdatasync, in milliseconds each. */
export function probeSync(directory: string, times: number): number[] {
  const path = join(directory, "sync-probe");
  const file = openSync(path, "w");
  try {
    const page = Buffer.alloc(8_192, 1);
    // As in the log of the database the file is there already: only its content is synced.
    for (let n = 0; n < 100; n += 1) writeSync(file, page, 0, page.length, n * page.length);
    fdatasyncSync(file);
    return Array.from({ length: times }, (_, n) => {
      const start = performance.now();
      writeSync(file, page, 0, page.length, (n % 100) * page.length);
      fdatasyncSync(file);
      return performance.now() - start;
    });
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

/** Probes the disk under the database and keeps the median for the meters of this run. */
export function measureSync(stage: Stage): void {
  stage.report.part("The disk");
  const times = probeSync(stage.directory, stage.pick(500, 20));
  stage.syncMs = quantile(times, 0.5);
  stage.report.add({
    what: "write of 8 KiB and fdatasync, one after the other",
    measured: `${quantile(times, 0.5).toFixed(2)} / ${quantile(times, 0.99).toFixed(2)} ms p50 / p99`,
    goal: null,
    isMet: null,
    note: `${times.length} times, in the directory of the database; what every commit waits for at least`,
  });
}
