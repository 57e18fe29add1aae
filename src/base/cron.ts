/** Cron expressions in a time zone, with summer time: the times at which something is due. */
import { Cron } from "croner";

export interface CronTimes {
  /** The first time after `at`; null when there is none any more. */
  next(at: Date): Date | null;
  /** The first so many after `at`. */
  nextMany(at: Date, count: number): Date[];
  /** The last so many before `at`, newest first. */
  previous(at: Date, count: number): Date[];
}

/**
 * @param expression  five fields (minute, hour, day, month, weekday), or seven: seconds in front, the year behind
 * @param timezone    IANA name: `Europe/Kyiv`
 * @returns what is wrong, in words, when it cannot be read
 */
export function parseCron(expression: string, timezone: string): CronTimes | string {
  const fields = expression.trim().split(/\s+/);
  if (fields.length !== 5 && fields.length !== 7) {
    return `a cron expression has 5 fields, or 7 with seconds and year; ${JSON.stringify(expression)} has ${fields.length}`;
  }
  if (!isTimezone(timezone)) return `${JSON.stringify(timezone)} is no IANA time zone such as Europe/Kyiv`;
  let cron: Cron;
  try {
    cron = new Cron(fields.join(" "), { timezone, mode: fields.length === 5 ? "5-part" : "7-part" });
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^CronPattern: /, "") : "malformed";
    return `the cron expression ${JSON.stringify(expression)} cannot be read: ${why}`;
  }
  return {
    next: (at) => cron.nextRun(at),
    nextMany: (at, count) => cron.nextRuns(count, at),
    previous: (at, count) => cron.previousRuns(count, at),
  };
}

export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
