/**
 * Ends waits whose time is up: a timer fires, a client or a person did not answer. Every worker looks; rows that
 * another one is busy with are skipped, and a wait is settled once whoever comes first. Nothing is kept in memory, so
 * a timer fires although every process that knew of it is gone.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import {
  closeOrphanedWaits,
  type DueWait,
  dueWaits,
  type Settlement,
  settledWith,
  settleWaits,
} from "../db/waits.ts";

const LOOK_MS = 250;
/** What one look settles at most, in one statement. */
const WAITS_PER_LOOK = 200;

export function createAlarm(deps: { db: Db; clock: Clock; log: Log; hints: Hints }) {
  /** @returns whether there may be more that is due */
  const look = async (): Promise<boolean> => {
    const due = await dueWaits(deps.db, WAITS_PER_LOOK);
    if (due.length === 0) return false;
    const now = deps.clock.now();
    const settled = await settleWaits(
      deps.db.sql,
      due.map((wait) => endingOf(wait, now)),
      { onlyDue: true },
    );
    if (settled.length > 0) {
      deps.hints.publish({
        sessions: settled.map((run) => run.sessionId),
        isQueued: settled.some((run) => run.isResumed),
      });
    }
    const ids = new Set(settled.flatMap((run) => run.toolCallIds.map((id) => `${run.runId} ${id}`)));
    await closeOrphanedWaits(
      deps.db,
      due.filter((wait) => !ids.has(`${wait.runId} ${wait.toolCallId}`)),
    );
    return due.length === WAITS_PER_LOOK && settled.length > 0;
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      let isMore = false;
      while (!signal.aborted) {
        if (!isMore) await deps.clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        isMore = await look().catch((error: unknown) => {
          deps.log.debug("waits that are due could not be ended", { cause: describeError(error) });
          return false;
        });
      }
    },
  };
}

/** PURE: what becomes of a wait when its time is up. */
export function endingOf(wait: DueWait, now: Date): Settlement {
  switch (wait.kind) {
    case "timer":
      return settledWith(wait, "settled", {
        ok: true,
        text: `Waited ${wait.seconds} s. It is ${now.toISOString()} now.`,
      });
    case "client_tool":
      return settledWith(wait, "expired", {
        ok: false,
        status: "timeout",
        error: `The client did not answer this call within ${wait.seconds} s.`,
      });
    case "approval":
      return settledWith(wait, "expired", {
        ok: false,
        status: "timeout",
        error: `Nobody decided within ${wait.seconds} s whether this call may run. It did not run.`,
      });
    case "subagent":
      return settledWith(wait, "expired", {
        ok: false,
        status: "timeout",
        error: `There was no answer within ${wait.seconds} s.`,
      });
    case "budget":
      // The run looks at its budget again by itself.
      return {
        ...settledWith(wait, "expired", { ok: true, text: "" }),
        result: null,
      };
  }
}
