/** Sweeps up what nobody needs any more. Each worker has one; an advisory lock lets one sweep at a time. */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { releaseStaleReservations } from "../db/budgets/budget-meter.ts";
import { pruneFileChanges } from "../db/files/files.ts";
import { pruneStagedBytes } from "../db/files/staged.ts";
import type { Db } from "../db/pool.ts";
import {
  forgetMessages,
  type Portion,
  pruneTurns,
  purgeDeletedSessions,
  purgeDeletedTrees,
} from "../db/retention.ts";
import { sweep } from "../db/sweep.ts";

const SWEEP_MS = 30_000;
/** A call whose worker was lost is repeated within minutes; a week leaves room for a long outage. */
const KEEP_FILE_CHANGES_MS = 7 * 24 * 3_600_000;
const FILE_CHANGES_PER_SWEEP = 5_000;
const RESERVATIONS_PER_SWEEP = 1_000;
const STAGED_PIECES_PER_SWEEP = 200;

/** Portions of one kind that one sweep removes: what is left waits for the next, and nobody waits for us. */
const PORTIONS_PER_SWEEP = 20;
/** From the end of one walk over all sessions to the begin of the next. */
const WALK_PAUSE_MS = 3_600_000;

/** How many days things are kept before they are removed for good. */
export interface Retention {
  /** Events and steps, from the end of their turn on; null: for ever. */
  eventsDays: number | null;
  /** Deleted sessions, workspaces and memories. */
  deletedDays: number;
  /** `client_message_id`s, by which a repeated message is known. */
  messageIdsDays: number;
}

export function createJanitor(deps: { db: Db; clock: Clock; log: Log; retention: Retention | null }) {
  let walkedTo = "";
  let nextWalkAtMs = 0;

  const inPortions = async <T extends object>(
    what: string,
    signal: AbortSignal,
    remove: () => Promise<Portion<T>>,
  ) => {
    for (let n = 0; n < PORTIONS_PER_SWEEP && !signal.aborted; n += 1) {
      const removed = await remove();
      if (removed === null) return;
      const { hasMore, ...counts } = removed;
      if (Object.values(counts).some((count) => typeof count === "number" && count > 0)) {
        deps.log.info(what, counts);
      }
      if (!hasMore) return;
    }
  };

  const retain = async ({ eventsDays, deletedDays, messageIdsDays }: Retention, signal: AbortSignal) => {
    await inPortions("deleted sessions were removed for good", signal, () =>
      purgeDeletedSessions(deps.db, { keepDays: deletedDays }),
    );
    await inPortions("deleted workspaces and memories were removed for good", signal, () =>
      purgeDeletedTrees(deps.db, { keepDays: deletedDays }),
    );
    await inPortions("old message ids were forgotten", signal, () =>
      forgetMessages(deps.db, { keepDays: messageIdsDays }),
    );
    if (eventsDays === null || deps.clock.monotonicMs() < nextWalkAtMs) return;
    await inPortions("events and steps of old turns were removed", signal, async () => {
      const pruned = await pruneTurns(deps.db, { keepDays: eventsDays, after: walkedTo });
      if (pruned !== null) walkedTo = pruned.after;
      if (pruned?.hasMore === false) nextWalkAtMs = deps.clock.monotonicMs() + WALK_PAUSE_MS;
      return pruned;
    });
  };

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
          await pruneStagedBytes(deps.db, STAGED_PIECES_PER_SWEEP);
          await releaseStaleReservations(deps.db, RESERVATIONS_PER_SWEEP);
          if (deps.retention) await retain(deps.retention, signal);
          if (swept.deltas > 0) deps.log.debug("token deltas of ended turns were pruned", swept);
        } catch (error) {
          deps.log.debug("the janitor could not sweep", { cause: describeError(error) });
        }
      }
    },
  };
}
