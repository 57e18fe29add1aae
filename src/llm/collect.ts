import type { TurnErrorCode } from "../contract/event.ts";
import { NO_USAGE, type TokenUsage } from "../contract/usage.ts";
import type { Chunk, DriverError, FinishReason, ModelToolCall, ReasoningItem } from "./driver.ts";

/** One answer of a model, whole. */
export interface Collected {
  text: string;
  toolCalls: ModelToolCall[];
  /** Null when the model did not think aloud. */
  thinking: string | null;
  thinkingSignature: string | null;
  reasoningItems: ReasoningItem[];
  usage: TokenUsage;
  /** Null until the answer has ended well. */
  finish: FinishReason | null;
  responseId: string | null;
  error: DriverError | null;
  aborted: boolean;
  /** Times that the driver asked again before the answer began, and how long it waited for that. */
  retries: { attempts: number; totalWaitMs: number; reasons: TurnErrorCode[] };
}

export interface Collector {
  add(chunk: Chunk): void;
  /** The answer so far; a fresh copy each time. Complete once `finish`, `error` or `aborted` is set. */
  result(): Collected;
}

/**
 * Folds the chunks of one call into one assistant message: the same fold for every vendor.
 *
 * The result depends on the order of chunks only, never on how a vendor cut its text into pieces. Usage replaces
 * what was said before, because vendors report running totals. Tool calls keep the order in which they began.
 */
export function createCollector(): Collector {
  // Long answers come in thousands of pieces: arrays and one join, not a string that grows.
  const text: string[] = [];
  const thinking: string[] = [];
  const calls = new Map<number, { id: string; name: string; json: string[] }>();
  const reasoningItems: ReasoningItem[] = [];
  let signature: string | null = null;
  let usage: TokenUsage = NO_USAGE;
  let finish: FinishReason | null = null;
  let responseId: string | null = null;
  let error: DriverError | null = null;
  let aborted = false;
  const retries = { attempts: 0, totalWaitMs: 0, reasons: [] as TurnErrorCode[] };

  const callAt = (index: number) => {
    const known = calls.get(index);
    if (known) return known;
    const call = { id: "", name: "", json: [] as string[] };
    calls.set(index, call);
    return call;
  };

  return {
    add(chunk) {
      switch (chunk.kind) {
        case "text":
          text.push(chunk.text);
          return;
        case "thinking":
          thinking.push(chunk.text);
          return;
        case "thinking_signature":
          signature = chunk.signature;
          return;
        case "reasoning_item":
          reasoningItems.push(chunk.item);
          return;
        case "tool_call": {
          const call = callAt(chunk.index);
          call.id = chunk.id;
          call.name = chunk.name;
          return;
        }
        case "tool_arguments":
          callAt(chunk.index).json.push(chunk.json);
          return;
        case "usage":
          usage = chunk.usage;
          return;
        case "retry":
          retries.attempts = chunk.attempt;
          retries.totalWaitMs += chunk.waitMs;
          retries.reasons.push(chunk.error.code);
          return;
        case "finish":
          finish = chunk.reason;
          responseId = chunk.responseId;
          return;
        case "error":
          error = chunk.error;
          return;
        case "aborted":
          aborted = true;
          return;
      }
    },
    result: () => ({
      text: text.join(""),
      toolCalls: [...calls.entries()]
        .sort(([a], [b]) => a - b)
        .map(([, call]) => ({ id: call.id, name: call.name, argumentsJson: call.json.join("") })),
      thinking: thinking.length > 0 ? thinking.join("") : null,
      thinkingSignature: signature,
      reasoningItems: [...reasoningItems],
      usage: { ...usage },
      finish,
      responseId,
      error,
      aborted,
      retries: { ...retries, reasons: [...retries.reasons] },
    }),
  };
}
