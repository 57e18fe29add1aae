/** Tasks, for operators: what the workers claim and are to claim. */
import { UserError } from "../../base/errors.ts";
import { newId, uuidOf } from "../../base/id.ts";
import { preview } from "../../base/json.ts";
import {
  EnqueueTaskRequest,
  EnqueueTaskResponse,
  TASK_STATUSES,
  TasksListResponse,
} from "../../contract/durable.ts";
import { limits } from "../../contract/limits.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { acceptMessage } from "../../db/accept.ts";
import { listRuns, readRun } from "../../db/run-lists.ts";
import type { ApiDeps } from "../deps.ts";
import { PageQuery, page, reply, sliceOf } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { publishAccepted } from "../sessions/messages.ts";
import { idField, messageField, objectInput } from "./_turn-input.ts";
import { ALL_TASK_STATES, idOfUuid, STATES_OF_TASK, TURN, taskToWire } from "./_workflow-wire.ts";

export function durableTaskRoutes({
  db,
  hints,
  clock,
  caps,
}: Pick<ApiDeps, "db" | "hints" | "clock" | "caps">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/durable/tasks",
      operationId: "list_tasks",
      tag: "durable",
      summary: "List what workers claim and are to claim, newest first",
      description:
        "A task is a run of the organization as a worker sees it, so each workflow has one, with the same id; a run that " +
        "waits for somebody has none meanwhile. There is one `activity_type`, `turn`. A sealed run is `dead`.",
      access: "admin",
      query: Type.Object({
        status: Type.Optional(OneOf(TASK_STATUSES)),
        activity_type: Type.Optional(Type.String()),
        workflow_id: Type.Optional(Type.String()),
        ...PageQuery,
      }),
      responses: { 200: TasksListResponse },
      problems: ["invalid_id"],
      async run({ query, caller: { organizationId }, request }) {
        if (query.activity_type !== undefined && query.activity_type !== TURN) {
          return reply(200, page(request, [], 0, sliceOf(query)));
        }
        const states = query.status === undefined ? ALL_TASK_STATES : STATES_OF_TASK[query.status];
        if (query.workflow_id !== undefined) {
          const run = await readRun(db, organizationId, idOfUuid("turn", query.workflow_id));
          const data = run && states.includes(run.state) ? [taskToWire(run)] : [];
          return reply(200, page(request, data, data.length, sliceOf(query)));
        }
        const { rows, total } = await listRuns(db, {
          organizationId,
          filter: { statuses: states, agentId: null, sessionId: null, workerId: null, waitingOn: null },
          ...sliceOf(query),
        });
        return reply(200, page(request, rows.map(taskToWire), total, sliceOf(query)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/durable/tasks",
      operationId: "enqueue_task",
      tag: "durable",
      summary: "Enqueue a turn",
      description:
        "The engine knows one `activity_type`, `turn`, with the input `{session_id, message}`: the session gets the " +
        "message and a turn of its own for it, behind what it is working on. Any other type is refused. " +
        "`options.priority` orders it among the organization's runs; the engine decides itself how often it is tried.",
      access: "admin",
      body: EnqueueTaskRequest,
      responses: { 201: EnqueueTaskResponse },
      problems: ["limit_exceeded", "not_found", "queue_full"],
      async run({ body, caller: { organizationId } }) {
        if (body.activity_type !== TURN) {
          throw new UserError("invalid_request", `activity_type: the engine knows "${TURN}" only`);
        }
        const input = objectInput(body.input);
        const sessionId = idField(input, "session_id", "session");
        const text = messageField(input, null);
        await caps.admitMessage(organizationId, { sessionId, clientMessageId: null });
        const accepted = await acceptMessage(db, {
          organizationId,
          sessionId,
          message: {
            id: newId("message"),
            role: "user",
            content: [{ type: "text", text }],
            created_at: clock.now().toISOString(),
          },
          controls: null,
          metadata: null,
          tags: null,
          clientMessageId: null,
          delivery: "queue",
          priority: body.options?.priority ?? 0,
          preview: preview(text, limits.previewChars),
        });
        if (accepted.outcome === "not_found") throw new UserError("not_found", "Session not found");
        if (accepted.outcome === "queue_full" || accepted.outcome === "busy") {
          throw new UserError(
            "queue_full",
            `${limits.queuedMessagesMax} messages wait in this session already`,
          );
        }
        publishAccepted(hints, sessionId, accepted);
        return reply(201, { task_id: uuidOf(accepted.turnId) });
      },
    }),
  ];
}
