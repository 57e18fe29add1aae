import { Id, JsonObject, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

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
  metadata: Maybe(Type.Record(Type.String(), Type.String())),
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

/** What happens to a message that finds its session busy: joins the running turn, or is refused with 409. */
export const DELIVERIES = ["steer", "reject"] as const;

/** `role` may be left out; `assistant` is refused, only a user speaks through this route. */
export const CreateMessageRequest = Type.Object({
  message: Type.Object({
    role: Type.Optional(MessageRole),
    content: Type.Array(InputContentPart, { minItems: 1 }),
  }),
  controls: Maybe(Controls),
  metadata: Maybe(JsonObject),
  tags: Maybe(Type.Array(Type.String())),
  external_actor: Maybe(ExternalActor),
  addressed_participant_id: Maybe(Type.String()),
  client_message_id: Maybe(Type.String({ minLength: 1 })),
  delivery: Maybe(OneOf(DELIVERIES)),
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
    delivery: OneOf(["started", "steered", "resumed", "duplicate"]),
  }),
]);
export type CreateMessageResponse = Static<typeof CreateMessageResponse>;

/** The text parts of a message, joined by blank lines. */
export function textOf(content: readonly ContentPart[]): string {
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}
