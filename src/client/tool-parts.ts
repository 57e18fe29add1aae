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

/** What the images of a message are called: a file's name, an address, or `inline`. */
export function imageNames(parts: readonly ContentPart[]): string[] {
  return parts.flatMap((part) => {
    if (part.type === "image_file") return [part.filename ?? part.image_id];
    if (part.type !== "image") return [];
    return [part.url && !part.base64 && !part.url.startsWith("data:") ? part.url : "inline"];
  });
}

/** The readable part of a tool's result: its text, or what else it holds as JSON. */
export function outputOf(parts: readonly ContentPart[]): string {
  return parts
    .map((part) => {
      if (part.type === "text") return part.text;
      if (part.type === "image" || part.type === "image_file")
        return `[image ${imageNames([part]).join("")}]`;
      return JSON.stringify(part);
    })
    .join("\n");
}
