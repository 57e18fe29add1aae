/** Schedules that the agent of a session has made for it. */
import { UserError } from "../../base/errors.ts";
import { SessionSchedule, UpdateSessionScheduleRequest } from "../../contract/schedule.ts";
import { Type } from "../../contract/schema.ts";
import { fireSchedule } from "../../db/schedules/fire.ts";
import {
  deleteSchedule,
  findSchedule,
  listSessionSchedules,
  type ScheduleRow,
  updateSchedule,
} from "../../db/schedules/schedules.ts";
import { nextTimeOf, sessionScheduleToWire } from "../../db/schedules/session-schedules.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

const PROBLEMS = ["invalid_id", "not_found"] as const;

export function sessionScheduleRoutes({
  db,
  hints,
  clock,
  caps,
}: Pick<ApiDeps, "db" | "hints" | "clock" | "caps">): Route[] {
  const scopeOf = async (organizationId: string, text: string) => {
    const sessionId = pathId("session", text);
    if (!(await findSession(db, organizationId, sessionId))) {
      throw new UserError("not_found", "Session not found");
    }
    return { organizationId, sessionId };
  };
  type Scope = Awaited<ReturnType<typeof scopeOf>>;
  const existing = async (scope: Scope, text: string): Promise<ScheduleRow> => {
    const schedule = await findSchedule(db, scope, pathId("sched", text));
    if (!schedule) throw noSchedule();
    return schedule;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/schedules",
      operationId: "list_session_schedules",
      tag: "schedules",
      sessionRight: "read",
      summary: "List the schedules of a session, oldest first",
      description:
        "Its agent makes them, with the capability `session_schedule`. When one is due the session gets its description as a " +
        "message, with a `schedule.triggered` before it, and a turn of its own.",
      responses: { 200: Type.Array(SessionSchedule) },
      problems: PROBLEMS,
      async run({ params, caller }) {
        const scope = await scopeOf(caller.organizationId, params.session_id);
        return reply(200, (await listSessionSchedules(db, scope)).map(sessionScheduleToWire));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/schedules/{schedule_id}",
      operationId: "get_session_schedule",
      tag: "schedules",
      sessionRight: "read",
      summary: "Read a schedule of a session",
      responses: { 200: SessionSchedule },
      problems: PROBLEMS,
      async run({ params, caller }) {
        const scope = await scopeOf(caller.organizationId, params.session_id);
        return reply(200, sessionScheduleToWire(await existing(scope, params.schedule_id)));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/sessions/{session_id}/schedules/{schedule_id}",
      operationId: "update_session_schedule",
      tag: "schedules",
      summary: "Switch a schedule of a session on or off",
      body: UpdateSessionScheduleRequest,
      responses: { 200: SessionSchedule },
      problems: [...PROBLEMS, "conflict"],
      async run({ params, body, caller }) {
        const scope = await scopeOf(caller.organizationId, params.session_id);
        const schedule = await existing(scope, params.schedule_id);
        if (body.enabled === schedule.enabled) return reply(200, sessionScheduleToWire(schedule));
        const next = body.enabled ? nextTimeOf(schedule, clock.now()) : null;
        if (body.enabled && next === null) throw new UserError("conflict", "the schedule's time is past");
        const changed = await updateSchedule(db, scope, schedule.id, {
          enabled: body.enabled,
          next_trigger_at: next,
        });
        if (!changed) throw noSchedule();
        return reply(200, sessionScheduleToWire(changed));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/sessions/{session_id}/schedules/{schedule_id}",
      operationId: "delete_session_schedule",
      tag: "schedules",
      summary: "Take a schedule of a session away",
      responses: { 204: null },
      problems: PROBLEMS,
      async run({ params, caller }) {
        const scope = await scopeOf(caller.organizationId, params.session_id);
        if (!(await deleteSchedule(db, scope, pathId("sched", params.schedule_id)))) throw noSchedule();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/schedules/{schedule_id}/trigger",
      operationId: "trigger_session_schedule",
      tag: "schedules",
      summary: "Fire a schedule of a session now; its own times stay as they are",
      responses: { 200: SessionSchedule },
      problems: [...PROBLEMS, "conflict"],
      async run({ params, caller }) {
        const scope = await scopeOf(caller.organizationId, params.session_id);
        const schedule = await existing(scope, params.schedule_id);
        await caps.admitTurn(caller.organizationId);
        const fired = await fireSchedule(db, {
          schedule,
          dueAt: clock.now(),
          isManual: true,
          nextAt: null,
          skip: null,
        });
        if (fired.outcome === "stale") throw noSchedule();
        if (fired.outcome !== "fired") throw new UserError("conflict", fired.error);
        hints.publish({ sessions: [fired.sessionId], isQueued: fired.isQueued });
        return reply(200, sessionScheduleToWire(await existing(scope, schedule.id)));
      },
    }),
  ];
}

const noSchedule = () => new UserError("not_found", "Schedule not found");
