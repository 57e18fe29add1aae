import type { Event } from "../contract/event.ts";
import { textOf } from "../contract/message.ts";

/** PURE: what a person wants to know of an event, in a line. */
export function summaryOf(event: Event): string {
  switch (event.type) {
    case "input.message":
    case "output.message.completed":
      return textOf(event.data.message.content);
    case "output.message.delta":
      return event.data.delta;
    case "tool.started":
      return `${event.data.tool_call.name} ${JSON.stringify(event.data.tool_call.arguments)}`;
    case "tool.completed":
      return `${event.data.tool_name} ${event.data.status}${event.data.error ? `: ${event.data.error}` : ""}`;
    case "turn.failed":
      return `${event.data.error_code ?? ""} ${event.data.error}`.trim();
    default: {
      const { turn_id: _turn, ...data } = event.data as Record<string, unknown>;
      return Object.entries(data)
        .filter(([, value]) => typeof value !== "object" && value !== "")
        .map(([name, value]) => `${name}=${value}`)
        .join(" ");
    }
  }
}
