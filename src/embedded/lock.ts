/**
 * Locks between processes, which the kernel lets go of when their holder dies, however it dies.
 *
 * A file that says "locked by pid 4711" has to be judged (does 4711 live, is it still the same program?) and every
 * such judgement races with the next one. SQLite, which Bun carries, already knows how to hold shared and exclusive
 * record locks on a file correctly on Linux and macOS, also between two holders in one process, so an empty SQLite
 * file is the lock and nothing is ever written to it.
 */
import { Database } from "bun:sqlite";
import type { Clock } from "../base/clock.ts";
import { RetryableError } from "../base/errors.ts";

const POLL_MS = 20;
const WAIT_MS_MAX = 10 * 60_000;

export class FileLock {
  readonly #database: Database;
  #isHeld = false;

  /** @throws SQLiteError when the file cannot be created or opened */
  constructor(path: string) {
    this.#database = new Database(path, { create: true, readwrite: true });
    this.#database.exec("pragma busy_timeout = 0");
  }

  /** Many may hold it shared; false when somebody holds it exclusively. Lets go of what this object held before. */
  tryShared(): boolean {
    // The read takes the lock; a bare "begin" only promises to.
    return this.#try("begin; select count(*) from sqlite_master");
  }

  /** False when anybody else holds it. Lets go of what this object held before, also when the answer is false. */
  tryExclusive(): boolean {
    return this.#try("begin exclusive");
  }

  /**
   * Waits until it is held exclusively.
   * @throws RetryableError after ten minutes; the signal's reason when it aborts
   */
  async exclusive(clock: Clock, signal?: AbortSignal): Promise<void> {
    const start = clock.monotonicMs();
    while (!this.tryExclusive()) {
      if (clock.monotonicMs() - start > WAIT_MS_MAX) {
        throw new RetryableError(
          "embedded_busy",
          "another process has been starting PostgreSQL for ten minutes",
        );
      }
      await clock.sleep(POLL_MS, signal);
      signal?.throwIfAborted();
    }
  }

  release(): void {
    if (this.#isHeld) this.#database.exec("rollback");
    this.#isHeld = false;
  }

  /** Releases, and closes the file. */
  close(): void {
    this.release();
    this.#database.close();
  }

  #try(statement: string): boolean {
    this.release();
    try {
      // The mode spares a journal file beside the lock. Setting it reads the file, so it can be refused as well.
      this.#database.exec(`pragma journal_mode = memory; ${statement}`);
      this.#isHeld = true;
    } catch (error) {
      if (!isBusy(error)) throw error;
      // "begin" may have succeeded before the read was refused.
      if (this.#database.inTransaction) this.#database.exec("rollback");
    }
    return this.#isHeld;
  }
}

function isBusy(error: unknown): boolean {
  return String((error as { code?: unknown }).code).startsWith("SQLITE_BUSY");
}
