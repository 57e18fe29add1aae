/**
 * Finds workers that died. A worker holds an advisory lock on a connection of its own; PostgreSQL frees it when
 * the process is gone. A worker seen without its lock twice in a row is declared dead and its leases end at once,
 * so that its runs go on elsewhere well within a second. Twice, because a restart of the database takes every lock
 * away for a moment: each worker takes its own again before it looks for those of others. If the lock was lost and
 * the worker lives, the epoch keeps its late writes out.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Db } from "../db/pool.ts";
import { buryWorkers, workersWithoutLock } from "../db/workers.ts";

const LOOK_MS = 250;

export function createReaper(deps: {
  db: Db;
  clock: Clock;
  log: Log;
  workerId: string;
  /** Takes our own liveness lock again when its connection was lost. Idempotent. */
  holdOwnLock(): Promise<void>;
  onFreed(): void;
}) {
  let suspects = new Set<string>();

  const look = async () => {
    await deps.holdOwnLock();
    const missing = (await workersWithoutLock(deps.db)).filter((id) => id !== deps.workerId);
    const dead = missing.filter((id) => suspects.has(id));
    suspects = new Set(missing);
    if (dead.length === 0) return;
    const freed = await buryWorkers(deps.db, dead);
    if (freed === 0) return;
    deps.log.warn("workers are gone; their runs are taken over", { workers: dead, runs: freed });
    deps.onFreed();
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await deps.clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        await look().catch((error: unknown) => {
          suspects = new Set();
          deps.log.debug("the reaper could not look", { cause: describeError(error) });
        });
      }
    },
  };
}
