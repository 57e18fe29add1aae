/**
 * The event registry: every event that the system can emit, defined once.
 *
 * The table below is the source of the TypeScript union, the OpenAPI schema, the names of SSE frames, the filter
 * values of `types=` and `exclude=`, the exhaustive switch of the transcript and the table in README.
 */
import { BudgetEventData } from "./budget.ts";
import { ContentPart, Message, Phase } from "./message.ts";
import { Id, JsonObject, Maybe, OneOf, type Static, type TSchema, Type } from "./schema.ts";
import { SessionTask, TaskMessage } from "./task.ts";
import { TokenUsage } from "./usage.ts";

const TurnId = Id("turn");
const MessageId = Id("message");

export const ToolCall = Type.Object({ id: Type.String(), name: Type.String(), arguments: Type.Unknown() });
export type ToolCall = Static<typeof ToolCall>;

export const ToolCallSummary = Type.Object({
  id: Type.String(),
  name: Type.String(),
  display_name: Type.Optional(Type.String()),
  narration: Type.Optional(Type.String()),
});

/** `model` is the name that the vendor gives it. The ids are the hex digits of ours, as UUIDs. */
export const ModelMetadata = Type.Object({
  model: Type.String(),
  model_id: Type.Optional(Type.String({ format: "uuid" })),
  provider_id: Type.Optional(Type.String({ format: "uuid" })),
});
export type ModelMetadata = Static<typeof ModelMetadata>;

/** Why a turn did not end with an answer. */
export const TURN_ERROR_CODES = [
  "provider_rate_limited",
  "provider_usage_limit_reached",
  "provider_unavailable",
  "provider_quota_exhausted",
  "provider_misconfigured",
  "model_unavailable",
  "model_not_configured",
  "request_too_large",
  "invalid_tool_schema",
  "budget_exhausted",
  "budget_paused",
  "blocked_by_hook",
  "dependency_unavailable",
  "processing_error",
] as const;
export type TurnErrorCode = (typeof TURN_ERROR_CODES)[number];

export const RECOVERY_MODES = ["finalize", "restart"] as const;

export const TOOL_STATUSES = ["success", "error", "timeout", "cancelled"] as const;

const ErrorFields = {
  error_code: Type.Optional(Type.String()),
  error_fields: Type.Optional(JsonObject),
  error_disclosure: Type.Optional(Type.String()),
};

const define = <const T extends string, D extends TSchema>(type: T, summary: string, data: D) =>
  ({ type, summary, data }) as const;

