import type { Event, EventType } from "../contract/event.ts";
import { EVENT_TYPES } from "../contract/event.ts";
import { textOf } from "../contract/message.ts";

/** One line of a session's log as a person reads it; further lines of the text belong below it. */
export interface LogLine {
  /** Who or what speaks: a short word. */
  who: "user" | "agent" | "tool" | "wait" | "turn" | "session" | "error";
  text: string;
}

/** What `logLine` makes nothing of; a stream need not carry it. */
export const UNLOGGED_TYPES: readonly EventType[] = EVENT_TYPES.filter(
  (type) => /\.(?:delta|progress)$/.test(type) || /^(?:reason|act|llm|context|span)\./.test(type),
);

/** PURE: the line of an event; null when a person who reads along misses nothing without it. */
export function logLine(event: Event): LogLine | null {
  switch (event.type) {
    case "input.message":
      return { who: "user", text: textOf(event.data.message.content) };
    case "output.message.completed": {
      const text = textOf(event.data.message.content);
      return text === "" ? null : { who: "agent", text };
    }
    case "tool.started": {
      const { name, arguments: sent } = event.data.tool_call;
      return { who: "tool", text: `→ ${name} ${JSON.stringify(sent)}` };
    }
    case "tool.completed": {
      const { tool_name: name, success, error, duration_ms: ms } = event.data;
      const took = ms === undefined || ms === null ? "" : ` ${ms} ms`;
      return { who: "tool", text: success ? `✓ ${name}${took}` : `✗ ${name}${took}: ${error ?? "failed"}` };
    }
    case "tool.call_requested":
      return {
        who: "wait",
        text: event.data.tool_calls
          .map(({ name, arguments: sent }) => `for the client to run ${name} ${JSON.stringify(sent)}`)
          .join("\n"),
      };
    case "turn.completed": {
      const { usage, iterations } = event.data;
      return { who: "turn", text: `completed${countOf("step", iterations)}${spent(usage)}` };
    }
    case "turn.failed":
      return { who: "error", text: [event.data.error_code, event.data.error].filter(Boolean).join(": ") };
    case "turn.cancelled":
      return { who: "turn", text: "cancelled" };
    case "turn.sealed":
      return { who: "error", text: "sealed: its worker was lost again and again" };
    case "session.started":
      return { who: "session", text: "started" };
    case "schedule.triggered":
      return { who: "session", text: `schedule: ${event.data.description}` };
    case "task.created":
      return { who: "tool", text: `handed out: ${event.data.task.display_name}` };
    case "budget.warning":
    case "budget.exhausted":
    case "budget.paused": {
      const { balance, limit, currency } = event.data;
      const left = `${balance} of ${limit} ${currency} left`;
      return event.type === "budget.paused"
        ? { who: "wait", text: `for the budget to be resumed: ${left}` }
        : { who: event.type === "budget.warning" ? "session" : "error", text: `budget: ${left}` };
    }
    default:
      return null;
  }
}

const countOf = (what: string, count: number | null | undefined) =>
  count === undefined || count === null ? "" : `, ${count} ${what}${count === 1 ? "" : "s"}`;

function spent(usage: Readonly<Record<string, unknown>> | null | undefined): string {
  if (!usage) return "";
  const number = (name: string) => (typeof usage[name] === "number" ? (usage[name] as number) : 0);
  const cost = number("estimated_cost_usd");
  return `, ${number("input_tokens")} tokens in, ${number("output_tokens")} out${cost > 0 ? `, $${cost.toFixed(4)}` : ""}`;
}
