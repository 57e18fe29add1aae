/** Schedules that the agent of a session makes for it: it is told something at certain times. */
import { parseCron } from "../../base/cron.ts";
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { type SessionSchedule, TARGET_TYPE } from "../../contract/schedule.ts";
import type { NewSessionSchedule, ScheduleStore } from "../../contract/schedule-store.ts";
import type { Db, TransactionSql } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";
import { transaction } from "../tx.ts";
import {
  countSchedules,
  deleteSchedule,
  insertSchedule,
  listSessionSchedules,
  SCHEDULE_COLUMNS,
  type ScheduleFields,
  type ScheduleRow,
} from "./schedules.ts";

/** Due times that are looked at to find two that lie too close together. */
const TIMES_LOOKED_AT = 100;

/** The store of each session. */
export function createScheduleStores(db: Db) {
  return (scope: { organizationId: string; sessionId: string }): ScheduleStore => ({
    async create(schedule) {
      const fields = fieldsOf(schedule, scope.sessionId, new Date());
      const id = `sched_${new Bun.CryptoHasher("sha256").update(schedule.idempotencyKey).digest("hex").slice(0, 32)}`;
      return await transaction(db, async (sql) =>
        sessionScheduleToWire(await createOnce(sql, scope, id, fields)),
      ).catch((error) => {
        throw asRetryable(error);
      });
    },
    list: async () => (await listSessionSchedules(db, scope)).map(sessionScheduleToWire),
    cancel: (id) => deleteSchedule(db, scope, id),
  });
}

async function createOnce(
  sql: TransactionSql,
  scope: { organizationId: string; sessionId: string },
  id: string,
  fields: ScheduleFields,
): Promise<ScheduleRow> {
  const { organizationId, sessionId } = scope;
  const counted = await countSchedules(sql, organizationId);
  const [known] = await sql<ScheduleRow[]>`
    select ${sql(SCHEDULE_COLUMNS)} from schedules where id = ${id} and session_id = ${sessionId}`;
  if (known) return known;
  const [session] = await sql<{ owner_principal_id: string; own: number }[]>`
    select owner_principal_id,
           (select count(*) from schedules where session_id = sessions.id and enabled) as own
      from sessions
     where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null`;
  if (!session) throw new UserError("not_found", "the session does not exist any more");
  if (session.own >= limits.sessionSchedulesPerSession) {
    throw new UserError(
      "limit_exceeded",
      `a session has at most ${limits.sessionSchedulesPerSession} schedules; cancel one`,
    );
  }
  if (counted.ofSessions >= limits.sessionSchedulesPerOrganization) {
    throw new UserError(
      "limit_exceeded",
      `the sessions of an organization have at most ${limits.sessionSchedulesPerOrganization} schedules together`,
    );
  }
  return insertSchedule(sql, { id, organizationId, sessionId, ownerId: session.owner_principal_id, fields });
}

/** @throws UserError invalid_request, limit_exceeded */
function fieldsOf(schedule: NewSessionSchedule, sessionId: string, now: Date): ScheduleFields {
  const { cronExpression, scheduledAt, timezone } = schedule;
  if ((cronExpression === null) === (scheduledAt === null)) {
    throw new UserError("invalid_request", "either cron_expression or scheduled_at is expected");
  }
  return {
    name: null,
    description: schedule.description,
    cron_expression: cronExpression,
    scheduled_at: scheduledAt,
    timezone,
    target: { type: TARGET_TYPE, name: "session.run", input: { session_id: sessionId } },
    enabled: true,
    catch_up_missed: true,
    max_catch_up: 1,
    max_concurrent: null,
    retry_policy: null,
    next_trigger_at: firstTime(cronExpression, scheduledAt, timezone, now),
  };
}

function firstTime(cron: string | null, at: Date | null, timezone: string, now: Date): Date {
  if (cron === null) {
    if (at === null || at <= now)
      throw new UserError("invalid_request", "scheduled_at lies in the past; choose a later time");
    return at;
  }
  const times = parseCron(cron, timezone);
  if (typeof times === "string") throw new UserError("invalid_request", times);
  const next = times.nextMany(now, TIMES_LOOKED_AT);
  const [first] = next;
  if (first === undefined) throw new UserError("invalid_request", `${cron} never comes`);
  const seconds = limits.sessionScheduleIntervalSecondsMin;
  if (next.some((time, index) => index > 0 && time.getTime() - Number(next[index - 1]) < seconds * 1_000)) {
    throw new UserError("limit_exceeded", `two due times of ${cron} are less than ${seconds} seconds apart`);
  }
  return first;
}

/**
 * When a schedule that is switched on is due first.
 *
 * @returns null when its time is past
 */
export function nextTimeOf(
  schedule: Pick<ScheduleFields, "cron_expression" | "scheduled_at" | "timezone">,
  now: Date,
): Date | null {
  const { cron_expression: cron, scheduled_at: at, timezone } = schedule;
  if (cron === null) return at !== null && at > now ? at : null;
  const times = parseCron(cron, timezone);
  return typeof times === "string" ? null : times.next(now);
}

export function sessionScheduleToWire(row: ScheduleRow): SessionSchedule {
  const { cron_expression, scheduled_at, next_trigger_at, last_triggered_at } = row;
  return {
    id: row.id,
    session_id: row.session_id ?? "",
    owner_principal_id: row.owner_principal_id,
    description: row.description ?? "",
    schedule_type: cron_expression === null ? "oneshot" : "recurring",
    ...(cron_expression === null ? {} : { cron_expression }),
    ...(scheduled_at === null ? {} : { scheduled_at: scheduled_at.toISOString() }),
    timezone: row.timezone,
    enabled: row.enabled,
    ...(next_trigger_at === null ? {} : { next_trigger_at: next_trigger_at.toISOString() }),
    ...(last_triggered_at === null ? {} : { last_triggered_at: last_triggered_at.toISOString() }),
    trigger_count: row.trigger_count,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}
