/**
 * The sandbox room: what a model wrote and we run, runs in a process of its own, which gets nothing of ours (no
 * environment, no connection, no open file) and is killed when its time is up or it takes too much memory: SQLite
 * cannot be interrupted from within. Memory is watched on Linux only.
 *
 *   sql-runner.ts   starts the process and speaks with it
 *   sql-child.ts    what it does
 *   statements.ts   which SQL it does at all
 *   no-files.ts     what keeps it from opening a file, should a statement get by
 */
import { readFileSync } from "node:fs";
import { UserError } from "../base/errors.ts";
import { createSemaphore } from "../base/semaphore.ts";
import { packMessage, unpackMessage } from "./message.ts";
import type { SqlAnswer, SqlRequest } from "./sql-child.ts";

export interface SqlResult {
  answer: Extract<SqlAnswer, { ok: true }>;
  /** The database after it; empty when it was only read. */
  bytes: Uint8Array;
}

/**
 * @param bytes  the database; null for a new one
 * @throws UserError invalid_request (what SQLite or our rules say of the statement), limit_exceeded (time)
 */
export type RunSql = (
  request: SqlRequest,
  bytes: Uint8Array | null,
  signal: AbortSignal,
) => Promise<SqlResult>;

/** @param options.command  how the child is started; it reads a message from stdin and writes one to stdout */
export function createSqlRunner(options: {
  command: readonly string[];
  timeoutMs: number;
  /** Children at the same time. */
  concurrency: number;
}): RunSql {
  const permits = createSemaphore(options.concurrency);
  return async (request, bytes, signal) => {
    const release = await permits.acquire();
    try {
      signal.throwIfAborted();
      return await runChild(options, packMessage(request, bytes), signal);
    } finally {
      release();
    }
  };
}

const WATCH_MS = 25;
/** With what Bun itself takes, some 80 MB. */
const RESIDENT_BYTES_MAX = 512 * 1024 * 1024;
const LINUX_PAGE_BYTES = 4096;

async function runChild(
  { command, timeoutMs }: { command: readonly string[]; timeoutMs: number },
  message: Uint8Array,
  signal: AbortSignal,
): Promise<SqlResult> {
  const child = Bun.spawn([...command], {
    stdin: message as Uint8Array<ArrayBuffer>,
    stdout: "pipe",
    stderr: "ignore",
    env: {},
    cwd: "/",
  });
  let isTimedOut = false;
  let isTooLarge = false;
  const kill = () => child.kill("SIGKILL");
  const timer = setTimeout(() => {
    isTimedOut = true;
    kill();
  }, timeoutMs);
  const watch = setInterval(() => {
    if (residentBytes(child.pid) <= RESIDENT_BYTES_MAX) return;
    isTooLarge = true;
    kill();
  }, WATCH_MS);
  signal.addEventListener("abort", kill, { once: true });
  try {
    const output = await new Response(child.stdout).bytes();
    const code = await child.exited;
    signal.throwIfAborted();
    if (isTimedOut) {
      throw new UserError("limit_exceeded", `stopped after ${timeoutMs / 1000} s; nothing was changed`);
    }
    if (isTooLarge) {
      throw new UserError("limit_exceeded", "stopped: it takes too much memory; nothing was changed");
    }
    if (code !== 0) throw new Error(`the process for SQL ended with ${code}`);
    const { head, bytes } = unpackMessage<SqlAnswer>(output);
    if (!head.ok) throw new UserError("invalid_request", head.error);
    return { answer: head, bytes };
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
    signal.removeEventListener("abort", kill);
    kill();
  }
}

/** 0 where that cannot be told. */
function residentBytes(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * LINUX_PAGE_BYTES;
  } catch {
    return 0;
  }
}
