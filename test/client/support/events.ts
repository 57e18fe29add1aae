/** Builds events as a server would send them: ids, sequences and times are filled in. */
import type { Event, EventType, NewEvent } from "../../../src/contract/event.ts";
import type { Message } from "../../../src/contract/message.ts";

export const hex = (number: number): string => number.toString(16).padStart(32, "0");
export const sessionIdOf = (number: number): string => `session_${hex(number)}`;
export const turnIdOf = (number: number): string => `turn_${hex(number)}`;
export const messageIdOf = (number: number): string => `message_${hex(number)}`;
export const HARNESS_ID = `harness_${hex(1)}`;
export const MODEL = "llmsim-echo";

export function stamp(events: readonly NewEvent[], sessionId: string, after = 0): Event[] {
  return events.map((event, index) => {
    const sequence = after + index + 1;
    return {
      ...event,
      id: `event_${hex(sequence)}`,
      ts: new Date(Date.UTC(2026, 7, 1, 10, 0, 0, sequence)).toISOString(),
      session_id: sessionId,
      sequence,
      context: event.context ?? {},
    } as Event;
  });
}

export interface ToolScript {
  id: string;
  name: string;
  arguments: unknown;
  output: string;
  status?: "success" | "error";
}

export interface ReasonScript {
  chunks: readonly string[];
  thinking?: readonly string[];
  tools?: readonly ToolScript[];
  /** Attempts that died before they were committed: the chunks that each of them got out. */
  dead?: readonly (readonly string[])[];
}

export interface TurnScript {
  turnId: string;
  input: string;
  reasons: readonly ReasonScript[];
  end?: "completed" | "failed" | "sealed" | "cancelled";
}

/** Every event of one turn, in the order of the wire contract. */
export function turnEvents(script: TurnScript): NewEvent[] {
  const { turnId } = script;
  const events: NewEvent[] = [];
  const context = { turn_id: turnId, input_message_id: messageIdOf(1), trace_id: turnId };
  const add: Add = (type, data) => {
    events.push({ type, data, context } as NewEvent);
  };

  add("input.message", { message: message("user", script.input) });
  add("session.activated", { turn_id: turnId, input_message_id: messageIdOf(1) });
  add("turn.started", { turn_id: turnId, input_message_id: messageIdOf(1) });
  for (const [index, reason] of script.reasons.entries()) {
    const begin = () => {
      add("reason.started", { harness_id: HARNESS_ID, metadata: { model: MODEL } });
      add("output.message.started", { turn_id: turnId, model: MODEL, iteration: index + 1 });
    };
    for (const chunks of reason.dead ?? []) {
      begin();
      for (const delta of chunks) add("output.message.delta", { turn_id: turnId, delta });
    }
    begin();
    addAnswer(add, turnId, reason);
    addTools(add, reason.tools ?? []);
  }
  addEnd(add, turnId, script);
  return events;
}

type Add = <T extends EventType>(type: T, data: Extract<NewEvent, { type: T }>["data"]) => void;

function addAnswer(add: Add, turnId: string, reason: ReasonScript): void {
  const thinking = reason.thinking?.join("") ?? "";
  if (reason.thinking) {
    add("reason.thinking.started", { turn_id: turnId });
    for (const delta of reason.thinking) add("reason.thinking.delta", { turn_id: turnId, delta });
    add("reason.thinking.completed", { turn_id: turnId, thinking });
  }
  for (const delta of reason.chunks) add("output.message.delta", { turn_id: turnId, delta });
  const text = reason.chunks.join("");
  const calls = (reason.tools ?? []).map(({ id, name, arguments: input }) => ({
    type: "tool_call" as const,
    id,
    name,
    arguments: input,
  }));
  add("output.message.completed", {
    message: {
      ...message("agent", text),
      content: [...(text === "" ? [] : [{ type: "text" as const, text }]), ...calls],
      phase: calls.length > 0 ? "commentary" : "final_answer",
    },
  });
  add("reason.completed", {
    success: true,
    has_tool_calls: calls.length > 0,
    tool_call_count: calls.length,
    usage: { input_tokens: 10, output_tokens: 5, estimated_cost_usd: 0.001 },
  });
}

function addTools(add: Add, tools: readonly ToolScript[]): void {
  if (tools.length === 0) return;
  add("act.started", { tool_calls: tools.map(({ id, name }) => ({ id, name })) });
  for (const tool of tools) {
    add("tool.started", { tool_call: { id: tool.id, name: tool.name, arguments: tool.arguments } });
  }
  for (const tool of tools) {
    const isSuccess = (tool.status ?? "success") === "success";
    add("tool.completed", {
      tool_call_id: tool.id,
      tool_name: tool.name,
      success: isSuccess,
      status: tool.status ?? "success",
      result: [{ type: "text", text: tool.output }],
      error: isSuccess ? null : tool.output,
      duration_ms: 12,
    });
  }
  add("act.completed", { completed: true, success_count: tools.length, error_count: 0 });
}

function addEnd(add: Add, turnId: string, script: TurnScript): void {
  switch (script.end ?? "completed") {
    case "completed":
      add("turn.completed", { turn_id: turnId, iterations: script.reasons.length });
      break;
    case "failed":
      add("output.message.completed", {
        message: message("agent", "The model could not be reached."),
        error_code: "provider_unavailable",
      });
      add("turn.failed", { turn_id: turnId, error: "status 503", error_code: "provider_unavailable" });
      break;
    case "sealed":
      add("turn.sealed", { turn_id: turnId, reason: "no_progress" });
      break;
    case "cancelled":
      add("turn.cancelled", { turn_id: turnId, reason: "cancelled by the user" });
      add("input.message", { message: message("user", "User requested to cancel the work.") });
      add("output.message.completed", { message: message("agent", "Work was cancelled by user.") });
      break;
  }
  add("session.idled", { turn_id: turnId });
}

export function message(role: Message["role"], text: string): Message {
  return {
    id: messageIdOf(1),
    role,
    content: [{ type: "text", text }],
    created_at: "2026-08-01T10:00:00.000Z",
  };
}
