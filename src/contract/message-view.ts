import type { Event } from "./event.ts";
import type { Message } from "./message.ts";

/**
 * The message with the results of tools as the values that they are: the log keeps what the model reads, text. A text
 * that is a JSON object or list is what a tool or a client has answered as one.
 */
export function withResultValues(message: Message): Message {
  if (message.role !== "tool_result") return message;
  const content = message.content.map((part) =>
    part.type === "tool_result" && typeof part.result === "string"
      ? { ...part, result: resultOf(part.result) }
      : part,
  );
  return { ...message, content };
}

function resultOf(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** An event as the message that it stands for, or null: messages are a view of the log, and this is the view. */
export function messageOfEvent(event: Event): Message | null {
  if (event.type === "input.message" || event.type === "output.message.completed") return event.data.message;
  if (event.type !== "tool.completed") return null;
  const { tool_call_id, result, error } = event.data;
  const texts = (result ?? []).flatMap((part) => (part.type === "text" ? [part.text] : []));
  return {
    // Tool results have no message id of their own; the event's is as stable.
    id: event.id.replace("event_", "message_"),
    role: "tool_result",
    content: [
      {
        type: "tool_result",
        tool_call_id,
        ...(result === undefined || result === null ? {} : { result: texts.join("\n") }),
        ...(error === undefined || error === null ? {} : { error }),
      },
    ],
    created_at: event.ts,
  };
}
