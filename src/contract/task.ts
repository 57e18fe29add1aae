/** Tasks: work that a session has handed out. */
import { limits } from "./limits.ts";
import { Id, JsonObject, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const SESSION_TASK_STATES = [
  "queued",
  "running",
  "awaiting_input",
  "succeeded",
  "failed",
  "canceled",
] as const;
export type SessionTaskState = (typeof SESSION_TASK_STATES)[number];

/** `subagent` is the one that something makes. */
export const SESSION_TASK_KINDS = ["subagent", "external_agent", "background_tool", "monitor"] as const;

export const SessionTask = Type.Object({
  id: Id("task"),
  session_id: Id("session"),
  kind: OneOf(SESSION_TASK_KINDS),
  display_name: Type.String(),
  state: OneOf(SESSION_TASK_STATES),
  spec: Type.Optional(JsonObject),
  wake_policy: Type.Optional(OneOf(["silent", "on_terminal", "on_activity"])),
  links: Type.Optional(Type.Object({ child_session_id: Type.Optional(Id("session")) })),
  /** Of what came of it, in a few words. */
  summary: Type.Optional(Type.String()),
  error: Type.Optional(Type.Object({ kind: Type.String(), message: Type.String() })),
  cancel_requested_at: Type.Optional(Timestamp),
  started_at: Type.Optional(Timestamp),
  finished_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type SessionTask = Static<typeof SessionTask>;

export const TaskMessagePart = Type.Union([
  Type.Object({ type: OneOf(["text"]), text: Type.String() }),
  Type.Object({ type: OneOf(["data"]), data: JsonObject }),
]);
export type TaskMessagePart = Static<typeof TaskMessagePart>;

export const TaskMessage = Type.Object({
  id: Id("tmsg"),
  task_id: Id("task"),
  /** inbound: to the task. */
  direction: OneOf(["inbound", "outbound"]),
  content: Type.Array(TaskMessagePart),
  in_reply_to: Type.Optional(Id("tmsg")),
  created_at: Timestamp,
});
export type TaskMessage = Static<typeof TaskMessage>;

export const SessionTaskDetail = Type.Object({ task: SessionTask, messages: Type.Array(TaskMessage) });

export const PostTaskMessageBody = Type.Object({
  text: Maybe(Type.String({ maxLength: 100_000 })),
  content: Maybe(Type.Array(TaskMessagePart, { maxItems: 100 })),
  in_reply_to: Maybe(Type.String({ maxLength: 100 })),
});

export const CreateTaskWebhookRequest = Type.Object({
  url: Type.String({ minLength: 1, maxLength: limits.urlCharsMax }),
  enabled: Type.Optional(Type.Boolean()),
  /** One is made, and shown once, when it is left out. */
  secret: Maybe(Type.String({ minLength: 16, maxLength: 200 })),
});

export const UpdateTaskWebhookRequest = Type.Object({
  url: Maybe(Type.String({ minLength: 1, maxLength: limits.urlCharsMax })),
  enabled: Maybe(Type.Boolean()),
  secret: Maybe(Type.String({ minLength: 16, maxLength: 200 })),
});

export const TaskWebhookResponse = Type.Object({
  id: Id("wh"),
  url: Type.String(),
  enabled: Type.Boolean(),
  has_secret: Type.Boolean(),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type TaskWebhookResponse = Static<typeof TaskWebhookResponse>;

/** The secret is in the answer to its creation only, when the server made it. */
export const CreatedTaskWebhook = Type.Intersect([
  TaskWebhookResponse,
  Type.Object({ secret: Type.Optional(Type.String()) }),
]);