export const events = {
  sessionStarted: define(
    "session.started",
    "A session was created.",
    Type.Object({
      harness_id: Id("harness"),
      agent_id: Type.Optional(Id("agent")),
      model_id: Type.Optional(Type.String()),
    }),
  ),
  sessionActivated: define(
    "session.activated",
    "A turn was accepted; the session is active.",
    Type.Object({ turn_id: TurnId, input_message_id: MessageId }),
  ),
  sessionIdled: define(
    "session.idled",
    "The session waits for the next message.",
    Type.Object({
      turn_id: TurnId,
      iterations: Type.Optional(Type.Integer()),
      usage: Type.Optional(TokenUsage),
    }),
  ),
  sessionTitleUpdated: define(
    "session.title.updated",
    "The session has another title; without one it was removed.",
    Type.Object({ title: Type.Optional(Type.String()) }),
  ),
  inputMessage: define("input.message", "A user message was accepted.", Type.Object({ message: Message })),
  inputQueued: define(
    "input.queued",
    "A message waits for its turn; the same message again: its content was changed.",
    Type.Object({ message: Message, turn_id: TurnId, queue_position: Type.Integer() }),
  ),
  inputPromoted: define(
    "input.promoted",
    "A queued message's turn begins; its `input.message` follows.",
    Type.Object({ message_id: MessageId, turn_id: TurnId }),
  ),
  inputWithdrawn: define(
    "input.withdrawn",
    "A queued message was taken back.",
    Type.Object({ message_id: MessageId, turn_id: TurnId }),
  ),
  turnStarted: define(
    "turn.started",
    "A worker took up the turn.",
    Type.Object({
      turn_id: TurnId,
      input_message_id: MessageId,
      input_content: Type.Optional(Type.String()),
    }),
  ),
  turnCompleted: define(
    "turn.completed",
    "The turn ended with an answer.",
    Type.Object({
      turn_id: TurnId,
      iterations: Type.Integer(),
      duration_ms: Type.Optional(Type.Integer()),
      usage: Type.Optional(TokenUsage),
      input_content: Type.Optional(Type.String()),
      final_message_id: Type.Optional(MessageId),
      final_answer_preview: Type.Optional(Type.String()),
      llm_call_count: Type.Optional(Type.Integer()),
      tool_call_count: Type.Optional(Type.Integer()),
      time_to_first_token_ms: Type.Optional(Type.Integer()),
      status: Type.Optional(Type.String()),
    }),
  ),
  turnFailed: define(
    "turn.failed",
    "The turn ended without an answer.",
    Type.Object({ turn_id: TurnId, error: Type.String(), ...ErrorFields }),
  ),
  turnSealed: define(
    "turn.sealed",
    "The turn was ended because it made no progress or ran out of budget.",
    Type.Object({
      turn_id: TurnId,
      reason: Type.String(),
      detail: Type.Optional(Type.String()),
      iterations: Type.Optional(Type.Integer()),
      usage: Type.Optional(TokenUsage),
    }),
  ),
  turnCancelled: define(
    "turn.cancelled",
    "The user cancelled the turn.",
    Type.Object({ turn_id: TurnId, reason: Type.Optional(Type.String()), usage: Type.Optional(TokenUsage) }),
  ),
  reasonStarted: define(
    "reason.started",
    "A model call begins.",
    Type.Object({
      harness_id: Id("harness"),
      agent_id: Type.Optional(Id("agent")),
      metadata: Type.Optional(ModelMetadata),
    }),
  ),
  reasonCompleted: define(
    "reason.completed",
    "A model call ended.",
    Type.Object({
      success: Type.Boolean(),
      has_tool_calls: Type.Boolean(),
      tool_call_count: Type.Integer(),
      text_preview: Type.Optional(Type.String()),
      error: Type.Optional(Type.String()),
      duration_ms: Type.Optional(Type.Integer()),
      usage: Type.Optional(TokenUsage),
    }),
  ),
  reasonRecovered: define(
    "reason.recovered",
    "A worker was lost in the middle of an answer. finalize: the answer goes on from what was streamed; " +
      "restart: it is asked for again, and what was streamed is to be discarded.",
    Type.Object({
      turn_id: TurnId,
      mode: OneOf(RECOVERY_MODES),
      /** Characters (UTF-16 units) of the answer that were stored. */
      accumulated_len: Type.Integer({ minimum: 0 }),
    }),
  ),
  reasonItem: define(
    "reason.item",
    "An opaque reasoning item that the provider wants back with the next call.",
    Type.Object({
      turn_id: TurnId,
      provider: Type.String(),
      item_id: Type.String(),
      model: Type.Optional(Type.String()),
      summary: Type.Optional(Type.Array(Type.String())),
      token_count: Type.Optional(Type.Integer()),
      encrypted_content: Type.Optional(Type.String()),
    }),
  ),
  reasonThinkingStarted: define(
    "reason.thinking.started",
    "The model begins to think aloud.",
    Type.Object({ turn_id: TurnId, model: Type.Optional(Type.String()) }),
  ),
  reasonThinkingDelta: define(
    "reason.thinking.delta",
    "A piece of thinking.",
    Type.Object({ turn_id: TurnId, delta: Type.String(), accumulated: Type.Optional(Type.String()) }),
  ),
  reasonThinkingCompleted: define(
    "reason.thinking.completed",
    "The whole thinking of one model call.",
    Type.Object({ turn_id: TurnId, thinking: Type.String() }),
  ),
  outputMessageStarted: define(
    "output.message.started",
    "An answer begins; the same iteration again means: discard what came before.",
    Type.Object({
      turn_id: TurnId,
      model: Type.Optional(Type.String()),
      iteration: Type.Optional(Type.Integer()),
      message_id: Type.Optional(MessageId),
    }),
  ),
  outputMessageDelta: define(
    "output.message.delta",
    "A piece of the answer.",
    Type.Object({
      turn_id: TurnId,
      delta: Type.String(),
      accumulated: Type.Optional(Type.String()),
      message_id: Type.Optional(MessageId),
      phase: Type.Optional(Phase),
    }),
  ),
  outputMessageCompleted: define(
    "output.message.completed",
    "A whole message of the agent, with its tool calls.",
    Type.Object({
      message: Message,
      metadata: Type.Optional(ModelMetadata),
      usage: Type.Optional(TokenUsage),
      ...ErrorFields,
    }),
  ),
  actStarted: define(
    "act.started",
    "The tool calls of one answer begin.",
    Type.Object({ tool_calls: Type.Array(ToolCallSummary), headline: Type.Optional(Type.String()) }),
  ),
  actCompleted: define(
    "act.completed",
    "Every tool call of one answer has its result.",
    Type.Object({
      completed: Type.Boolean(),
      success_count: Type.Integer(),
      error_count: Type.Integer(),
      duration_ms: Type.Optional(Type.Integer()),
      headline: Type.Optional(Type.String()),
    }),
  ),
  toolStarted: define(
    "tool.started",
    "A tool call begins.",
    Type.Object({ tool_call: ToolCall, display_name: Type.Optional(Type.String()) }),
  ),
  toolProgress: define(
    "tool.progress",
    "What a running tool has to say.",
    Type.Object({
      tool_call_id: Type.String(),
      tool_name: Type.String(),
      message: Type.String(),
      display_name: Type.Optional(Type.String()),
    }),
  ),
  toolCallRequested: define(
    "tool.call_requested",
    "Calls that somebody outside must answer: client-side tools, or `approve_tool_call` for an approval.",
    Type.Object({
      tool_calls: Type.Array(ToolCall),
      tool_summaries: Type.Optional(Type.Array(ToolCallSummary)),
      headline: Type.Optional(Type.String()),
    }),
  ),
  toolCompleted: define(
    "tool.completed",
    "A tool call has its result.",
    Type.Object({
      tool_call_id: Type.String(),
      tool_name: Type.String(),
      success: Type.Boolean(),
      status: OneOf(TOOL_STATUSES),
      result: Maybe(Type.Array(ContentPart)),
      error: Maybe(Type.String()),
      duration_ms: Type.Optional(Type.Integer()),
      capability_id: Type.Optional(Type.String()),
      capability_name: Type.Optional(Type.String()),
      display_name: Type.Optional(Type.String()),
    }),
  ),
  llmGeneration: define(
    "llm.generation",
    "What was asked of the model and what it answered, with usage and cost.",
    Type.Object({
      messages: Type.Array(Message),
      tools: Type.Optional(
        Type.Array(
          Type.Object({
            name: Type.String(),
            description: Type.String(),
            display_name: Type.Optional(Type.String()),
            capability_id: Type.Optional(Type.String()),
            capability_name: Type.Optional(Type.String()),
          }),
        ),
      ),
      output: Type.Object({
        text: Type.Optional(Type.String()),
        tool_calls: Type.Optional(Type.Array(ToolCall)),
      }),
      metadata: Type.Object({
        model: Type.String(),
        provider: Type.Optional(Type.String()),
        /** Set when older events did not fit into the model's window: the first one that the call showed. */
        history_from_sequence: Type.Optional(Type.Integer()),
        usage: Type.Optional(TokenUsage),
        duration_ms: Type.Optional(Type.Integer()),
        time_to_first_token_ms: Type.Optional(Type.Integer()),
        success: Type.Boolean(),
        error: Type.Optional(Type.String()),
        finish_reasons: Type.Optional(Type.Array(Type.String())),
        response_id: Type.Optional(Type.String()),
        retry: Type.Optional(
          Type.Object({
            attempts: Type.Integer(),
            total_wait_ms: Type.Integer(),
            /** Why each was tried again: turn error codes, in order. */
            reasons: Type.Optional(Type.Array(Type.String())),
          }),
        ),
        /**
         * The answer goes on from what an earlier attempt had streamed. `usage` is that of the continuation; what
         * the earlier attempt cost is not known.
         */
        recovered: Type.Optional(Type.Object({ accumulated_len: Type.Integer() })),
      }),
    }),
  ),
  fileWritten: define(
    "file.written",
    "A file of the session was written.",
    Type.Object({
      path: Type.String(),
      operation: Type.String(),
      size_bytes: Type.Integer(),
      created: Type.Boolean(),
    }),
  ),
  scheduleTriggered: define(
    "schedule.triggered",
    "A schedule is due; the message that it sends follows.",
    Type.Object({ schedule_id: Id("sched"), description: Type.String() }),
  ),
  taskCreated: define("task.created", "The session handed work out.", Type.Object({ task: SessionTask })),
  taskUpdated: define("task.updated", "A task has ended.", Type.Object({ task: SessionTask })),
  taskMessageSent: define(
    "task.message.sent",
    "Somebody sent a message to a task.",
    Type.Object({ task_id: Id("task"), message: TaskMessage }),
  ),
  budgetWarning: define("budget.warning", "A fifth of a budget is left, or less.", BudgetEventData),
  budgetPaused: define(
    "budget.paused",
    "More than a budget's soft limit was spent: the turn waits for somebody to resume it.",
    BudgetEventData,
  ),
  budgetExhausted: define("budget.exhausted", "Nothing is left of a budget.", BudgetEventData),
  budgetResumed: define("budget.resumed", "A turn that waited for a budget goes on.", BudgetEventData),
} as const;

