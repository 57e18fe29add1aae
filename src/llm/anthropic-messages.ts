import type Anthropic from "@anthropic-ai/sdk";
import type { ModelMessage, ReasoningItem, UserPart } from "./driver.ts";
import { replayedArguments } from "./wire.ts";

type Block = Anthropic.ContentBlockParam;
type AssistantMessage = Extract<ModelMessage, { role: "assistant" }>;

/** The word in `ReasoningItem.provider`: only items that carry it are sent back. */
export const ANTHROPIC_PROVIDER = "anthropic";

/**
 * Where a block of thinking stood in its answer: after so many characters of thinking and of text, and after so
 * many tool calls. An answer is stored as one text, one thinking and a list of calls; with these marks its blocks
 * can be put back in the order in which the model gave them, which their signatures require.
 */
export interface ThinkingMark {
  kind: "thinking" | "redacted";
  thinkingAt: number;
  textAt: number;
  callsBefore: number;
}

export function encodeMark(mark: ThinkingMark): string {
  return [mark.kind, mark.thinkingAt, mark.textAt, mark.callsBefore].join(":");
}

export function decodeMark(itemId: string): ThinkingMark | null {
  const parts = /^(thinking|redacted):(\d+):(\d+):(\d+)$/.exec(itemId);
  if (!parts) return null;
  return {
    kind: parts[1] === "redacted" ? "redacted" : "thinking",
    thinkingAt: Number(parts[2]),
    textAt: Number(parts[3]),
    callsBefore: Number(parts[4]),
  };
}

/**
 * The conversation in Anthropic's form. Tool results and what the user says next share one message, because
 * turns must alternate. The last block carries a cache breakpoint: the next call starts with all of this.
 */
export function buildMessages(
  messages: readonly ModelMessage[],
  options: { cache: boolean; thinking: boolean },
): Anthropic.MessageParam[] {
  const turns: { role: "user" | "assistant"; content: Block[] }[] = [];
  for (const message of messages) {
    const role = message.role === "assistant" ? "assistant" : "user";
    const blocks =
      message.role === "assistant" ? assistantBlocks(message, options.thinking) : userBlocks(message);
    if (blocks.length === 0) continue;
    const last = turns.at(-1);
    if (last?.role === role) last.content.push(...blocks);
    else turns.push({ role, content: blocks });
  }
  const end = turns.at(-1)?.content;
  const block = end?.at(-1);
  if (options.cache && end && block && block.type !== "thinking" && block.type !== "redacted_thinking") {
    end[end.length - 1] = { ...block, cache_control: { type: "ephemeral" } } as Block;
  }
  return turns;
}

function userBlocks(message: Exclude<ModelMessage, AssistantMessage>): Block[] {
  if (message.role === "user") return message.content.flatMap(userPart);
  return [
    {
      type: "tool_result",
      tool_use_id: message.toolCallId,
      content: message.content,
      ...(message.isError ? { is_error: true } : {}),
    },
  ];
}

function userPart(part: UserPart): Block[] {
  switch (part.type) {
    case "text":
      return textBlocks(part.text);
    case "image_url":
      return [{ type: "image", source: { type: "url", url: part.url } }];
    case "image": {
      const mediaType = part.mediaType as Anthropic.Base64ImageSource["media_type"];
      return [{ type: "image", source: { type: "base64", media_type: mediaType, data: part.data } }];
    }
  }
}

function assistantBlocks(message: AssistantMessage, withThinking: boolean): Block[] {
  const marks = withThinking ? thinkingMarks(message) : [];
  const thoughts = marks.filter(({ mark }) => mark.kind === "thinking").map(({ mark }) => mark.thinkingAt);
  const blocks: Block[] = [];
  let textAt = 0;
  let callAt = 0;
  const upTo = (textEnd: number, callEnd: number) => {
    blocks.push(...textBlocks(message.text.slice(textAt, textEnd)));
    blocks.push(...message.toolCalls.slice(callAt, callEnd).map(toolUse));
    textAt = Math.max(textAt, textEnd);
    callAt = Math.max(callAt, callEnd);
  };
  for (const { mark, sealed } of marks) {
    upTo(mark.textAt, mark.callsBefore);
    if (mark.kind === "redacted") {
      blocks.push({ type: "redacted_thinking", data: sealed });
      continue;
    }
    thoughts.shift();
    const thinking = (message.thinking ?? "").slice(mark.thinkingAt, thoughts[0]);
    blocks.push({ type: "thinking", thinking, signature: sealed });
  }
  upTo(message.text.length, message.toolCalls.length);
  // Thinking alone is not an answer, and the API refuses it as one.
  return blocks.some((block) => block.type !== "thinking" && block.type !== "redacted_thinking")
    ? blocks
    : [];
}

function thinkingMarks(message: AssistantMessage): { mark: ThinkingMark; sealed: string }[] {
  const first =
    message.thinkingSignature === null
      ? []
      : [
          {
            mark: { kind: "thinking" as const, thinkingAt: 0, textAt: 0, callsBefore: 0 },
            sealed: message.thinkingSignature,
          },
        ];
  return [...first, ...message.reasoningItems.flatMap(markOf)];
}

function markOf(item: ReasoningItem): { mark: ThinkingMark; sealed: string }[] {
  const mark = item.provider === ANTHROPIC_PROVIDER ? decodeMark(item.itemId) : null;
  return mark === null || item.encryptedContent === null ? [] : [{ mark, sealed: item.encryptedContent }];
}

function toolUse(call: AssistantMessage["toolCalls"][number]): Block {
  return { type: "tool_use", id: call.id, name: call.name, input: replayedArguments(call.argumentsJson) };
}

/** The API refuses a text block of nothing but white space. */
function textBlocks(text: string): Block[] {
  return text.trim() === "" ? [] : [{ type: "text", text }];
}
