import { Run } from "./run.ts";
import { Id, JsonObject, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const TextPart = Type.Object({ type: Type.Literal("text"), text: Type.String() });

/** An image by address or inline; exactly one of `url` and `base64` is meaningful, `base64` wins. */
export const ImagePart = Type.Object({
  type: Type.Literal("image"),
  url: Maybe(Type.String()),
  base64: Maybe(Type.String()),
  media_type: Maybe(Type.String()),
});
export const ImageFilePart = Type.Object({
  type: Type.Literal("image_file"),
  image_id: Type.String(),
  filename: Maybe(Type.String()),
});
export const ToolCallPart = Type.Object({
  type: Type.Literal("tool_call"),
  id: Type.String(),
  name: Type.String(),
  arguments: Type.Unknown(),
});
export const ToolResultPart = Type.Object({
  type: Type.Literal("tool_result"),
  tool_call_id: Type.String(),
  result: Type.Optional(Type.Unknown()),
  error: Maybe(Type.String()),
});

/** The five parts that `GET /messages` may answer with: the official clients refuse any other. */
export const ContentPart = Type.Union([TextPart, ImagePart, ImageFilePart, ToolCallPart, ToolResultPart]);
export type ContentPart = Static<typeof ContentPart>;

export const InputContentPart = Type.Union([TextPart, ImagePart, ImageFilePart]);
export type InputContentPart = Static<typeof InputContentPart>;

export const MessageRole = OneOf(["system", "user", "agent", "tool_result"]);

/** `commentary`: text beside tool calls; `final_answer`: the text that ends the turn. */
export const Phase = OneOf(["commentary", "final_answer"]);
export type Phase = Static<typeof Phase>;

export const ReasoningConfig = Type.Object({ effort: Maybe(Type.String()) });
export const ERROR_DISCLOSURES = ["generic", "standard", "detailed"] as const;

/** What a caller may set for one turn. `model_id` wins over session, agent and defaults. */
export const Controls = Type.Object({
  model_id: Maybe(Type.String()),
  reasoning: Maybe(ReasoningConfig),
  locale: Maybe(Type.String()),
  hints: Maybe(JsonObject),
  error_disclosure: Maybe(Type.String()),
});
export type Controls = Static<typeof Controls>;

export const ExternalActor = Type.Object({
  actor_id: Type.String(),
  actor_name: Maybe(Type.String()),
  source: Type.String(),
  metadata: Maybe(MapOf(Type.String())),
});
export type ExternalActor = Static<typeof ExternalActor>;

export const Message = Type.Object({
  id: Id("message"),
  role: MessageRole,
  content: Type.Array(ContentPart),
  created_at: Timestamp,
  controls: Type.Optional(Controls),
  external_actor: Type.Optional(ExternalActor),
  metadata: Type.Optional(JsonObject),
  phase: Type.Optional(Phase),
  thinking: Type.Optional(Type.String()),
  thinking_signature: Type.Optional(Type.String()),
});
export type Message = Static<typeof Message>;

/**
 * What happens to a message that finds its session busy: it joins the running turn, waits for its own, takes the
 * place of the running one, or is refused with 409.
 */
export const DELIVERIES = ["steer", "queue", "interrupt", "reject"] as const;
export type Delivery = (typeof DELIVERIES)[number];

/** `role` may be left out; `assistant` is refused, only a user speaks through this route. */
export const CreateMessageRequest = Type.Object({
  message: Type.Object({
    role: Type.Optional(MessageRole),
    /** A bare text stands for one text part. */
    content: Type.Union([Type.Array(InputContentPart, { minItems: 1 }), Type.String({ minLength: 1 })]),
  }),
  controls: Maybe(Controls),
  metadata: Maybe(JsonObject),
  tags: Maybe(Type.Array(Type.String())),
  external_actor: Maybe(ExternalActor),
  addressed_participant_id: Maybe(Type.String()),
  client_message_id: Maybe(Type.String({ minLength: 1 })),
  /** Absent: the session's `default_delivery`, else the agent's, else `steer`. */
  delivery: Maybe(OneOf(DELIVERIES)),
  /** Of the turn that the message starts; higher is taken up first. Without effect on a turn that runs already. */
  priority: Maybe(Type.Integer({ minimum: -100, maximum: 100 })),
});
export type CreateMessageRequest = Static<typeof CreateMessageRequest>;

/** A message in its place in the conversation: `sequence` is that of its event. */
export const ListedMessage = Type.Intersect([
  Message,
  Type.Object({ session_id: Id("session"), sequence: Type.Integer() }),
]);
export type ListedMessage = Static<typeof ListedMessage>;

/** The accepted message, and what became of it. */
export const CreateMessageResponse = Type.Intersect([
  Message,
  Type.Object({
    session_id: Id("session"),
    sequence: Type.Integer(),
    turn_id: Id("turn"),
    delivery: OneOf(["started", "steered", "queued", "resumed", "duplicate"]),
    /** 1 is next; only when the message was queued. */
    queue_position: Type.Optional(Type.Integer({ minimum: 1 })),
  }),
]);
export type CreateMessageResponse = Static<typeof CreateMessageResponse>;

/** The turn that answered a message, and its final answer; null when it ended without one. */
export const AnsweredTurn = Type.Object({
  run: Run,
  message: Type.Union([ListedMessage, Type.Null()]),
});
export type AnsweredTurn = Static<typeof AnsweredTurn>;

/** A message that waits for its turn. */
export const QueuedMessage = Type.Intersect([
  Message,
  Type.Object({
    session_id: Id("session"),
    /** The turn that it will become. */
    turn_id: Id("turn"),
    queue_position: Type.Integer({ minimum: 1 }),
    priority: Type.Integer(),
  }),
]);
export type QueuedMessage = Static<typeof QueuedMessage>;

export const UpdateQueuedMessageRequest = Type.Object({
  content: Type.Array(InputContentPart, { minItems: 1 }),
});

/** The text parts of a message, joined by blank lines. */
export function textOf(content: readonly ContentPart[]): string {
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}
