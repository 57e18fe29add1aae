/**
 * The llm room speaks the vendors' APIs, through their official packages, and turns each of them into one stream
 * of chunks. It owns requests, streaming, retries before the first byte, stall detection and usage. It never
 * touches the database, never runs a tool and never decides what the agent does next.
 *
 * The vocabulary of this file is the boundary: the engine builds a `ModelRequest` from the event log and folds
 * the chunks with `collect.ts`, the same fold for every vendor.
 */
import type { TurnErrorCode } from "../contract/event.ts";
import type { TokenUsage } from "../contract/usage.ts";

/** One function that the model may call. `parameters` is JSON Schema. */
export interface ToolSpec {
  name: string;
  description: string;
  parameters: Record<string, unknown>;
}

export type UserPart =
  | { type: "text"; text: string }
  /** `data` is base64 without a data: prefix. */
  | { type: "image"; mediaType: string; data: string }
  | { type: "image_url"; url: string };

export interface ModelToolCall {
  id: string;
  name: string;
  /** The arguments as the model wrote them: JSON text, possibly malformed. Empty means `{}`. */
  argumentsJson: string;
}

/** An opaque item that its own vendor wants back unchanged with the next call (OpenAI reasoning, redacted thinking). */
export interface ReasoningItem {
  /** The driver that made it ("openai", "anthropic"); another driver leaves it out. */
  provider: string;
  itemId: string;
  summary: string[];
  encryptedContent: string | null;
}

export type ModelMessage =
  | { role: "user"; content: UserPart[] }
  | {
      role: "assistant";
      text: string;
      toolCalls: ModelToolCall[];
      thinking: string | null;
      /** Anthropic's signature of the thinking; null when there is none. Thinking without one is not sent back. */
      thinkingSignature: string | null;
      reasoningItems: ReasoningItem[];
    }
  /** One result a call, in the order of the calls. `content` is what the model reads. */
  | { role: "tool"; toolCallId: string; toolName: string; content: string; isError: boolean };

export interface ModelRequest {
  /** The vendor's model name ("gpt-5.2", "claude-opus-4-6", "llmsim"). */
  model: string;
  /** System prompt; empty means none. */
  system: string;
  messages: ModelMessage[];
  tools: ToolSpec[];
  /** none, minimal, low, medium, high, xhigh; null leaves it to the vendor. */
  reasoningEffort: string | null;
  /** null leaves it to the driver (which must send one where the vendor requires it). */
  maxOutputTokens: number | null;
  parallelToolCalls: boolean | null;
  /** Stable for one reason step: run id and step name. Sent where the vendor knows idempotency keys. */
  idempotencyKey: string;
  /** The beginning of the answer, said in an earlier attempt: only for a driver that `canContinue` this request. */
  prefix?: string;
}

/** Why a model call failed, by what the engine should do. `code` is a turn error code. */
export interface DriverError {
  code: TurnErrorCode;
  /** For people; the vendor's own words where they help. Never carries a key. */
  message: string;
  /** True when the same request may succeed later (429, 5xx, broken or stalled stream). */
  retryable: boolean;
  /** Milliseconds that the vendor asked us to wait; null when it did not say. */
  retryAfterMs: number | null;
  /** HTTP status; null when there was none. */
  status: number | null;
}

export type FinishReason = "stop" | "tool_calls" | "length" | "content_filter" | "refusal" | "other";

export type Chunk =
  | { kind: "text"; text: string }
  | { kind: "thinking"; text: string }
  | { kind: "thinking_signature"; signature: string }
  | { kind: "reasoning_item"; item: ReasoningItem }
  /** A call begins. `index` numbers the calls of one answer from 0. */
  | { kind: "tool_call"; index: number; id: string; name: string }
  | { kind: "tool_arguments"; index: number; json: string }
  /** Replaces what was said before: vendors report running totals. */
  | { kind: "usage"; usage: TokenUsage }
  /** The driver waits and asks again; nothing of the answer has been seen yet. */
  | { kind: "retry"; attempt: number; waitMs: number; error: DriverError }
  | { kind: "finish"; reason: FinishReason; responseId: string | null }
  | { kind: "error"; error: DriverError }
  /** The signal was aborted; what came before is not an answer. */
  | { kind: "aborted" };

/** Speaks one vendor's API. */
export interface Driver {
  /**
   * Contract: never throws and never rejects; the last chunk is exactly one of `finish`, `error`, `aborted`.
   * When the signal aborts, the request in flight is closed at once and `aborted` is the last chunk. Retries
   * (full jitter, honouring Retry-After) happen only before the first chunk of the answer.
   */
  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<Chunk>;
  /**
   * True when an answer to this request can go on from its `prefix`: the chunks are then what follows it. Absent:
   * never. A driver says so only of models whose vendor documents it.
   */
  canContinue?(request: ModelRequest): boolean;
  /** The vendor's list of model names, for `sync-models`; null when the vendor has no such list. Throws UserError or RetryableError. */
  listModels(signal: AbortSignal): Promise<string[] | null>;
}
