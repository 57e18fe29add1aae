/** Tasks: work that sessions have handed out. */
import { UserError } from "../../base/errors.ts";
import { isId, newId } from "../../base/id.ts";
import { preview, wellFormed } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import { OneOf, type Static, Type } from "../../contract/schema.ts";
import {
  PostTaskMessageBody,
  SESSION_TASK_KINDS,
  SESSION_TASK_STATES,
  SessionTask,
  SessionTaskDetail,
  TaskMessage,
  type TaskMessagePart,
} from "../../contract/task.ts";
import { acceptMessage } from "../../db/accept.ts";
import { findSession } from "../../db/session-rows.ts";
import { cancelAbandonedTasks } from "../../db/tasks/settle.ts";
import {
  addTaskMessage,
  findTask,
  listTaskMessages,
  listTasks,
  requestTaskCancel,
  type TaskRow,
  taskToWire,
} from "../../db/tasks/tasks.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { publishAccepted } from "../sessions/messages.ts";

const PROBLEMS = ["invalid_id", "not_found"] as const;
const MADE_BY =
  "The capability `subagents` makes tasks, of the kind `subagent`: a child session does the work, and the call of the " +
  "parent's agent waits for it. Nothing makes tasks of the other kinds.";
const Filter = {
  state: Type.Optional(OneOf(SESSION_TASK_STATES)),
  kind: Type.Optional(OneOf(SESSION_TASK_KINDS)),
};
const Limit = Type.Optional(Type.Integer({ minimum: 1, maximum: limits.tasksListedMax }));

