/** The server process: recognised, asked whether it is ready, launched, stopped. */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { RetryableError, TerminalError, UserError } from "../base/errors.ts";
import { type Layout, socketPath } from "./layout.ts";
import { DATABASE, SUPERUSER } from "./names.ts";

const POLL_MS = 5;
const PING_MS_MAX = 1_000;
/** Crash recovery of a busy database takes a while; a server that is alive and not ready is waited for. */
const START_MS_MAX = 10 * 60_000;
/** How long the kernel may take to close what a killed process had open. */
const TEARDOWN_MS_MAX = 5_000;
const RELAUNCHES_MAX = 50;
const RELAUNCH_AFTER_MS = 100;
/** A fast stop ends with a checkpoint. After this the server is stopped without one and recovers at its next start. */
const STOP_MS_MAX = 30_000;
const LOG_BYTES_MAX = 4 * 1024 * 1024;

/** The process id of the server that has this cluster open, or null. A zombie, or a reused id, is not a server. */
export function runningServer(clusterDir: string): number | null {
  const pid = Number(pidFile(clusterDir)[0]);
  return Number.isInteger(pid) && pid > 0 && isServer(pid, clusterDir) ? pid : null;
}

/** The lines of the server's pid file; none when there is no such file. */
function pidFile(clusterDir: string): string[] {
  try {
    return readFileSync(join(clusterDir, "postmaster.pid"), "utf8").split("\n");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** The command line of a zombie is empty on Linux and a bare name on macOS, so that it never matches. */
export function isServer(pid: number, clusterDir: string): boolean {
  if (process.platform === "linux") {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").includes(clusterDir);
    } catch {
      return false;
    }
  }
  return Bun.spawnSync(["ps", "-ww", "-o", "command=", "-p", String(pid)])
    .stdout.toString()
    .includes(clusterDir);
}

/** What is behind the socket: a server that takes connections, one that does not (yet, or any more), or nothing. */
export function probe(socket: string): Promise<"ready" | "waiting" | "nothing"> {
  return new Promise((resolve) => {
    let answer: "waiting" | "nothing" = "nothing";
    const connection = createConnection(socket);
    const settle = (found: "ready" | "waiting" | "nothing") => {
      clearTimeout(timer);
      connection.destroy();
      resolve(found);
    };
    const timer = setTimeout(() => settle("waiting"), PING_MS_MAX);
    connection.on("error", () => settle(answer));
    connection.on("close", () => settle(answer));
    connection.on("connect", () => {
      answer = "waiting";
      connection.write(startupPacket());
    });
    // "R" asks for authentication, which is the answer of a server that takes connections; "E" is a refusal.
    connection.on("data", (bytes) => settle(bytes[0] === "R".charCodeAt(0) ? "ready" : "waiting"));
  });
}

/** The file first: every question that comes too early is a line in the server's log. */
async function isReady(layout: Layout): Promise<boolean> {
  const status = pidFile(layout.clusterDir)[7]?.trim();
  return status === "ready" && (await probe(socketPath(layout.socketDir))) === "ready";
}

function startupPacket(): Buffer {
  const parameters = Buffer.from(`user\0${SUPERUSER}\0database\0${DATABASE}\0\0`);
  const header = Buffer.alloc(8);
  header.writeInt32BE(header.length + parameters.length, 0);
  header.writeInt32BE(3 << 16, 4); // protocol 3.0
  return Buffer.concat([header, parameters]);
}

export interface Launch {
  layout: Layout;
  settings: Readonly<Record<string, string>>;
  clock: Clock;
  signal?: AbortSignal | undefined;
}

/**
 * Waits for a server that somebody else launched.
 * @returns its pid, or null when it went away instead of becoming ready
 */
export async function awaitServer({ layout, clock, signal }: Launch): Promise<number | null> {
  const start = clock.monotonicMs();
  for (;;) {
    const pid = runningServer(layout.clusterDir);
    if (pid === null) return null;
    if (await isReady(layout)) return pid;
    await pause(clock, start, signal);
  }
}

/**
 * Launches a server on the cluster and waits until it takes connections. The caller holds the start lock and has
 * seen that none runs.
 * @throws TerminalError  it does not start; the message ends with what it said
 * @throws UserError      somebody else's server has the cluster open
 */
export async function launchServer(launch: Launch): Promise<number> {
  const { layout, clock, signal } = launch;
  await requireSilence(launch);
  clearRemains(layout);
  rotateLog(layout.logFile);
  const start = clock.monotonicMs();
  let child = spawn(launch);
  for (let relaunches = 0; ; ) {
    if (child.exitCode !== null || child.signalCode !== null) {
      // What a killed server held (its shared memory, its children) can take a moment to go.
      const said = logTail(layout.logFile);
      if (relaunches++ >= RELAUNCHES_MAX || !/still in use|already exists|could not bind/.test(said)) {
        throw new TerminalError("embedded_failed", `the embedded PostgreSQL did not start:\n${said}`);
      }
      await clock.sleep(RELAUNCH_AFTER_MS, signal);
      clearRemains(layout);
      child = spawn(launch);
    } else if (await isReady(layout)) {
      // Only now: while it starts, our exit must not go unnoticed by the loop above.
      child.unref();
      return child.pid;
    }
    try {
      await pause(clock, start, signal);
    } catch (error) {
      child.kill("SIGQUIT");
      throw error;
    }
  }
}

/**
 * Nobody may listen on the socket of a cluster whose server we do not see: that would be one in another container on
 * the same volume, and a second server would destroy the cluster. A server that was killed a moment ago still has
 * its socket while the kernel tears it down, so the answer has to last.
 */
async function requireSilence({ layout, clock, signal }: Launch): Promise<void> {
  const start = clock.monotonicMs();
  while ((await probe(socketPath(layout.socketDir))) !== "nothing") {
    if (clock.monotonicMs() - start > TEARDOWN_MS_MAX) {
      throw new UserError(
        "data_dir_unusable",
        `another PostgreSQL, which this process cannot see, has ${layout.clusterDir} open: ` +
          "stop it, or choose another data directory",
      );
    }
    await pause(clock, start, signal);
  }
}

function spawn({ layout, settings }: Launch): Bun.Subprocess {
  const { uid, gid, isOther } = layout.identity;
  const log = openSync(layout.logFile, "a", 0o600);
  try {
    return Bun.spawn(
      [
        join(layout.programDir, "bin/postgres"),
        ...["-D", layout.clusterDir],
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      {
        ...(isOther ? { uid, gid } : {}),
        // A session of its own: Ctrl+C in the terminal is for us, and we stop the server when our work is stored.
        detached: true,
        cwd: layout.clusterDir,
        env: { LC_ALL: "C", TZ: "UTC" },
        stdio: ["ignore", log, log],
      },
    );
  } catch (error) {
    throw new TerminalError(
      "embedded_failed",
      `cannot run ${layout.programDir}/bin/postgres (is its file system mounted noexec? then choose another data directory)`,
      { cause: error },
    );
  } finally {
    closeSync(log);
  }
}

/**
 * Stops a server and waits until it is gone.
 * @param isDurable  false skips the closing checkpoint: the cluster is about to be thrown away
 */
export async function stopServer(
  pid: number,
  layout: Layout,
  clock: Clock,
  isDurable: boolean,
): Promise<void> {
  for (const signal of isDurable
    ? (["SIGINT", "SIGQUIT", "SIGKILL"] as const)
    : (["SIGQUIT", "SIGKILL"] as const)) {
    kill(pid, signal);
    if (await holds(() => !isServer(pid, layout.clusterDir), STOP_MS_MAX, clock)) {
      // It has let go of its memory; its sockets and its directory follow.
      await holds(() => hasEnded(pid), TEARDOWN_MS_MAX, clock);
      return;
    }
  }
  throw new TerminalError("embedded_failed", `the embedded PostgreSQL (pid ${pid}) cannot be stopped`);
}

/** Whether the condition becomes true in time. */
async function holds(condition: () => boolean, withinMs: number, clock: Clock): Promise<boolean> {
  const start = clock.monotonicMs();
  while (!condition()) {
    if (clock.monotonicMs() - start > withinMs) return false;
    await clock.sleep(POLL_MS);
  }
  return true;
}

/** True for a zombie, too: nothing is left of it but its exit code. */
function hasEnded(pid: number): boolean {
  if (process.platform !== "linux") return true;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return true;
  }
}

/**
 * After a kill -9 of the server: ends children that outlived it, and removes its lock files, which the next one would
 * trip over when the old pid lives on as a zombie (where nobody reaps, as in many containers) or as another program.
 */
function clearRemains({ clusterDir, socketDir }: Layout): void {
  if (pidFile(clusterDir).length > 0) {
    for (const pid of processesIn(clusterDir)) kill(pid, "SIGKILL");
  }
  rmSync(join(clusterDir, "postmaster.pid"), { force: true });
  rmSync(socketPath(socketDir), { force: true });
  rmSync(`${socketPath(socketDir)}.lock`, { force: true });
}

/** The processes whose working directory is the cluster: the server's children never leave it. Linux only. */
function processesIn(directory: string): number[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === directory;
      } catch {
        return false;
      }
    });
}

/** False when there is no such process (any more). */
function kill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

async function pause(clock: Clock, start: number, signal: AbortSignal | undefined): Promise<void> {
  if (clock.monotonicMs() - start > START_MS_MAX) {
    throw new RetryableError(
      "embedded_busy",
      "the embedded PostgreSQL has not become ready within ten minutes",
    );
  }
  await clock.sleep(POLL_MS, signal);
  signal?.throwIfAborted();
}

/** Keeps the current and one older log. */
function rotateLog(path: string): void {
  if (existsSync(path) && statSync(path).size > LOG_BYTES_MAX) renameSync(path, `${path}.1`);
}

function logTail(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8").slice(-2_000).trim() : "";
}
