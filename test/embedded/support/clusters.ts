/** Data directories, other processes that use them, and what is left of them afterwards. */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import type { SocketAddress } from "../../../src/embedded/postgres.ts";

export const isRoot = process.getuid?.() === 0;

/** A directory that every user can enter, below which tests put their data directories. */
export function workDirectory(): { path: string; fresh(name: string): string; remove(): void } {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "everruns-embedded-")));
  chmodSync(path, 0o755);
  return {
    path,
    fresh(name) {
      const directory = join(path, name);
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      return directory;
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

export interface UserProcess {
  /** Our process, not the server's. */
  pid: number;
  ready: { pid: number; adopted: boolean; address: SocketAddress; error?: string };
  /** Lets it stop cleanly and waits for its end. */
  stop(): Promise<void>;
  /** kill -9, and waits for its end. */
  kill(): Promise<void>;
}

/** Another process that starts or adopts the server of `dataDir`. Resolves when it says that it is ready. */
export async function startUser(
  dataDir: string,
  options: { programDir?: string; uid?: number } = {},
): Promise<UserProcess> {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "user-process.ts"), dataDir, options.programDir ?? ""],
    {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    },
  );
  const ready = JSON.parse(await firstLine(child.stdout));
  return {
    pid: child.pid,
    ready,
    async stop() {
      await child.stdin.end();
      await child.exited;
    },
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  while (!text.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return text;
}

/** Runs one piece of work on a connection of its own. */
export async function withSql<T>(
  address: SocketAddress,
  work: (sql: postgres.Sql) => Promise<T>,
): Promise<T> {
  const { socketPath, user, database } = address;
  const sql = postgres({ path: socketPath, user, database, max: 1, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** The processes of the cluster: the server and its children, which all work in its directory. */
export function clusterProcesses(dataDir: string): number[] {
  const cluster = join(realpathSync(dataDir), "postgres-18/data");
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      try {
        return Number.isInteger(pid) && readlinkSync(`/proc/${pid}/cwd`) === cluster;
      } catch {
        return false;
      }
    });
}

/** kill -9 of the server and every child it has. */
export function killCluster(dataDir: string): void {
  for (const pid of clusterProcesses(dataDir)) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      // A child may end by itself when its server dies.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** Asks again until the answer is true; the test's time limit bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(10);
}
