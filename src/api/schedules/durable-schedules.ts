/** Schedules of the organization, for its admins. The workers fire them. */
import { parseCron } from "../../base/cron.ts";
import { UserError } from "../../base/errors.ts";
import { newId, uuidOf } from "../../base/id.ts";
import { limits } from "../../contract/limits.ts";
import {
  CreateScheduleRequest,
  EXECUTION_STATUSES,
  ScheduleExecutionResponse,
  ScheduleExecutionsListResponse,
  ScheduleResponse,
  ScheduleStatsResponse,
  SchedulesListResponse,
  TriggerResponse,
  UpdateScheduleRequest,
} from "../../contract/schedule.ts";
import { OneOf, type Static, Type } from "../../contract/schema.ts";
import { executionStats, findExecution, listExecutions } from "../../db/schedules/executions.ts";
import { fireSchedule } from "../../db/schedules/fire.ts";
import {
  createSchedule,
  deleteSchedule,
  findSchedule,
  listSchedules,
  type ScheduleFields,
  type ScheduleRow,
  updateSchedule,
} from "../../db/schedules/schedules.ts";
import { nextTimeOf } from "../../db/schedules/session-schedules.ts";
import type { ApiDeps } from "../deps.ts";
import { PageQuery, page, present, reply, sliceOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { idOfUuid } from "../operations/_workflow-wire.ts";
import { executionToWire, scheduleToWire } from "./_schedule-wire.ts";
import { readTarget } from "./_target.ts";

const common = { tag: "durable", access: "admin" } as const;
const FIELD_PROBLEMS = ["limit_exceeded", "not_found"] as const;

export function durableScheduleRoutes(deps: Pick<ApiDeps, "db" | "hints" | "clock" | "caps">): Route[] {
  const { db, hints, clock } = deps;
  const own = (organizationId: string) => ({ organizationId, sessionId: null });

  const existing = async (organizationId: string, uuid: string): Promise<ScheduleRow> => {
    const schedule = await findSchedule(db, own(organizationId), idOfUuid("sched", uuid));
    if (!schedule) throw noSchedule();
    return schedule;
  };
  const change = async (schedule: ScheduleRow, changes: Partial<ScheduleFields>) => {
    const changed = await updateSchedule(db, own(schedule.organization_id), schedule.id, changes);
    if (!changed) throw noSchedule();
    return reply(200, scheduleToWire(changed));
  };

  return [
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/schedules",
      operationId: "list_schedules",
      summary: "List the organization's schedules by name",
      description:
        "Those that agents make for their sessions are not among them: `/v1/sessions/{session_id}/schedules`.",
      query: Type.Object({
        enabled: Type.Optional(Type.Boolean()),
        target_type: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: SchedulesListResponse },
      async run({ query, caller: { organizationId }, request }) {
        const { rows, total } = await listSchedules(db, {
          organizationId,
          enabled: query.enabled ?? null,
          targetType: query.target_type ?? null,
          ...sliceOf(query),
        });
        return reply(200, page(request, rows.map(scheduleToWire), total, sliceOf(query)));
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/schedules",
      operationId: "create_schedule",
      summary: "Create a schedule",
      description:
        "`cron_expression` has five fields, or seven with seconds in front and the year behind, in an IANA `timezone`. " +
        "The target is of type `workflow`: `session.run` with the input `{session_id, message?}` sends the message to the session, " +
        "`agent.run` with `{agent_id or agent_name, message?, title?}` to a new session of the agent; without a message " +
        "the description is sent, else the name. Each due time is fired once, by whichever worker comes first, and gets " +
        "a turn of its own, behind what the session works on. A due time that no worker was there for within a minute is skipped; " +
        "with `catch_up_missed` the newest `max_catch_up` (by default 1) of them are made up for. Past `max_concurrent` " +
        "executions under way a due time is skipped. `retry_policy` is kept and shown: the engine decides how often a turn is tried.",
      body: CreateScheduleRequest,
      responses: { 201: ScheduleResponse },
      problems: [...FIELD_PROBLEMS, "name_taken"],
      async run({ body, caller: { organizationId, principalId } }) {
        const enabled = body.enabled ?? true;
        const times = readTimes(body.cron_expression, body.timezone ?? "UTC");
        const created = await createSchedule(db, {
          id: newId("sched"),
          organizationId,
          ownerId: principalId,
          fields: {
            name: body.name,
            description: body.description ?? null,
            cron_expression: body.cron_expression,
            scheduled_at: null,
            timezone: body.timezone ?? "UTC",
            target: await readTarget(db, organizationId, body.target),
            enabled,
            catch_up_missed: body.catch_up_missed ?? false,
            max_catch_up: body.max_catch_up ?? null,
            max_concurrent: body.max_concurrent ?? null,
            retry_policy: readPolicy(body.retry_policy) ?? null,
            next_trigger_at: enabled ? times.next(clock.now()) : null,
          },
        });
        if (created.outcome === "name_taken") {
          throw new UserError("name_taken", `there is another schedule with the name ${body.name}`);
        }
        if (created.outcome === "too_many") {
          throw new UserError("limit_exceeded", `an organization has at most ${created.max} schedules`);
        }
        return reply(201, scheduleToWire(created.schedule));
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/schedules/{schedule_id}",
      operationId: "get_schedule",
      summary: "Read a schedule",
      responses: { 200: ScheduleResponse },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, scheduleToWire(await existing(caller.organizationId, params.schedule_id))),
    }),
    defineRoute({
      ...common,
      method: "PATCH",
      path: "/durable/schedules/{schedule_id}",
      operationId: "update_schedule",
      summary: "Change some fields of a schedule",
      description:
        "Absent fields stay. Null empties `description`, `max_catch_up`, `max_concurrent` and `retry_policy`, and means " +
        "nothing for the others. A change of the times, or of `enabled`, counts from now on.",
      body: UpdateScheduleRequest,
      responses: { 200: ScheduleResponse },
      problems: ["invalid_id", ...FIELD_PROBLEMS],
      async run({ params, body, caller: { organizationId } }) {
        const schedule = await existing(organizationId, params.schedule_id);
        return change(schedule, await readChanges(deps, schedule, body));
      },
    }),
    defineRoute({
      ...common,
      method: "DELETE",
      path: "/durable/schedules/{schedule_id}",
      operationId: "delete_schedule",
      summary: "Delete a schedule and its executions; turns that it began go on",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const id = idOfUuid("sched", params.schedule_id);
        if (!(await deleteSchedule(db, own(caller.organizationId), id))) throw noSchedule();
        return reply(204, null);
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/schedules/{schedule_id}/pause",
      operationId: "pause_schedule",
      summary: "Switch a schedule off",
      responses: { 200: ScheduleResponse },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        change(await existing(caller.organizationId, params.schedule_id), {
          enabled: false,
          next_trigger_at: null,
        }),
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/schedules/{schedule_id}/resume",
      operationId: "resume_schedule",
      summary: "Switch a schedule on: it is due at its next time from now",
      responses: { 200: ScheduleResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const schedule = await existing(caller.organizationId, params.schedule_id);
        if (schedule.enabled) return reply(200, scheduleToWire(schedule));
        return change(schedule, { enabled: true, next_trigger_at: nextTimeOf(schedule, clock.now()) });
      },
    }),
    defineRoute({
      ...common,
      method: "POST",
      path: "/durable/schedules/{schedule_id}/trigger",
      operationId: "trigger_schedule",
      summary: "Fire a schedule now; its own times stay as they are",
      description: "What has become of it is in its execution: also that it could not be fired.",
      responses: { 200: TriggerResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const schedule = await existing(caller.organizationId, params.schedule_id);
        await deps.caps.admitTurn(caller.organizationId);
        const fired = await fireSchedule(db, {
          schedule,
          dueAt: clock.now(),
          isManual: true,
          nextAt: null,
          skip: null,
        });
        if (fired.outcome === "stale") throw noSchedule();
        if (fired.outcome === "fired") {
          hints.publish({ sessions: [fired.sessionId], isQueued: fired.isQueued });
        }
        return reply(200, { execution_id: uuidOf(fired.executionId) });
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/schedules/{schedule_id}/stats",
      operationId: "get_schedule_stats",
      summary: "What became of a schedule's due times, in numbers",
      description: `Of the newest ${limits.scheduleExecutionsKept} executions: older ones are not kept.`,
      responses: { 200: ScheduleStatsResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const schedule = await existing(caller.organizationId, params.schedule_id);
        const stats = await executionStats(db, schedule.id);
        return reply(
          200,
          present({
            total_executions: stats.total,
            successful_executions: stats.completed,
            failed_executions: stats.failed,
            skipped_executions: stats.skipped,
            avg_duration_ms: stats.average_ms,
            last_execution_status: stats.last_status,
          }),
        );
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/schedules/{schedule_id}/executions",
      operationId: "list_schedule_executions",
      summary: "List what became of a schedule's due times, the last due first",
      query: Type.Object({ status: Type.Optional(OneOf(EXECUTION_STATUSES)), ...PageQuery }),
      responses: { 200: ScheduleExecutionsListResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller, request }) {
        const schedule = await existing(caller.organizationId, params.schedule_id);
        const { rows, total } = await listExecutions(db, {
          scheduleId: schedule.id,
          status: query.status ?? null,
          ...sliceOf(query),
        });
        return reply(200, page(request, rows.map(executionToWire), total, sliceOf(query)));
      },
    }),
    defineRoute({
      ...common,
      method: "GET",
      path: "/durable/executions/{execution_id}",
      operationId: "get_execution",
      summary: "Read what became of one due time",
      responses: { 200: ScheduleExecutionResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const execution = await findExecution(
          db,
          caller.organizationId,
          idOfUuid("sexec", params.execution_id),
        );
        if (!execution) throw new UserError("not_found", "Execution not found");
        return reply(200, executionToWire(execution));
      },
    }),
  ];
}

const noSchedule = () => new UserError("not_found", "Schedule not found");

/** @throws UserError invalid_request */
function readTimes(cron: string, timezone: string) {
  const times = parseCron(cron, timezone);
  if (typeof times === "string") throw new UserError("invalid_request", times);
  return times;
}

/** @throws UserError limit_exceeded */
function readPolicy(policy: unknown): unknown {
  if (Buffer.byteLength(JSON.stringify(policy ?? null)) > limits.metadataBytesMax) {
    throw new UserError("limit_exceeded", `retry_policy: at most ${limits.metadataBytesMax} bytes of JSON`);
  }
  return policy;
}

async function readChanges(
  { db, clock }: Pick<ApiDeps, "db" | "clock">,
  schedule: ScheduleRow,
  body: Static<typeof UpdateScheduleRequest>,
): Promise<Partial<ScheduleFields>> {
  const changes: Partial<ScheduleFields> = {};
  if (body.description !== undefined) changes.description = body.description;
  if (body.max_catch_up !== undefined) changes.max_catch_up = body.max_catch_up;
  if (body.max_concurrent !== undefined) changes.max_concurrent = body.max_concurrent;
  if (body.retry_policy !== undefined) changes.retry_policy = readPolicy(body.retry_policy);
  if (body.catch_up_missed != null) changes.catch_up_missed = body.catch_up_missed;
  if (body.target != null) changes.target = await readTarget(db, schedule.organization_id, body.target);
  if (body.cron_expression == null && body.timezone == null && body.enabled == null) return changes;
  const cron = body.cron_expression ?? schedule.cron_expression ?? "";
  const timezone = body.timezone ?? schedule.timezone;
  const enabled = body.enabled ?? schedule.enabled;
  const times = readTimes(cron, timezone);
  const next_trigger_at = enabled ? times.next(clock.now()) : null;
  return { ...changes, cron_expression: cron, timezone, enabled, next_trigger_at };
}
