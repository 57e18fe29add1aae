/** Sweeps up what nobody needs any more. Each worker has one; an advisory lock lets one sweep at a time. */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { releaseStaleReservations } from "../db/budget-meter.ts";
import { pruneFileChanges } from "../db/files.ts";
import type { Db } from "../db/pool.ts";
import { sweep } from "../db/sweep.ts";

const SWEEP_MS = 30_000;
/** A call whose worker was lost is repeated within minutes; a week leaves room for a long outage. */
const KEEP_FILE_CHANGES_MS = 7 * 24 * 3_600_000;
const FILE_CHANGES_PER_SWEEP = 5_000;
const RESERVATIONS_PER_SWEEP = 1_000;

export function createJanitor(deps: { db: Db; clock: Clock; log: Log }) {
  return {
    /** Sweeps until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await deps.clock.sleep(SWEEP_MS * (0.8 + 0.4 * Math.random()), signal);
        if (signal.aborted) return;
        try {
          const swept = await sweep(deps.db, { keepDeltasMs: SWEEP_MS });
          await pruneFileChanges(deps.db, {
            olderThanMs: KEEP_FILE_CHANGES_MS,
            rowsMax: FILE_CHANGES_PER_SWEEP,
          });
          await releaseStaleReservations(deps.db, RESERVATIONS_PER_SWEEP);
          if (swept.deltas > 0) deps.log.debug("token deltas of ended turns were pruned", swept);
        } catch (error) {
          deps.log.debug("the janitor could not sweep", { cause: describeError(error) });
        }
      }
    },
  };
}
