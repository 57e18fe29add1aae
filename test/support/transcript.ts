/** The event log as text, one event a line, without what differs from run to run: for golden files. */
import { assertNever } from "../../src/base/assert.ts";
import type { Event } from "../../src/contract/event.ts";
import { type ContentPart, textOf } from "../../src/contract/message.ts";

/**
 * @param events        oldest first
 * @param options.durable          leaves out what a repeated attempt announces again (…started, deltas, progress)
 *                                 or adds (reason.recovered; fewer tokens for an answer that only went on), so that an interrupted run can be compared with a quiet one
 * @param options.withoutSequence  leaves out the sequence numbers
 */
export function transcript(
  events: readonly Event[],
  options: { durable?: boolean; withoutSequence?: boolean } = {},
): string {
  const lines: string[] = [];
  for (const event of events) {
    if (options.durable && (isAnnouncement(event) || event.type === "reason.recovered")) continue;
    if (options.durable && event.type === "act.completed") sortAct(lines);
    const place =
      options.durable || options.withoutSequence ? "" : `${String(event.sequence).padStart(3, "0")} `;
    const said =
      options.durable && event.type === "llm.generation" ? event.data.metadata.model : detail(event);
    lines.push(`${place}${event.type.padEnd(26)} ${said}`.trimEnd());
  }
  return `${lines.join("\n")}\n`;
}

/** Parallel calls finish in any order: the lines since the answer that made them are put into one. */
function sortAct(lines: string[]): void {
  const start = lines.findLastIndex((line) => line.startsWith("reason.completed")) + 1;
  lines.push(...lines.splice(start).sort());
}

function isAnnouncement(event: Event): boolean {
  return /\.(started|delta|progress)$/.test(event.type) && event.type !== "session.started";
}

function detail(event: Event): string {
  switch (event.type) {
    case "input.message":
      return JSON.stringify(firstLine(textOf(event.data.message.content)));
    case "output.message.completed":
      return [event.data.error_code ?? "", content(event.data.message.content)].join(" ").trim();
    case "output.message.started":
      return String(event.data.iteration ?? "");
    case "output.message.delta":
    case "reason.thinking.delta":
      return JSON.stringify(event.data.delta);
    case "reason.thinking.completed":
      return JSON.stringify(event.data.thinking);
    case "reason.completed":
      return event.data.success ? `tool_calls=${event.data.tool_call_count}` : "failed";
    case "reason.recovered":
      return `${event.data.mode} ${event.data.accumulated_len}`;
    case "reason.item":
      return event.data.item_id;
    case "llm.generation": {
      const { model, usage, error } = event.data.metadata;
      return error === undefined ? `${model} out=${usage?.output_tokens}` : `${model} ${error}`;
    }
    case "act.started":
      return event.data.tool_calls.map((call) => call.name).join(", ");
    case "act.completed":
      return `ok=${event.data.success_count} failed=${event.data.error_count}`;
    case "tool.started":
      return `${event.data.tool_call.name} ${JSON.stringify(event.data.tool_call.arguments)}`;
    case "tool.progress":
      return `${event.data.tool_name} ${event.data.message}`;
    case "tool.call_requested":
      return event.data.tool_calls.map((call) => `${call.name} ${JSON.stringify(call.arguments)}`).join(", ");
    case "tool.completed":
      return `${event.data.tool_name} ${event.data.status} ${content(event.data.result ?? [])}${event.data.error ?? ""}`;
    case "turn.completed":
      return `iterations=${event.data.iterations} tool_calls=${event.data.tool_call_count} ${event.data.status ?? ""}`.trim();
    case "turn.failed":
      return event.data.error_code ?? "";
    case "turn.cancelled":
    case "turn.sealed":
      return event.data.reason ?? "";
    case "budget.warning":
    case "budget.paused":
    case "budget.exhausted":
    case "budget.resumed":
      return event.data.message ?? "";
    case "input.queued":
      return `${event.data.queue_position} ${content(event.data.message.content)}`;
    case "session.title.updated":
      return event.data.title ?? "";
    case "input.promoted":
    case "input.withdrawn":
      return "";
    case "file.written":
      return `${event.data.operation} ${event.data.path} ${event.data.size_bytes}`;
    case "task.created":
    case "task.updated":
      return `${event.data.task.display_name} ${event.data.task.state}`;
    case "task.message.sent":
      return event.data.task_id;
    case "schedule.triggered":
      return event.data.description;
    case "session.started":
    case "session.activated":
    case "session.idled":
    case "turn.started":
    case "reason.started":
    case "reason.thinking.started":
      return "";
    default:
      return assertNever(event);
  }
}

function content(parts: readonly ContentPart[]): string {
  return parts
    .map((part) => {
      if (part.type === "text") return JSON.stringify(part.text);
      if (part.type === "tool_call") return `-> ${part.name} ${JSON.stringify(part.arguments)}`;
      return part.type;
    })
    .join(" ");
}

const firstLine = (text: string) => text.split("\n")[0] ?? "";