type Defs = (typeof events)[keyof typeof events];
export type EventType = Defs["type"];
export type EventData<T extends EventType> = Static<Extract<Defs, { type: T }>["data"]>;

export const EventContext = Type.Object({
  turn_id: Type.Optional(TurnId),
  input_message_id: Type.Optional(MessageId),
  exec_id: Type.Optional(Type.String()),
  trace_id: Type.Optional(Type.String()),
  span_id: Type.Optional(Type.String()),
  parent_span_id: Type.Optional(Type.String()),
});
export type EventContext = Static<typeof EventContext>;

interface Envelope<T extends string, D> {
  id: string;
  type: T;
  /** RFC 3339, UTC, milliseconds. */
  ts: string;
  session_id: string;
  /** 1..n in the session, in commit order. A hole is only ever a pruned delta. */
  sequence: number;
  context: EventContext;
  data: D;
  metadata?: Record<string, unknown>;
  tags?: string[];
}

/** Any event, discriminated by `type`. */
export type Event = { [D in Defs as D["type"]]: Envelope<D["type"], Static<D["data"]>> }[EventType];
export type EventOf<T extends EventType> = Extract<Event, { type: T }>;

/** An event before the log has given it an id, a sequence and a time. */
export type NewEvent = {
  [D in Defs as D["type"]]: { type: D["type"]; data: Static<D["data"]>; context?: EventContext };
}[EventType];

export const eventDefinitions: readonly Defs[] = Object.values(events);
export const EVENT_TYPES: readonly EventType[] = eventDefinitions.map((definition) => definition.type);

/** Deltas are kept until the completed message stands, then pruned. */
export const DELTA_TYPES = [
  "output.message.delta",
  "reason.thinking.delta",
] as const satisfies readonly EventType[];

/**
 * Types that the wire contract does not know. Clients made from it may refuse what they do not know, so these are
 * shown only to who asks for them by name (`types=`).
 */
export const EXTENSION_TYPES = [
  "input.queued",
  "input.promoted",
  "input.withdrawn",
] as const satisfies readonly EventType[];

export function isEventType(text: string): text is EventType {
  return (EVENT_TYPES as readonly string[]).includes(text);
}
