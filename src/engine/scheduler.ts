/**
 * Fires schedules that are due. Every worker looks each second; what one is busy with the others pass over, and a due
 * time is fired once, because the row that says so is written together with the message (db/schedules/fire.ts).
 */
import type { Clock } from "../base/clock.ts";
import { parseCron } from "../base/cron.ts";
import { describeError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { limits } from "../contract/limits.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import { settleExecutions } from "../db/schedules/executions.ts";
import { dueSchedules, fireSchedule } from "../db/schedules/fire.ts";
import type { ScheduleRow } from "../db/schedules/schedules.ts";

const EXECUTIONS_PER_LOOK = 500;

export function createScheduler(deps: { db: Db; clock: Clock; log: Log; hints: Hints }) {
  const fire = async (schedule: ScheduleRow, now: Date) => {
    const plan = planFire(schedule, now);
    if (plan === null) return;
    const fired = await fireSchedule(deps.db, { schedule, isManual: false, ...plan });
    const about = { schedule_id: schedule.id, due_at: plan.dueAt.toISOString() };
    if (fired.outcome === "fired") {
      deps.hints.publish({ sessions: [fired.sessionId], isQueued: fired.isQueued });
      deps.log.debug("a schedule was fired", { ...about, session_id: fired.sessionId });
    } else if (fired.outcome !== "stale") {
      deps.log.warn(`a schedule that was due is ${fired.outcome}`, { ...about, why: fired.error });
    }
  };

  /** @returns whether there may be more that is due */
  const look = async (): Promise<boolean> => {
    await settleExecutions(deps.db, EXECUTIONS_PER_LOOK);
    const { now, schedules } = await dueSchedules(deps.db, limits.schedulesPerLook);
    let fired = 0;
    for (const schedule of schedules) {
      try {
        await fire(schedule, now);
        fired += 1;
      } catch (error) {
        // One that cannot be fired must not keep the others from it.
        deps.log.warn("a schedule could not be fired; the next look tries again", {
          schedule_id: schedule.id,
          cause: describeError(error),
        });
      }
    }
    return fired === limits.schedulesPerLook;
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      let isMore = false;
      while (!signal.aborted) {
        if (!isMore) await deps.clock.sleep(limits.scheduleLookMs, signal);
        if (signal.aborted) return;
        isMore = await look().catch((error: unknown) => {
          deps.log.debug("schedules could not be looked at", { cause: describeError(error) });
          return false;
        });
      }
    },
  };
}

export interface FirePlan {
  dueAt: Date;
  nextAt: Date | null;
  /** Why the due time is passed over; null fires it. */
  skip: string | null;
}

/**
 * PURE: what becomes of a schedule's next due time. One that nobody fired for a minute was missed: it is made up for
 * when it is among the newest `max_catch_up` (1 when left out) of a schedule that catches up, and of one that is due
 * once. What is older than these is passed over with it, in one execution.
 *
 * @returns null when it is not due
 */
export function planFire(schedule: ScheduleRow, now: Date): FirePlan | null {
  const dueAt = schedule.next_trigger_at;
  if (dueAt === null || dueAt > now) return null;
  if (schedule.cron_expression === null) return { dueAt, nextAt: null, skip: null };
  const times = parseCron(schedule.cron_expression, schedule.timezone);
  if (typeof times === "string") return { dueAt, nextAt: null, skip: times };
  const missedBefore = new Date(now.getTime() - limits.scheduleMissedAfterMs);
  if (dueAt >= missedBefore) return { dueAt, nextAt: times.next(dueAt), skip: null };

  const made = schedule.catch_up_missed ? (schedule.max_catch_up ?? 1) : 0;
  const newest = made === 0 ? [] : times.previous(missedBefore, made);
  const first = newest.at(-1);
  if (first !== undefined && dueAt >= first) return { dueAt, nextAt: times.next(dueAt), skip: null };
  // `next` is after its argument: a due time at the very edge counts as not missed.
  const nextAt = first ?? times.next(new Date(missedBefore.getTime() - 1));
  return { dueAt, nextAt, skip: "it was missed: no worker was there when it was due" };
}
