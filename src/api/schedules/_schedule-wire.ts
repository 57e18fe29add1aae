import { uuidOf } from "../../base/id.ts";
import type { ScheduleExecutionResponse, ScheduleResponse } from "../../contract/schedule.ts";
import type { ExecutionRow } from "../../db/schedules/executions.ts";
import type { ScheduleRow } from "../../db/schedules/schedules.ts";
import { iso, isoOrNull, present } from "../http/respond.ts";

export function scheduleToWire(row: ScheduleRow): ScheduleResponse {
  return present({
    id: uuidOf(row.id),
    name: row.name ?? "",
    description: row.description,
    cron_expression: row.cron_expression ?? "",
    timezone: row.timezone,
    target: row.target,
    enabled: row.enabled,
    catch_up_missed: row.catch_up_missed,
    max_catch_up: row.max_catch_up,
    max_concurrent: row.max_concurrent,
    retry_policy: row.retry_policy ?? undefined,
    next_trigger_at: isoOrNull(row.next_trigger_at),
    last_triggered_at: isoOrNull(row.last_triggered_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  }) as ScheduleResponse;
}

export function executionToWire(row: ExecutionRow): ScheduleExecutionResponse {
  const turn = row.turn_id === null ? null : uuidOf(row.turn_id);
  return present({
    id: uuidOf(row.id),
    schedule_id: uuidOf(row.schedule_id),
    scheduled_at: iso(row.scheduled_at),
    started_at: iso(row.started_at),
    completed_at: isoOrNull(row.completed_at),
    duration_ms:
      row.completed_at === null ? null : Math.max(0, row.completed_at.getTime() - row.started_at.getTime()),
    status: row.status,
    error: row.error,
    workflow_id: turn,
    task_id: turn,
    created_at: iso(row.created_at),
  });
}