export function taskRoutes(deps: Pick<ApiDeps, "db" | "hints" | "clock">): Route[] {
  const { db, hints, clock } = deps;

  const refOf = (organizationId: string, params: { session_id: string; task_id: string }) => ({
    organizationId,
    sessionId: pathId("session", params.session_id),
    taskId: pathId("task", params.task_id),
  });
  const existing = async (ref: ReturnType<typeof refOf>): Promise<TaskRow> => {
    const task = await findTask(db, ref);
    if (!task) throw noTask();
    return task;
  };

  return [
    defineRoute({
      method: "GET",
      path: "/tasks",
      operationId: "list_org_tasks",
      tag: "tasks",
      summary: "List the tasks of the organization, newest first",
      description: MADE_BY,
      query: Type.Object({
        ...Filter,
        created_after: Type.Optional(Type.String({ maxLength: 64 })),
        root_session_id: Type.Optional(Type.String()),
        limit: Limit,
      }),
      responses: { 200: Type.Array(SessionTask) },
      problems: ["invalid_id"],
      async run({ query, caller }) {
        const rows = await listTasks(
          db,
          caller.organizationId,
          {
            state: query.state ?? null,
            kind: query.kind ?? null,
            sessionId: null,
            rootSessionId:
              query.root_session_id === undefined ? null : pathId("session", query.root_session_id),
            createdAfter: query.created_after === undefined ? null : timeOf(query.created_after),
          },
          query.limit ?? limits.tasksListedDefault,
        );
        return reply(200, rows.map(taskToWire));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/tasks",
      operationId: "list_tasks",
      tag: "tasks",
      sessionRight: "read",
      summary: "List the tasks that a session has handed out, newest first",
      description: MADE_BY,
      query: Type.Object(Filter),
      responses: { 200: Type.Array(SessionTask) },
      problems: PROBLEMS,
      async run({ params, query, caller: { organizationId } }) {
        const sessionId = pathId("session", params.session_id);
        if (!(await findSession(db, organizationId, sessionId)))
          throw new UserError("not_found", "Session not found");
        const filter = { state: query.state ?? null, kind: query.kind ?? null, sessionId };
        const rows = await listTasks(
          db,
          organizationId,
          { ...filter, rootSessionId: null, createdAfter: null },
          limits.tasksListedMax,
        );
        return reply(200, rows.map(taskToWire));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/tasks/{task_id}",
      operationId: "get_task",
      tag: "tasks",
      sessionRight: "read",
      summary: "Read a task and the messages to it",
      query: Type.Object({ after_id: Type.Optional(Type.String()), limit: Limit }),
      responses: { 200: SessionTaskDetail },
      problems: PROBLEMS,
      async run({ params, query, caller }) {
        const task = await existing(refOf(caller.organizationId, params));
        const messages = await listTaskMessages(db, task.id, {
          after: query.after_id === undefined ? null : pathId("tmsg", query.after_id),
          limit: query.limit ?? limits.tasksListedDefault,
        });
        return reply(200, { task: taskToWire(task), messages });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/tasks/{task_id}/cancel",
      operationId: "cancel_task",
      tag: "tasks",
      summary: "Cancel a task",
      description:
        "Answers with the task as it stands: it ends, as `canceled`, a moment after the turn that does it has stopped, and " +
        "its parent reads so. One that has ended stays as it is.",
      responses: { 200: SessionTask },
      problems: PROBLEMS,
      async run({ params, caller }) {
        const task = await requestTaskCancel(db, refOf(caller.organizationId, params));
        if (!task) throw noTask();
        if (task.finished_at === null) {
          const cancelled = await cancelAbandonedTasks(db, 1, clock.now(), task.id);
          hints.publish({ sessions: [task.child_session_id], cancelled });
        }
        return reply(200, taskToWire(task));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/tasks/{task_id}/messages",
      operationId: "post_task_message",
      tag: "tasks",
      summary: "Send a message to a task that goes on",
      description:
        "The subagent reads it at its next model call. `text`, or `content` with text and data (which it reads as JSON).",
      body: PostTaskMessageBody,
      responses: { 200: TaskMessage },
      problems: [...PROBLEMS, "limit_exceeded", "conflict"],
      async run({ params, body, caller: { organizationId } }) {
        const task = await existing(refOf(organizationId, params));
        const content = contentOf(body);
        const inReplyTo = body.in_reply_to ?? null;
        if (inReplyTo !== null && !isId("tmsg", inReplyTo)) {
          throw new UserError("invalid_id", "in_reply_to: tmsg_<32 hex digits> is expected");
        }
        if (task.finished_at !== null) throw new UserError("conflict", `the task has ended: ${task.state}`);
        const text = content
          .map((part) => (part.type === "text" ? part.text : JSON.stringify(part.data)))
          .join("\n\n");
        const accepted = await acceptMessage(db, {
          organizationId,
          sessionId: task.child_session_id,
          message: {
            id: newId("message"),
            role: "user",
            content: [{ type: "text", text }],
            created_at: clock.now().toISOString(),
            metadata: { source: "task", task_id: task.id },
          },
          controls: null,
          metadata: null,
          tags: null,
          clientMessageId: null,
          delivery: "steer",
          priority: 0,
          preview: preview(text, limits.previewChars),
        });
        if (accepted.outcome === "not_found") throw new UserError("conflict", "the task's session is gone");
        publishAccepted(hints, task.child_session_id, accepted);
        const message = await addTaskMessage(db, task, { content, inReplyTo, now: clock.now() });
        hints.publish({ sessions: [task.session_id] });
        return reply(200, message);
      },
    }),
  ];
}

const noTask = () => new UserError("not_found", "Task not found");

/** @throws UserError invalid_request */
function timeOf(text: string): Date {
  const time = new Date(text);
  if (!Number.isNaN(time.getTime())) return time;
  throw new UserError("invalid_request", "created_after: a time such as 2027-01-01T00:00:00Z is expected");
}

/** @throws UserError invalid_request, limit_exceeded */
function contentOf(body: Static<typeof PostTaskMessageBody>): TaskMessagePart[] {
  const parts: TaskMessagePart[] = [
    ...(body.text == null ? [] : [{ type: "text" as const, text: body.text }]),
    ...(body.content ?? []),
  ].map((part) => (part.type === "text" ? { type: "text", text: wellFormed(part.text) } : part));
  if (!parts.some((part) => part.type === "data" || part.text.trim() !== "")) {
    throw new UserError("invalid_request", "text, or content, is expected");
  }
  if (Buffer.byteLength(JSON.stringify(parts)) > limits.messageTextBytesMax) {
    throw new UserError("limit_exceeded", `content: at most ${limits.messageTextBytesMax} bytes`);
  }
  return parts;
}
