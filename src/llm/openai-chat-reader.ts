import type { Chunk, FinishReason } from "./driver.ts";
import { openAIUsage } from "./openai-client.ts";
import type { EventReader } from "./retry.ts";
import { madeUpCallId } from "./wire.ts";

/**
 * The word in `ReasoningItem.provider`. Servers that think aloud in a field of their own (DeepSeek, Kimi and
 * others) want that field back beside the calls it led to; the item's id is the name of the field.
 */
export const CHAT_PROVIDER = "openai_completions";

/** One frame of a stream, with nothing taken for granted. */
export interface LooseChunk {
  id?: string | null;
  choices?: LooseChoice[] | null;
  usage?: LooseUsage | null;
}

interface LooseChoice {
  delta?: LooseDelta | null;
  /** Some servers send the whole message once, in place of deltas. */
  message?: LooseDelta | null;
  finish_reason?: string | null;
  usage?: LooseUsage | null;
}

interface LooseDelta {
  content?: string | null;
  refusal?: string | null;
  reasoning_content?: string | null;
  reasoning?: string | null;
  tool_calls?: LooseToolCall[] | null;
}

interface LooseToolCall {
  index?: number | null;
  id?: string | null;
  function?: { name?: string | null; arguments?: string | Record<string, unknown> | null } | null;
}

interface LooseUsage {
  prompt_tokens?: number | null;
  completion_tokens?: number | null;
  prompt_tokens_details?: { cached_tokens?: number | null; cache_write_tokens?: number | null } | null;
  /** DeepSeek's name for what the cache served. */
  prompt_cache_hit_tokens?: number | null;
}

interface Call {
  id: string;
  /** As the server numbers it, null when it does not. */
  place: number | null;
  index: number;
}

const THINKING_FIELDS = ["reasoning_content", "reasoning"] as const;

/**
 * @param idempotencyKey  where ids are made from when the server gives none
 * @param sawDone         whether the body ended with `[DONE]`: with it an answer without a finish reason is whole,
 *                        without either it broke off
 */
export function createChatReader(options: {
  idempotencyKey: string;
  sawDone: () => boolean;
}): EventReader<LooseChunk> {
  const calls: Call[] = [];
  let responseId: string | null = null;
  let reason: string | null = null;
  let refused = false;
  let spoke = false;
  let thinkingField: string | null = null;

  const readDelta = (delta: LooseDelta): Chunk[] => {
    const chunks: Chunk[] = [];
    for (const field of THINKING_FIELDS) {
      const text = delta[field];
      // A server that sends both says the same twice.
      if (!text || (thinkingField !== null && thinkingField !== field)) continue;
      if (thinkingField === null) {
        thinkingField = field;
        const item = { provider: CHAT_PROVIDER, itemId: field, summary: [], encryptedContent: null };
        chunks.push({ kind: "reasoning_item", item });
      }
      chunks.push({ kind: "thinking", text });
    }
    for (const text of [delta.content, delta.refusal]) {
      if (typeof text !== "string" || text === "") continue;
      spoke = true;
      chunks.push({ kind: "text", text });
    }
    if (delta.refusal) refused = true;
    return [...chunks, ...(delta.tool_calls ?? []).flatMap(readCall)];
  };

  const readCall = (part: LooseToolCall): Chunk[] => {
    const chunks: Chunk[] = [];
    let call = findCall(calls, part);
    if (!call) {
      const index = calls.length;
      const id = part.id || madeUpCallId(options.idempotencyKey, index);
      call = { id, place: part.index ?? null, index };
      calls.push(call);
      chunks.push({ kind: "tool_call", index, id, name: part.function?.name || "unknown" });
    }
    const json = argumentsText(part.function?.arguments);
    if (json !== "") chunks.push({ kind: "tool_arguments", index: call.index, json });
    return chunks;
  };

  return {
    read(chunk) {
      if (chunk.id) responseId = chunk.id;
      const choice = chunk.choices?.[0];
      const chunks = choice ? readDelta(choice.delta ?? choice.message ?? {}) : [];
      if (choice?.finish_reason) reason = choice.finish_reason;
      const usage = chunk.usage ?? choice?.usage;
      if (usage) chunks.push({ kind: "usage", usage: readUsage(usage) });
      return chunks;
    },
    end() {
      const isWhole = reason !== null || (options.sawDone() && (spoke || calls.length > 0));
      return isWhole
        ? { kind: "finish", reason: finishReason(reason, calls.length > 0, refused), responseId }
        : null;
    },
  };
}

/**
 * The call that a part continues, or null when it begins one. Numbers are trusted unless a new id comes under an
 * old number (servers that number every call 0); without a number a part belongs to its id, without an id to the
 * last call, unless it names a function again.
 */
function findCall(calls: readonly Call[], part: LooseToolCall): Call | null {
  if (part.id) {
    const byId = calls.find((call) => call.id === part.id);
    if (byId) return byId;
  }
  if (typeof part.index === "number") {
    const byPlace = calls.findLast((call) => call.place === part.index);
    return byPlace && !part.id ? byPlace : null;
  }
  if (part.id || part.function?.name) return null;
  return calls.at(-1) ?? null;
}

function argumentsText(value: string | Record<string, unknown> | null | undefined): string {
  return typeof value === "string" ? value : value ? JSON.stringify(value) : "";
}

function readUsage(usage: LooseUsage) {
  return openAIUsage({
    input: usage.prompt_tokens,
    output: usage.completion_tokens,
    cacheRead: usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens,
    cacheWrite: usage.prompt_tokens_details?.cache_write_tokens,
  });
}

function finishReason(reason: string | null, hasCalls: boolean, refused: boolean): FinishReason {
  if (reason === "length") return "length";
  if (reason === "content_filter") return "content_filter";
  if (refused) return "refusal";
  // Some servers say "stop" beside tool calls; the calls are what counts.
  if (hasCalls) return "tool_calls";
  return reason === null || reason === "stop" || reason === "eos" ? "stop" : "other";
}
