/**
 * The PostgreSQL that comes along.
 *
 * This room owns a real PostgreSQL 18 carried inside the executable and one cluster under the data directory. It
 * knows nothing of our tables: it hands out a socket, a user and an empty database.
 *
 * Who starts and who stops. Every process that uses the cluster holds `users.lock` shared, for as long as it uses
 * it; the kernel takes that back when it dies, however it dies. `start.lock` is held exclusively around every start
 * and every stop. So:
 *   - two first starts at once: one unpacks and launches, the other waits and then adopts;
 *   - `worker` or `migrate` beside `serve` adopt the running server, or launch it when none runs;
 *   - the last user to stop stops the server. `serve` going before its `worker` does not pull the database from
 *     under it; a user that was killed counts no longer, and the server it left behind is adopted by the next
 *     start, and stopped with it;
 *   - a server that dies under its users is launched again by the first of them to notice.
 *
 * Never: a TCP port, a server as root, a cluster half unpacked under its final name, a wait for a lock whose holder
 * is dead, a cluster of one major opened by another (its path carries the major).
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { describeError, TerminalError, UserError } from "../base/errors.ts";
import { type Log, silentLog } from "../base/log.ts";
import { archives } from "./archives.ts";
import { findCluster, type Layout, prepareLayout, removeFarSocketDir, socketPath } from "./layout.ts";
import { FileLock } from "./lock.ts";
import { DATABASE, NO_PROGRAM, SUPERUSER } from "./names.ts";
import { awaitServer, isServer, type Launch, launchServer, runningServer, stopServer } from "./server.ts";
import { isUnpacked, removeOldPrograms, unpack } from "./unpack.ts";

const WATCH_EVERY_MS = 500;

export interface EmbeddedOptions {
  /** The program's data directory; the cluster goes to `postgres-18` in it. Created when missing. */
  dataDir: string;
  log?: Log;
  /** Receives what takes long, for a person: "unpacking PostgreSQL 18.4". */
  onProgress?: (message: string) => void;
  /** False gives up safety against power cuts for speed, and stops without a checkpoint: for tests. Default true. */
  durable?: boolean;
  /** More settings of the server, by their names in postgresql.conf. */
  settings?: Readonly<Record<string, string>>;
  /** Where the unpacked program is or goes; several clusters may share one. Default: beside the cluster. */
  programDir?: string;
  clock?: Clock;
  /** Ends the wait for another starting process, for crash recovery, or for a slow start. */
  signal?: AbortSignal;
}

/** The database's address. A path and no URL: postgres.js has no URL form for a socket. */
export interface SocketAddress {
  socketPath: string;
  user: string;
  database: string;
}

export interface EmbeddedPostgres {
  readonly address: SocketAddress;
  /** The same place for psql and other programs on libpq. */
  readonly url: string;
  /** For example "18.4". */
  readonly version: string;
  /** The server's process. Changes when the server had to be launched again. */
  readonly pid: number;
  /** True when another process had launched the server. */
  readonly adopted: boolean;
  /** Stops the server when no other process uses it. Idempotent; resolves when it is gone, or left to the others. */
  stop(): Promise<void>;
}

/**
 * Starts or adopts the server of a data directory, ready for connections.
 *
 * @throws UserError      the data directory cannot be used as it is, or the platform has no embedded PostgreSQL
 * @throws TerminalError  the server does not start; the message says why in its own words
 * @throws RetryableError another process has kept starting or recovering for ten minutes
 */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  if (archives.programId === NO_PROGRAM) {
    throw new UserError(
      "embedded_unsupported",
      "there is no embedded PostgreSQL for this platform: set DATABASE_URL to a PostgreSQL 15 or newer",
    );
  }
  const cluster = new Cluster(options);
  await cluster.start();
  return cluster;
}

/**
 * What a data directory holds, without starting or changing anything; null when it has no cluster yet.
 * `pid` is null when no server runs on it.
 * @throws UserError  it belongs to somebody else
 */
export function inspectEmbeddedPostgres(
  dataDir: string,
): { pid: number | null; address: SocketAddress } | null {
  const found = findCluster(dataDir);
  return found && { pid: runningServer(found.clusterDir), address: addressIn(found.socketDir) };
}

function addressIn(socketDir: string): SocketAddress {
  return { socketPath: socketPath(socketDir), user: SUPERUSER, database: DATABASE };
}

class Cluster implements EmbeddedPostgres {
  readonly address: SocketAddress;
  readonly url: string;
  readonly version = archives.programId.split("-")[0] ?? "";
  readonly #launch: Launch;
  readonly #layout: Layout;
  readonly #isDurable: boolean;
  readonly #log: Log;
  readonly #onProgress: (message: string) => void;
  readonly #startLock: FileLock;
  readonly #usersLock: FileLock;
  #pid = 0;
  #adopted = false;
  #watch: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();
  #stopped: Promise<void> | null = null;

