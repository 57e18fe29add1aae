/**
 * Keeps tasks moving: ends those whose turn has ended, gives what came of them to the call that waits, and cancels
 * those that nobody waits for. Every worker looks; nothing is kept in memory, so a task ends although every process
 * that knew of it is gone.
 */
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import { cancelAbandonedTasks, endTasks, hasOpenTasks, settleTaskWaits } from "../db/tasks/settle.ts";

const LOOK_MS = 250;
const TASKS_PER_LOOK = 100;

export function createTaskKeeper(deps: { db: Db; clock: Clock; log: Log; hints: Hints }) {
  const { db, hints } = deps;

  const look = async () => {
    if (!(await hasOpenTasks(db))) return;
    const cancelled = await cancelAbandonedTasks(db, TASKS_PER_LOOK, deps.clock.now());
    const ended = await endTasks(db, TASKS_PER_LOOK);
    const settled = await settleTaskWaits(db, TASKS_PER_LOOK);
    if (cancelled.length + ended.length + settled.length === 0) return;
    hints.publish({
      sessions: [...ended.map((task) => task.session_id), ...settled.map((run) => run.sessionId)],
      cancelled,
      isQueued: settled.some((run) => run.isResumed),
    });
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      while (!signal.aborted) {
        await deps.clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        await look().catch((error: unknown) => {
          deps.log.debug("tasks could not be looked after", { cause: describeError(error) });
        });
      }
    },
  };
}
