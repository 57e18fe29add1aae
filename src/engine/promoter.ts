/**
 * Moves the queues of sessions on. Whoever writes the end of a run sees in the same answer whether a message waits,
 * and promotes it at once; a look at the database every quarter of a second finds what a process that died in between
 * has left. Promoting twice does nothing, so every worker may look.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import { promoteNext, sessionsToPromote } from "../db/queue.ts";
import type { Writer } from "../db/writer.ts";

const LOOK_MS = 250;
const SESSIONS_PER_LOOK = 200;

export function createPromoter(deps: { db: Db; clock: Clock; log: Log; hints: Hints; writer: Writer }) {
  const promote = async (sessionIds: readonly string[], isSweep: boolean): Promise<number> => {
    const promoted = await promoteNext(deps.db.sql, sessionIds, { isSweep });
    if (promoted.length > 0) {
      deps.hints.publish({ sessions: promoted.map((one) => one.sessionId), isQueued: true });
    }
    return promoted.length;
  };

  /** @returns whether there may be more */
  const look = async (): Promise<boolean> => {
    const sessionIds = await sessionsToPromote(deps.db, SESSIONS_PER_LOOK);
    if (sessionIds.length === 0) return false;
    const count = await promote(sessionIds, true);
    return count > 0 && sessionIds.length === SESSIONS_PER_LOOK;
  };

  const complain = (error: unknown) => {
    deps.log.debug("queued messages could not be promoted; the next look will", {
      cause: describeError(error),
    });
    return false;
  };

  const writer: Writer = {
    ...deps.writer,
    async write(lease, write) {
      const written = await deps.writer.write(lease, write);
      if (written.isEnded && written.queueLength > 0) await promote([lease.sessionId], false).catch(complain);
      return written;
    },
  };

  return {
    /** Writes as the given one, and begins the next turn of a session when one has ended. */
    writer,
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      let isMore = false;
      while (!signal.aborted) {
        if (!isMore) await deps.clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        isMore = await look().catch(complain);
      }
    },
  };
}
