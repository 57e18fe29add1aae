/**
 * The stage: one durable PostgreSQL of the bench's own in a directory that is removed afterwards, databases on it,
 * and the processes that work on them. Everything that was started is stopped by `close`, whatever happened.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrations } from "../../migrations/index.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type DatabaseAddress, type Db, openDb } from "../../src/db/pool.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { Report } from "./report.ts";

const ROOT = join(import.meta.dir, "../..");

export interface Stage {
  report: Report;
  postgres: EmbeddedPostgres;
  /** Where everything of this run lies, the database included. */
  directory: string;
  /** Median of a write with fdatasync in this directory, in milliseconds; 0 until it has been measured. */
  syncMs: number;
  /** What the server says; statements, too, while they are being counted. */
  postgresLog: string;
  /** The path of pgbench, or null when there is none. */
  pgbench: string | null;
  random(): number;
  /** A size: the first in a real run, the second in a quick one. */
  pick<T>(full: T, quick: T): T;
  /** A fresh migrated database. */
  database(): Promise<BenchDatabase>;
  /** Starts a program of this checkout; resolves when its output matches. */
  start(args: readonly string[], ready: RegExp, env?: Record<string, string>): Promise<Child>;
  close(): Promise<void>;
}

export interface BenchDatabase {
  db: Db;
  name: string;
  address: DatabaseAddress;
  /** For programs on libpq. */
  url: string;
  drop(): Promise<void>;
}

export interface Child {
  pid: number;
  /** What of its output matched. */
  found: RegExpExecArray;
  signal(name: NodeJS.Signals): void;
  stop(name?: NodeJS.Signals): Promise<void>;
}

/**
 * @param options.seed     of the random numbers; the same seed asks for the same things in the same order
 * @param options.isQuick  every part at a tiny size: whether it works, not what it reaches
 */
export async function openStage(report: Report, options: { seed: number; isQuick: boolean }): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), "everruns-bench-"));
  // As root the server runs under another user, who has to be able to enter.
  chmodSync(directory, 0o755);
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer().catch(() => {});
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const postgres = await startEmbeddedPostgres({ dataDir: directory });
    closers.push(() => postgres.stop());
    return {
      report,
      postgres,
      directory,
      syncMs: 0,
      postgresLog: join(directory, "postgres-18/postgres.log"),
      pgbench: Bun.which("pgbench"),
      random: randomFrom(options.seed),
      pick: (full, quick) => (options.isQuick ? quick : full),
      database: () => createDatabase(postgres, closers),
      start: (args, ready, env = {}) =>
        startChild(args, ready, { ...env, EVERRUNS_DATA_DIR: directory }, closers),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function createDatabase(
  postgres: EmbeddedPostgres,
  closers: (() => Promise<unknown>)[],
): Promise<BenchDatabase> {
  const name = `bench_${crypto.randomUUID().slice(0, 8)}`;
  const admin = openDb(postgres.address, { connections: 1, applicationName: "everruns-bench" });
  await admin.sql.unsafe(`create database ${name}`);
  const address = { ...postgres.address, database: name };
  const db = openDb(address);
  await migrate(db, migrations);
  let dropped: Promise<void> | null = null;
  const drop = () => {
    dropped ??= (async () => {
      await db.close();
      await admin.sql.unsafe(`drop database ${name} with (force)`);
      await admin.close();
    })();
    return dropped;
  };
  closers.push(drop);
  return { db, name, address, url: postgres.url.replace("///everruns?", `///${name}?`), drop };
}

async function startChild(
  args: readonly string[],
  ready: RegExp,
  env: Record<string, string>,
  closers: (() => Promise<unknown>)[],
): Promise<Child> {
  const child = Bun.spawn([process.execPath, "--no-env-file", ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "/tmp", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stop = async (name: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(name);
      // One that is stopped (SIGSTOP) would not hear it.
      child.kill("SIGCONT");
    }
    await child.exited;
  };
  closers.push(() => stop());
  const found = Promise.withResolvers<RegExpExecArray>();
  let output = "";
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      // After the start its words are only needed when it fails: keep the end.
      output = (output + decoder.decode(bytes, { stream: true })).slice(-20_000);
      const match = ready.exec(output);
      if (match) found.resolve(match);
    }
  };
  void Promise.all([read(child.stdout), read(child.stderr)]).then(() =>
    found.reject(new Error(`${args.join(" ")} ended:\n${output}`)),
  );
  return { pid: child.pid, found: await found.promise, signal: (name) => child.kill(name), stop };
}

/** mulberry32: small, and the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Looks again until the condition holds. @throws Error when it does not within the time */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 60_000,
): Promise<void> {
  const start = performance.now();
  while (!(await condition())) {
    if (performance.now() - start > limitMs) throw new Error(`${what}: not within ${limitMs / 1000} s`);
    await Bun.sleep(2);
  }
}
