import type { TokenUsage } from "../contract/usage.ts";
import { ANTHROPIC_PROVIDER, encodeMark, type ThinkingMark } from "./anthropic-messages.ts";
import type { Chunk, FinishReason } from "./driver.ts";
import type { EventReader } from "./retry.ts";

/** The events of a message stream, with what imitations leave out made optional. */
export type AnthropicEvent =
  | { type: "message_start"; message?: { id?: string | null; usage?: LooseUsage | null } | null }
  | { type: "content_block_start"; index: number; content_block: StartedBlock }
  | { type: "content_block_delta"; index: number; delta: Delta }
  | { type: "content_block_stop"; index: number }
  | { type: "message_delta"; delta?: MessageDelta | null; usage?: LooseUsage | null }
  | { type: "message_stop" };

interface StartedBlock {
  type: string;
  text?: string;
  thinking?: string;
  signature?: string;
  data?: string;
  id?: string;
  name?: string;
  input?: unknown;
}

interface Delta {
  type: string;
  text?: string;
  thinking?: string;
  signature?: string;
  partial_json?: string;
}

interface MessageDelta {
  stop_reason?: string | null;
  stop_details?: { explanation?: string | null } | null;
}

interface LooseUsage {
  input_tokens?: number | null;
  output_tokens?: number | null;
  cache_read_input_tokens?: number | null;
  cache_creation_input_tokens?: number | null;
}

/** A block that is being received. */
type Open =
  | { type: "text" }
  | { type: "thinking"; mark: ThinkingMark; isFirst: boolean; signature: string }
  | { type: "tool"; index: number; input: unknown; hasJson: boolean }
  | { type: "other" };

export function createAnthropicReader(): EventReader<AnthropicEvent> {
  const open = new Map<number, Open>();
  let usage: TokenUsage = { input_tokens: 0, output_tokens: 0 };
  let responseId: string | null = null;
  let stopReason: string | null = null;
  let blocks = 0;
  let calls = 0;
  let textChars = 0;
  let thinkingChars = 0;
  let lastBlock = "";

  const say = (text: string): Chunk[] => {
    if (text === "") return [];
    textChars += text.length;
    return [{ kind: "text", text }];
  };
  const think = (text: string): Chunk[] => {
    if (text === "") return [];
    thinkingChars += text.length;
    return [{ kind: "thinking", text }];
  };
  const count = (said: LooseUsage | null | undefined): Chunk[] => {
    if (!said) return [];
    usage = addKnown(usage, said);
    return [{ kind: "usage", usage }];
  };
  const markHere = (kind: ThinkingMark["kind"]): ThinkingMark => {
    return { kind, thinkingAt: thinkingChars, textAt: textChars, callsBefore: calls };
  };

  const start = (index: number, block: StartedBlock): Chunk[] => {
    const isFirst = blocks === 0;
    blocks += 1;
    const before = lastBlock;
    lastBlock = block.type;
    switch (block.type) {
      case "text": {
        open.set(index, { type: "text" });
        // Text that goes on after thinking or a call is a new paragraph; two text blocks in a row are one text.
        const gap = textChars > 0 && before !== "text" ? "\n\n" : "";
        return say(gap + (block.text ?? ""));
      }
      case "thinking":
        open.set(index, {
          type: "thinking",
          mark: markHere("thinking"),
          isFirst,
          signature: block.signature ?? "",
        });
        return think(block.thinking ?? "");
      case "redacted_thinking":
        open.set(index, { type: "other" });
        return [sealedItem(markHere("redacted"), block.data ?? "")];
      case "tool_use": {
        const call = calls;
        calls += 1;
        open.set(index, { type: "tool", index: call, input: block.input, hasJson: false });
        return [{ kind: "tool_call", index: call, id: block.id ?? "", name: block.name ?? "" }];
      }
      default:
        open.set(index, { type: "other" });
        return [];
    }
  };

  const extend = (index: number, delta: Delta): Chunk[] => {
    const block = open.get(index);
    if (delta.type === "text_delta") return say(delta.text ?? "");
    if (delta.type === "thinking_delta") return think(delta.thinking ?? "");
    if (delta.type === "signature_delta" && block?.type === "thinking") {
      block.signature += delta.signature ?? "";
      return [];
    }
    if (delta.type === "input_json_delta" && block?.type === "tool" && delta.partial_json) {
      block.hasJson = true;
      return [{ kind: "tool_arguments", index: block.index, json: delta.partial_json }];
    }
    return [];
  };

  const close = (index: number): Chunk[] => {
    const block = open.get(index);
    open.delete(index);
    if (block?.type === "thinking" && block.signature !== "") {
      if (block.isFirst) return [{ kind: "thinking_signature", signature: block.signature }];
      return [sealedItem(block.mark, block.signature)];
    }
    if (block?.type === "tool" && !block.hasJson && hasKeys(block.input)) {
      return [{ kind: "tool_arguments", index: block.index, json: JSON.stringify(block.input) }];
    }
    return [];
  };

  const finish = (): Chunk => ({ kind: "finish", reason: finishReason(stopReason), responseId });

  return {
    read(event) {
      switch (event.type) {
        case "message_start":
          responseId = event.message?.id ?? null;
          return count(event.message?.usage);
        case "content_block_start":
          return start(event.index, event.content_block);
        case "content_block_delta":
          return extend(event.index, event.delta);
        case "content_block_stop":
          return close(event.index);
        case "message_delta": {
          stopReason = event.delta?.stop_reason ?? stopReason;
          const explanation = event.delta?.stop_details?.explanation;
          // A refusal often comes without a word; the vendor's explanation is better than an empty answer.
          const told = stopReason === "refusal" && textChars === 0 && explanation ? say(explanation) : [];
          return [...told, ...count(event.usage)];
        }
        case "message_stop":
          return [finish()];
        default:
          return [];
      }
    },
    end: () => (stopReason === null ? null : finish()),
  };
}

function sealedItem(mark: ThinkingMark, sealed: string): Chunk {
  const item = {
    provider: ANTHROPIC_PROVIDER,
    itemId: encodeMark(mark),
    summary: [],
    encryptedContent: sealed,
  };
  return { kind: "reasoning_item", item };
}

/** Later events repeat some totals and leave others out. Anthropic's buckets are disjoint already. */
function addKnown(before: TokenUsage, said: LooseUsage): TokenUsage {
  const read = said.cache_read_input_tokens ?? before.cache_read_tokens;
  const written = said.cache_creation_input_tokens ?? before.cache_creation_tokens;
  return {
    input_tokens: said.input_tokens ?? before.input_tokens,
    output_tokens: said.output_tokens ?? before.output_tokens,
    ...(read === undefined ? {} : { cache_read_tokens: read }),
    ...(written === undefined ? {} : { cache_creation_tokens: written }),
  };
}

function hasKeys(input: unknown): boolean {
  return typeof input === "object" && input !== null && Object.keys(input).length > 0;
}

const REASONS: Record<string, FinishReason> = {
  end_turn: "stop",
  stop_sequence: "stop",
  tool_use: "tool_calls",
  max_tokens: "length",
  model_context_window_exceeded: "length",
  refusal: "refusal",
};

function finishReason(stopReason: string | null): FinishReason {
  return REASONS[stopReason ?? ""] ?? "other";
}
