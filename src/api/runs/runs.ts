import { UserError } from "../../base/errors.ts";
import { RUN_STATUSES, RUN_WAITS, Run, type Step } from "../../contract/run.ts";
import { List, OneOf, Type } from "../../contract/schema.ts";
import { listRuns, type RunRow, readRun, type StepRow } from "../../db/run-lists.ts";
import { findSession } from "../../db/session-rows.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, PageQuery, page, present, reply, sliceOf, usageOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

const RunQuery = {
  status: Type.Optional(Type.Array(OneOf(RUN_STATUSES), { description: "May be repeated." })),
  waiting_on: Type.Optional(OneOf(RUN_WAITS)),
  worker_id: Type.Optional(Type.String()),
  ...PageQuery,
};

/** Runs: what the turns of the sessions are doing, and what they did. */
export function runRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/runs",
      operationId: "list_runs",
      tag: "runs",
      summary: "List runs, newest first",
      query: Type.Object({
        agent_id: Type.Optional(Type.String()),
        session_id: Type.Optional(Type.String()),
        ...RunQuery,
      }),
      responses: { 200: List(Run) },
      problems: ["invalid_id"],
      async run({ query, caller, request }) {
        const slice = sliceOf(query);
        const { rows, total } = await listRuns(db, {
          organizationId: caller.organizationId,
          filter: {
            statuses: query.status ?? null,
            waitingOn: query.waiting_on ?? null,
            workerId: query.worker_id ?? null,
            agentId: query.agent_id === undefined ? null : pathId("agent", query.agent_id),
            sessionId: query.session_id === undefined ? null : pathId("session", query.session_id),
          },
          ...slice,
        });
        return reply(200, page(request, rows.map(runToWire), total, slice));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/runs/{turn_id}",
      operationId: "get_run",
      tag: "runs",
      summary: "Read a run with its steps",
      responses: { 200: Run },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const run = await readRun(db, caller.organizationId, pathId("turn", params.turn_id));
        if (!run) throw new UserError("not_found", "Run not found");
        return reply(200, runWithSteps(run));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/runs",
      sessionRight: "read",
      operationId: "list_session_runs",
      tag: "runs",
      summary: "List the runs of a session, newest first",
      query: Type.Object(RunQuery),
      responses: { 200: List(Run) },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller: { organizationId }, request }) {
        const sessionId = pathId("session", params.session_id);
        if (!(await findSession(db, organizationId, sessionId))) {
          throw new UserError("not_found", "Session not found");
        }
        const slice = sliceOf(query);
        const { rows, total } = await listRuns(db, {
          organizationId,
          filter: {
            statuses: query.status ?? null,
            waitingOn: query.waiting_on ?? null,
            workerId: query.worker_id ?? null,
            agentId: null,
            sessionId,
          },
          ...slice,
        });
        return reply(200, page(request, rows.map(runToWire), total, slice));
      },
    }),
  ];
}

export function runWithSteps(row: RunRow & { steps: StepRow[] }): Run {
  return { ...runToWire(row), steps: row.steps.map(stepToWire) };
}

export function runToWire(row: RunRow): Run {
  const isTaken = row.attempt > 0;
  return present({
    id: row.id,
    session_id: row.session_id,
    agent_id: row.agent_id,
    organization_id: row.organization_id,
    status: row.state,
    waiting_on: row.waiting_on,
    stuck_reason: row.stuck_reason,
    priority: row.priority,
    attempt: row.attempt,
    worker_id: row.lease_owner,
    lease_expires_at: isoOrNull(row.lease_expires_at),
    available_at: iso(row.available_at),
    input_message_id: row.input_message_id,
    retried_run_id: row.retried_run_id,
    final_message_id: row.final_message_id,
    error_code: row.error_code,
    error: row.error,
    iterations: row.iterations,
    usage: isTaken ? usageOf(row) : null,
    cost_usd: isTaken ? row.cost_usd : null,
    queued_at: iso(row.queued_at),
    started_at: isoOrNull(row.started_at),
    finished_at: isoOrNull(row.finished_at),
    time_to_first_token_ms: row.time_to_first_token_ms,
  });
}

function stepToWire(row: StepRow): Step {
  return present({
    name: row.name,
    kind: row.kind,
    tool_name: row.tool_name,
    effect: row.effect,
    idempotency_key: row.idempotency_key,
    status: row.status,
    attempt: row.attempt,
    started_at: iso(row.started_at),
    finished_at: isoOrNull(row.finished_at),
    duration_ms:
      row.finished_at === null ? null : Math.max(0, row.finished_at.getTime() - row.started_at.getTime()),
    usage: row.usage,
    error: row.error,
    settlement:
      row.settlement === null
        ? null
        : { ...row.settlement, settled_at: iso(new Date(row.settlement.settled_at)) },
  });
}
