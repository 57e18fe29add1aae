import type { ContentPart } from "../contract/message.ts";

export interface ToolCall {
  id: string;
  name: string;
  arguments: unknown;
}

/** What a message asks to be called. */
export function toolCallsOf(parts: readonly ContentPart[]): ToolCall[] {
  return parts.flatMap((part) => (part.type === "tool_call" ? [part] : []));
}

/** The readable part of a tool's result: its text, or what else it holds as JSON. */
export function outputOf(parts: readonly ContentPart[]): string {
  return parts
    .map((part) => {
      if (part.type === "text") return part.text;
      if (part.type === "image" || part.type === "image_file") return "[image]";
      return JSON.stringify(part);
    })
    .join("\n");
}
