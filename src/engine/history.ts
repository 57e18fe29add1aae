/**
 * PURE: the event log as messages for the model. How much of it: history-window.ts.
 *
 * The log is in order of commit, the model wants order of conversation, and the two differ in three places. A
 * message that arrived while the model was answering stands before the answer in the log, but the model had not
 * seen it: it belongs after the answer and its tool results. Results of parallel calls are logged as they finish:
 * they belong in the order of the calls. And a turn that was cut short leaves calls without results, which no
 * provider takes: each gets one that says so (I8). A result that comes after all (the turn was retried, or an operator
 * had the call run again) takes that one's place.
 */
import type { Event } from "../contract/event.ts";
import type { ContentPart } from "../contract/message.ts";
import type { ModelImage } from "../db/files/images.ts";
import type { ModelMessage, ModelToolCall, ReasoningItem, UserPart } from "../llm/driver.ts";

type AssistantMessage = Extract<ModelMessage, { role: "assistant" }>;
type ToolMessage = Extract<ModelMessage, { role: "tool" }>;

export const INTERRUPTED_RESULT =
  "This call was interrupted: the turn ended before it had a result. It may or may not have taken effect.";

/** Stored images by id; `left_out`: there is no room for it in the call. What is not in it is gone. */
export type ShownImages = ReadonlyMap<string, ModelImage | "left_out">;

/**
 * @param upTo    events after this sequence are left out: the model call that asks is not to see them
 * @param images  those that the messages refer to
 */
export function modelMessages(
  events: readonly Event[],
  upTo: number = Number.MAX_SAFE_INTEGER,
  images: ShownImages = new Map(),
): ModelMessage[] {
  const out: ModelMessage[] = [];
  let held: ModelMessage[] = [];
  let items: ReasoningItem[] = [];
  let isReasoning = false;
  let open: { calls: readonly ModelToolCall[]; results: Map<string, ToolMessage> } | null = null;

  /** Where the result of each call stands in `out`. */
  const places = new Map<string, number>();
  const settle = () => {
    for (const call of open?.calls ?? []) {
      places.set(call.id, out.length);
      out.push(open?.results.get(call.id) ?? interrupted(call));
    }
    open = null;
  };
  const settleAndRelease = () => {
    settle();
    out.push(...held);
    held = [];
    isReasoning = false;
  };

  for (const event of events) {
    if (event.sequence > upTo) break;
    switch (event.type) {
      case "reason.started":
        settleAndRelease();
        isReasoning = true;
        items = [];
        break;
      case "input.message": {
        const content = userParts(event.data.message.content, images);
        if (content.length === 0) break;
        if (isReasoning || open) held.push({ role: "user", content });
        else out.push({ role: "user", content });
        break;
      }
      case "reason.item":
        items.push({
          provider: event.data.provider,
          itemId: event.data.item_id,
          summary: event.data.summary ?? [],
          encryptedContent: event.data.encrypted_content ?? null,
        });
        break;
      case "output.message.completed": {
        // Written by us, not by a model (a cancelled or failed turn): what was open is over.
        if (event.data.metadata === undefined) settleAndRelease();
        if (event.data.error_code !== undefined) break;
        const message = assistantMessage(event.data.message, items);
        isReasoning = false;
        items = [];
        out.push(message);
        if (message.toolCalls.length > 0) open = { calls: message.toolCalls, results: new Map() };
        else {
          out.push(...held);
          held = [];
        }
        break;
      }
      case "tool.completed": {
        const { tool_call_id, tool_name, success, result, error } = event.data;
        const message: ToolMessage = {
          role: "tool",
          toolCallId: tool_call_id,
          toolName: tool_name,
          content: success ? partsText(result ?? []) : (error ?? "The call failed."),
          isError: !success,
        };
        const place = places.get(tool_call_id);
        if (place === undefined) open?.results.set(tool_call_id, message);
        else out[place] = message;
        break;
      }
    }
  }
  settleAndRelease();
  return out;
}

/** Every tool call id that the log has seen; a new answer must not repeat one. */
export function usedCallIds(events: readonly Event[]): Set<string> {
  const ids = new Set<string>();
  for (const event of events) {
    if (event.type !== "output.message.completed") continue;
    for (const part of event.data.message.content) if (part.type === "tool_call") ids.add(part.id);
  }
  return ids;
}

function assistantMessage(
  message: { content: readonly ContentPart[]; thinking?: string; thinking_signature?: string },
  reasoningItems: readonly ReasoningItem[],
): AssistantMessage {
  return {
    role: "assistant",
    text: partsText(message.content),
    toolCalls: message.content.flatMap((part) =>
      part.type === "tool_call"
        ? [{ id: part.id, name: part.name, argumentsJson: argumentsText(part.arguments) }]
        : [],
    ),
    thinking: message.thinking ?? null,
    thinkingSignature: message.thinking_signature ?? null,
    reasoningItems: [...reasoningItems],
  };
}

/** Arguments that were not JSON are kept as the text that the model wrote. */
function argumentsText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? {});
}

/** Ids of the stored images that messages of users refer to, the newest first, each once. */
export function imageIdsOf(events: readonly Event[], upTo: number): string[] {
  const ids = events.flatMap((event) =>
    event.type === "input.message" && event.sequence <= upTo
      ? event.data.message.content.flatMap((part) => (part.type === "image_file" ? [part.image_id] : []))
      : [],
  );
  return [...new Set(ids.reverse())];
}

function userParts(content: readonly ContentPart[], images: ShownImages): UserPart[] {
  return content.flatMap((part): UserPart[] => {
    if (part.type === "text") return part.text === "" ? [] : [{ type: "text", text: part.text }];
    if (part.type === "image_file") {
      const image = images.get(part.image_id);
      if (image !== undefined && image !== "left_out") return [{ type: "image", ...image }];
      const why = image === "left_out" ? "is left out, to make room" : "is not available any more";
      return [{ type: "text", text: `[The image ${part.filename ?? part.image_id} ${why}.]` }];
    }
    if (part.type !== "image") return [];
    if (part.base64) return [{ type: "image", mediaType: part.media_type ?? "image/png", data: part.base64 }];
    return part.url ? [{ type: "image_url", url: part.url }] : [];
  });
}

function partsText(content: readonly ContentPart[]): string {
  return content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}

function interrupted(call: ModelToolCall): ToolMessage {
  return {
    role: "tool",
    toolCallId: call.id,
    toolName: call.name,
    content: INTERRUPTED_RESULT,
    isError: true,
  };
}