  constructor(options: EmbeddedOptions) {
    this.#isDurable = options.durable ?? true;
    this.#log = options.log ?? silentLog;
    this.#onProgress = options.onProgress ?? (() => {});
    this.#layout = prepareLayout(options.dataDir, archives.programId, options.programDir ?? null);
    this.#launch = {
      layout: this.#layout,
      settings: { ...serverSettings(this.#layout, this.#isDurable), ...options.settings },
      clock: options.clock ?? systemClock,
      signal: options.signal,
    };
    this.#startLock = new FileLock(this.#layout.startLock);
    this.#usersLock = new FileLock(this.#layout.usersLock);
    const { socketDir } = this.#layout;
    this.address = addressIn(socketDir);
    this.url = `postgresql:///${DATABASE}?host=${encodeURIComponent(socketDir)}&user=${SUPERUSER}`;
  }

  get pid(): number {
    return this.#pid;
  }

  get adopted(): boolean {
    return this.#adopted;
  }

  async start(): Promise<void> {
    try {
      await this.#startLock.exclusive(this.#launch.clock, this.#launch.signal);
      await this.#adoptOrLaunch();
      // Under the start lock nobody holds this one exclusively: that is done only while stopping.
      if (!this.#usersLock.tryShared())
        throw new TerminalError("embedded_failed", "users.lock is held elsewhere");
    } catch (error) {
      this.#startLock.close();
      this.#usersLock.close();
      throw error;
    }
    this.#startLock.release();
    this.#watch = this.#keepRunning();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watch;
    const { clock } = this.#launch;
    await this.#startLock.exclusive(clock);
    try {
      const isLast = this.#usersLock.tryExclusive();
      const pid = runningServer(this.#layout.clusterDir);
      if (isLast && pid !== null) {
        await stopServer(pid, this.#layout, clock, this.#isDurable);
        removeFarSocketDir(this.#layout);
        this.#log.info("the embedded PostgreSQL has stopped", { pid });
      } else if (pid !== null) {
        this.#log.info("the embedded PostgreSQL goes on for another process", { pid });
      }
    } finally {
      this.#usersLock.close();
      this.#startLock.close();
    }
  }

  async #adoptOrLaunch(): Promise<void> {
    const { clusterDir } = this.#layout;
    if (runningServer(clusterDir) !== null) {
      const pid = await awaitServer(this.#launch);
      if (pid !== null) {
        this.#pid = pid;
        this.#adopted = true;
        this.#log.info("using the embedded PostgreSQL that runs already", { pid });
        return;
      }
    }
    removeOldPrograms(this.#layout);
    const { version } = this;
    if (!isUnpacked(this.#layout)) {
      this.#onProgress(`unpacking PostgreSQL ${version}`);
      await unpack(this.#layout, this.#isDurable);
    }
    this.#onProgress(`starting PostgreSQL ${version}`);
    this.#pid = await launchServer(this.#launch);
    this.#adopted = false;
    this.#log.info("the embedded PostgreSQL runs", { pid: this.#pid, version });
  }

  /** Looks now and then whether the server is still there, and launches it again when it is not. */
  async #keepRunning(): Promise<void> {
    const { signal } = this.#stopping;
    const { clock } = this.#launch;
    while (!signal.aborted) {
      await clock.sleep(WATCH_EVERY_MS, signal);
      if (signal.aborted || isServer(this.#pid, this.#layout.clusterDir)) continue;
      try {
        await this.#startLock.exclusive(clock, signal);
        if (runningServer(this.#layout.clusterDir) === null) {
          this.#log.error("the embedded PostgreSQL is gone; starting it again", { pid: this.#pid });
        }
        await this.#adoptOrLaunch();
      } catch (error) {
        if (!signal.aborted) {
          this.#log.error("the embedded PostgreSQL cannot be started again", { error: describeError(error) });
        }
      } finally {
        this.#startLock.release();
      }
    }
  }
}

/** Given on the command line and not in postgresql.conf, so that a new release can change them. */
function serverSettings(layout: Layout, isDurable: boolean): Record<string, string> {
  return {
    listen_addresses: "",
    unix_socket_directories: `"${layout.socketDir.replaceAll('"', '""')}"`,
    unix_socket_permissions: "0700",
    max_connections: "200",
    shared_buffers: "128MB",
    // Shared memory of parallel queries in files of the cluster: /dev/shm is missing or tiny in many containers.
    dynamic_shared_memory_type: "mmap",
    jit: "off",
    log_checkpoints: "off",
    log_line_prefix: "%m [%p] ",
    log_timezone: "UTC",
    timezone: "UTC",
    ...(isDurable ? {} : { fsync: "off", synchronous_commit: "off", full_page_writes: "off" }),
  };
}
