/** A durable PostgreSQL of the torture's own, the ways in which it goes down, and the network in front of it. */
import { existsSync, readFileSync } from "node:fs";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type DatabaseAddress, type Db, openDb } from "../../src/db/pool.ts";
import { startEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import type { Random } from "./random.ts";

/** fast: connections are cut, what is committed is written out. The others: the next start recovers from the log. */
export type Stop = "fast" | "immediate" | "kill -9";
const SIGNALS = { fast: "SIGINT", immediate: "SIGQUIT", "kill -9": "SIGKILL" } as const;

export interface TortureDatabase {
  /** For programs: leads through a port of this process. */
  url: string;
  /** For us: straight to the server. */
  address: DatabaseAddress;
  /** Ends the server's process; it is launched again within a second. */
  stop(how: Stop): void;
  /** Cuts some of the programs' connections. @returns how many */
  cut(random: Random): number;
  /** SQLSTATEs of the errors in the server's log, with how often each came. */
  errors(): Map<string, number>;
  /** Resolves when it answers. */
  ready(): Promise<void>;
  close(): Promise<void>;
}

export async function startDatabase(directory: string): Promise<TortureDatabase> {
  const postgres = await startEmbeddedPostgres({
    dataDir: directory,
    settings: { max_connections: "300", log_line_prefix: "%m [%p] %e " },
  });
  const network = await openNetwork(postgres.address.socketPath);
  const { user, database } = postgres.address;
  return {
    url: `postgres://${user}@127.0.0.1:${network.port}/${database}`,
    address: postgres.address,
    stop: (how) => void process.kill(postgres.pid, SIGNALS[how]),
    cut: network.cut,
    errors: () => countErrors(join(directory, "postgres-18/postgres.log")),
    ready: () => answers(postgres.address),
    async close() {
      await network.close();
      await postgres.stop();
    },
  };
}

/** postgres.js has no URL form for a unix socket: a port on this machine leads to it. */
async function openNetwork(socketPath: string) {
  const open = new Set<Socket>();
  const server = createServer((near) => {
    const far = createConnection(socketPath);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.pipe(other);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(near);
        other.destroy();
      });
    }
    open.add(near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut(random: Random): number {
      const chosen = [...open].filter(() => random.chance(0.5));
      for (const socket of chosen) socket.destroy();
      return chosen.length;
    },
    close(): Promise<void> {
      for (const socket of open) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function countErrors(file: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const path of [`${file}.1`, file]) {
    if (!existsSync(path)) continue;
    for (const [, state = ""] of readFileSync(path, "utf8").matchAll(
      /^\S+ \S+ \S+ \[\d+\] (\w{5}) (?:ERROR|FATAL|PANIC):/gm,
    )) {
      counts.set(state, (counts.get(state) ?? 0) + 1);
    }
  }
  return counts;
}

async function answers(address: DatabaseAddress): Promise<void> {
  for (;;) {
    const db: Db = openDb(address, { connections: 1, applicationName: "everruns-torture" });
    try {
      await db.sql`select 1`;
      return;
    } catch {
      await Bun.sleep(50);
    } finally {
      await db.close();
    }
  }
}
