/**
 * Schedules. Those of the organization are made over REST, those of a session by its agent; they stand in one table
 * and are fired by the same statement (fire.ts).
 */
import { toJsonText, wellFormed } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import type { ScheduleTarget } from "../../contract/schedule.ts";
import { assignments } from "../assign.ts";
import type { Db, Sql, TransactionSql } from "../pool.ts";
import type { Page, Slice } from "../search.ts";
import { isUniqueViolation } from "../sqlstate.ts";
import { transaction } from "../tx.ts";

export interface ScheduleFields {
  name: string | null;
  description: string | null;
  cron_expression: string | null;
  scheduled_at: Date | null;
  timezone: string;
  target: ScheduleTarget;
  enabled: boolean;
  catch_up_missed: boolean;
  max_catch_up: number | null;
  max_concurrent: number | null;
  retry_policy: unknown;
  next_trigger_at: Date | null;
}

export interface ScheduleRow extends ScheduleFields {
  id: string;
  organization_id: string;
  /** The session whose agent made it; null: the organization's own. */
  session_id: string | null;
  owner_principal_id: string;
  last_triggered_at: Date | null;
  trigger_count: number;
  created_at: Date;
  updated_at: Date;
}

export const SCHEDULE_COLUMNS = [
  "id",
  "organization_id",
  "session_id",
  "owner_principal_id",
  "name",
  "description",
  "cron_expression",
  "scheduled_at",
  "timezone",
  "target",
  "enabled",
  "catch_up_missed",
  "max_catch_up",
  "max_concurrent",
  "retry_policy",
  "next_trigger_at",
  "last_triggered_at",
  "trigger_count",
  "created_at",
  "updated_at",
] as const;

export type ScheduleCreated =
  | { outcome: "created"; schedule: ScheduleRow }
  | { outcome: "name_taken" }
  | { outcome: "too_many"; max: number };

/** One of the organization's own. */
export async function createSchedule(
  db: Db,
  input: { id: string; organizationId: string; ownerId: string; fields: ScheduleFields },
): Promise<ScheduleCreated> {
  const { organizationId } = input;
  try {
    return await transaction(db, async (sql): Promise<ScheduleCreated> => {
      const counted = await countSchedules(sql, organizationId);
      if (counted.all >= limits.schedulesMax) return { outcome: "too_many", max: limits.schedulesMax };
      return { outcome: "created", schedule: await insertSchedule(sql, { ...input, sessionId: null }) };
    });
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/** Locks the organization: whoever counts and then inserts does so alone. */
export async function countSchedules(
  sql: TransactionSql,
  organizationId: string,
): Promise<{ all: number; ofSessions: number }> {
  await sql`select from organizations where id = ${organizationId} for no key update`;
  const rows = await sql<{ all: number; of_sessions: number }[]>`
    select count(*) as all, count(*) filter (where session_id is not null and enabled) as of_sessions
      from schedules where organization_id = ${organizationId}`;
  return { all: rows[0]?.all ?? 0, ofSessions: rows[0]?.of_sessions ?? 0 };
}

export async function insertSchedule(
  sql: TransactionSql,
  input: {
    id: string;
    organizationId: string;
    sessionId: string | null;
    ownerId: string;
    fields: ScheduleFields;
  },
): Promise<ScheduleRow> {
  const { fields } = input;
  const rows = await sql<ScheduleRow[]>`
    insert into schedules (id, organization_id, session_id, owner_principal_id, name, description, cron_expression,
                           scheduled_at, timezone, target, enabled, catch_up_missed, max_catch_up, max_concurrent,
                           retry_policy, next_trigger_at)
    values (${input.id}, ${input.organizationId}, ${input.sessionId}, ${input.ownerId}, ${orNull(fields.name)},
            ${orNull(fields.description)}, ${fields.cron_expression}, ${fields.scheduled_at}, ${fields.timezone},
            ${toJsonText(fields.target)}::text::jsonb, ${fields.enabled}, ${fields.catch_up_missed},
            ${fields.max_catch_up}, ${fields.max_concurrent},
            ${fields.retry_policy == null ? null : toJsonText(fields.retry_policy)}::text::jsonb,
            ${fields.next_trigger_at})
    returning ${sql(SCHEDULE_COLUMNS)}`;
  return rows[0] as ScheduleRow;
}

const orNull = (text: string | null) => (text === null ? null : wellFormed(text));

/** Which schedules: the organization's own, or those of a session. */
export interface ScheduleScope {
  organizationId: string;
  sessionId: string | null;
}

const inScope = (sql: Sql, { organizationId, sessionId }: ScheduleScope) => sql`
  organization_id = ${organizationId} and session_id is not distinct from ${sessionId}`;

/** By name. */
export async function listSchedules(
  { sql }: Db,
  input: { organizationId: string; enabled: boolean | null; targetType: string | null } & Slice,
): Promise<Page<ScheduleRow>> {
  const wanted = sql`
    ${inScope(sql, { ...input, sessionId: null })}
    and ${input.enabled === null ? sql`true` : sql`enabled = ${input.enabled}`}
    and ${input.targetType === null ? sql`true` : sql`target ->> 'type' = ${input.targetType}`}`;
  const [rows, counted] = await Promise.all([
    sql<ScheduleRow[]>`
      select ${sql(SCHEDULE_COLUMNS)} from schedules
       where ${wanted} order by name limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from schedules where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Oldest first. */
export async function listSessionSchedules(
  { sql }: Db,
  scope: ScheduleScope & { sessionId: string },
): Promise<ScheduleRow[]> {
  return await sql<ScheduleRow[]>`
    select ${sql(SCHEDULE_COLUMNS)} from schedules where ${inScope(sql, scope)} order by created_at, id`;
}

export async function findSchedule(
  { sql }: Db,
  scope: ScheduleScope,
  id: string,
): Promise<ScheduleRow | null> {
  const rows = await sql<ScheduleRow[]>`
    select ${sql(SCHEDULE_COLUMNS)} from schedules where id = ${id} and ${inScope(sql, scope)}`;
  return rows[0] ?? null;
}

/** Changes what is named; undefined stays. @returns null when there is no such schedule */
export async function updateSchedule(
  { sql }: Db,
  scope: ScheduleScope,
  id: string,
  changes: Partial<ScheduleFields>,
): Promise<ScheduleRow | null> {
  const set = assignments(sql, { ...changes }, { target: "json", retry_policy: "json" });
  const rows = await sql<ScheduleRow[]>`
    update schedules set ${set === null ? sql`updated_at = updated_at` : sql`${set}, updated_at = now()`}
     where id = ${id} and ${inScope(sql, scope)}
    returning ${sql(SCHEDULE_COLUMNS)}`;
  return rows[0] ?? null;
}

/** With its executions. */
export async function deleteSchedule({ sql }: Db, scope: ScheduleScope, id: string): Promise<boolean> {
  const rows = await sql`delete from schedules where id = ${id} and ${inScope(sql, scope)} returning id`;
  return rows.length > 0;
}
