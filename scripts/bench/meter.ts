/**
 * Who was busy while a figure was taken: processors, commits, and the log that they wrote. `text` says it in one
 * line that is made of these numbers alone, so that it is true of the run in which it stands.
 */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { Db } from "../../src/db/pool.ts";
import { watchCpu } from "./machine.ts";
import { count, ms, quantile } from "./report.ts";
import type { Stage } from "./stage.ts";

export interface Meter {
  /** @param unit  what the writes are counted by, such as 6,000 steps */
  text(unit: { name: string; count: number }): Promise<string>;
}

/** From now on. `watched` are process ids by the names to show them under; PostgreSQL is always watched. */
export async function startMeter(
  stage: Stage,
  db: Db,
  watched: Readonly<Record<string, number>>,
): Promise<Meter> {
  const all = { ...watched, PostgreSQL: stage.postgres.pid };
  const before = await written(db);
  const start = performance.now();
  const cpu = watchCpu(all);
  return {
    async text(unit) {
      const seconds = (performance.now() - start) / 1000;
      const cpuText = cpu.text();
      const others = cpu.others();
      const used = Object.keys(all).map((name) => ({ name, cores: cpu.of(name) }));
      const after = await written(db);
      const commits = (after.transactions - before.transactions) / seconds;
      const walKib = (after.walBytes - before.walBytes) / 1024;
      return (
        `${boundOf(used, { commits, syncMs: stage.syncMs, others })}; ${cpuText}; ${count(commits)} writing transactions/s; ` +
        `log ${(walKib / 1024 / seconds).toFixed(1)} MiB/s, ${ms(walKib / unit.count)} KiB per ${unit.name}`
      );
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

/** All processors, one process that has one thread, or waiting. */
function boundOf(
  used: readonly { name: string; cores: number }[],
  seen: { commits: number; syncMs: number; others: number },
): string {
  const cores = cpus().length;
  const sum = used.reduce((total, { cores: own }) => total + own, 0);
  const [busiest] = [...used].sort((a, b) => b.cores - a.cores);
  if (seen.others >= 0.2 * cores) {
    return `other programs: they took ${seen.others.toFixed(1)} of ${cores} processors, the figure is too low`;
  }
  if (sum >= 0.85 * cores)
    return `the processors: ${sum.toFixed(1)} of ${cores}, most of it ${busiest?.name}`;
  // PostgreSQL has a process for each connection; the others have one thread that counts.
  const single = used.find(({ name, cores: own }) => name !== "PostgreSQL" && own >= 0.85);
  if (single)
    return `one process, ${single.name}: ${single.cores.toFixed(2)} of the one processor that it can use`;
  const share = Math.min(1, (seen.commits * seen.syncMs) / 1000);
  return `waiting: ${sum.toFixed(1)} of ${cores} processors used, ${Math.round(share * 100)} % of the time a sync of the disk at ${ms(seen.syncMs)} ms for each commit`;
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
