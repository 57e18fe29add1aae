/**
 * A session's schedules as its agent's tools see them. The db room implements it, the capabilities room uses it;
 * neither may import the other, so the promise between them stands here.
 */
import type { SessionSchedule } from "./schedule.ts";

export interface NewSessionSchedule {
  /** What the agent is told when it is due. */
  description: string;
  /** Exactly one of the two. */
  cronExpression: string | null;
  scheduledAt: Date | null;
  /** IANA name. */
  timezone: string;
  /** A creation under the same key answers with the first one's schedule. */
  idempotencyKey: string;
}

/** Every method throws UserError for what the caller can mend, RetryableError when the database cannot be reached. */
export interface ScheduleStore {
  create(schedule: NewSessionSchedule): Promise<SessionSchedule>;
  /** Oldest first. */
  list(): Promise<SessionSchedule[]>;
  /** @returns false when the session has no such schedule */
  cancel(id: string): Promise<boolean>;
}
