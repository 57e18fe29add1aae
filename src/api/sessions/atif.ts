/**
 * PURE: a session's log as an Agent Trajectory Interchange Format document, version 1.7: one step for what a user
 * said, one for each model call with its tool calls and their results.
 *
 * https://github.com/harbor-framework/harbor/blob/main/rfcs/0001-trajectory-format.md
 */
import type { Event, EventType } from "../../contract/event.ts";
import type { ContentPart } from "../../contract/message.ts";
import type { TokenUsage } from "../../contract/usage.ts";

export const ATIF_VERSION = "ATIF-v1.7";

/** What the document is folded from; the rest of a log has no place in it. */
export const ATIF_EVENTS: readonly EventType[] = [
  "input.message",
  "output.message.completed",
  "reason.completed",
  "tool.completed",
  "turn.completed",
  "turn.failed",
  "turn.sealed",
  "turn.cancelled",
];

interface Metrics {
  prompt_tokens: number;
  completion_tokens: number;
  cached_tokens: number;
  cost_usd?: number;
  extra?: Record<string, number>;
}

interface Result {
  source_call_id: string;
  content: string;
  extra?: Record<string, unknown>;
}

export interface AtifStep {
  step_id: number;
  timestamp: string;
  source: "user" | "agent";
  message: string;
  model_name?: string;
  reasoning_content?: string;
  tool_calls?: { tool_call_id: string; function_name: string; arguments: object }[];
  observation?: { results: Result[] };
  metrics?: Metrics;
  llm_call_count?: number;
  extra?: Record<string, unknown>;
}

export interface AtifParts {
  steps: AtifStep[];
  turns: Record<string, unknown>[];
  /** Pictures cannot be shown: each left a mark in its message. */
  imagesOmitted: number;
}

export interface AtifFold {
  /** Events in order. */
  add(event: Event): void;
  /** True when the log may be cut before this event: no call of the steps so far waits for its result. */
  isBoundary(event: Event): boolean;
  /** About how large the parts are as JSON. */
  bytes(): number;
  parts(): AtifParts;
}

export function createAtifFold(): AtifFold {
  const steps: AtifStep[] = [];
  const turns: Record<string, unknown>[] = [];
  const calls = new Map<string, AtifStep>();
  const open = new Set<string>();
  let imagesOmitted = 0;
  let bytes = 0;

  const textOf = (parts: readonly ContentPart[]) => {
    const texts = parts.flatMap((part) => {
      if (part.type === "text") return [part.text];
      if (part.type !== "image" && part.type !== "image_file") return [];
      imagesOmitted += 1;
      return ["[image]"];
    });
    return texts.join("\n\n");
  };
  const push = (step: Omit<AtifStep, "step_id">) => {
    const full: AtifStep = { step_id: steps.length + 1, ...step };
    steps.push(full);
    bytes += JSON.stringify(full).length;
    return full;
  };
  const about = (event: Event) => ({ turn_id: event.context.turn_id, event_id: event.id });

  return {
    add(event) {
      switch (event.type) {
        case "input.message":
          push({
            timestamp: event.ts,
            source: "user",
            message: textOf(event.data.message.content),
            extra: about(event),
          });
          return;
        case "output.message.completed": {
          const { message, metadata, usage, error_code } = event.data;
          const made = message.content.flatMap((part) => (part.type === "tool_call" ? [part] : []));
          const step = push({
            timestamp: event.ts,
            source: "agent",
            message: textOf(message.content),
            ...(metadata ? { model_name: metadata.model } : {}),
            ...(message.thinking ? { reasoning_content: message.thinking } : {}),
            ...(made.length === 0
              ? {}
              : {
                  tool_calls: made.map((call) => ({
                    tool_call_id: call.id,
                    function_name: call.name,
                    arguments: objectOf(call.arguments),
                  })),
                }),
            ...(usage ? { metrics: metricsOf(usage) } : {}),
            // What the platform says in a model's place (a failed or cancelled turn) has no model.
            llm_call_count: metadata ? 1 : 0,
            extra: { ...about(event), ...(error_code ? { error: error_code } : {}) },
          });
          for (const { id } of made) {
            calls.set(id, step);
            open.add(id);
          }
          return;
        }
        case "tool.completed": {
          const { tool_call_id, success, status, result, error, duration_ms } = event.data;
          const step = calls.get(tool_call_id);
          open.delete(tool_call_id);
          if (!step) return;
          step.observation ??= { results: [] };
          const content = success ? textOf(result ?? []) : (error ?? "");
          step.observation.results.push({
            source_call_id: tool_call_id,
            content,
            extra: { status, ...(duration_ms == null ? {} : { duration_ms }) },
          });
          bytes += content.length + 150;
          return;
        }
        case "reason.completed": {
          const step = steps.findLast((one) => one.source === "agent");
          const { duration_ms } = event.data;
          if (step?.extra && step.extra.turn_id === event.context.turn_id && duration_ms != null) {
            step.extra.duration_ms = duration_ms;
          }
          return;
        }
        case "turn.completed":
        case "turn.failed":
        case "turn.sealed":
        case "turn.cancelled": {
          const { turn_id, ...data } = event.data as { turn_id: string; [name: string]: unknown };
          const kept = ["iterations", "duration_ms", "error_code", "reason"].flatMap((name) =>
            data[name] === undefined ? [] : [[name, data[name]]],
          );
          // What has no result by now gets none, unless the turn is tried again.
          open.clear();
          turns.push({ turn_id, status: event.type.slice("turn.".length), ...Object.fromEntries(kept) });
          bytes += 200;
          return;
        }
      }
    },
    isBoundary: (event) =>
      open.size === 0 && (event.type === "input.message" || event.type === "output.message.completed"),
    bytes: () => bytes,
    parts: () => ({ steps, turns, imagesOmitted }),
  };
}

/** Arguments that were no JSON object are kept as the text that the model wrote. */
function objectOf(value: unknown): object {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  return value === undefined || value === null ? {} : { value };
}

/** There a prompt's tokens hold the cached ones; our buckets are disjoint. */
function metricsOf(usage: TokenUsage): Metrics {
  const cached = usage.cache_read_tokens ?? 0;
  const written = usage.cache_creation_tokens ?? 0;
  const cost = usage.actual_cost_usd ?? usage.estimated_cost_usd;
  return {
    prompt_tokens: usage.input_tokens + cached + written,
    completion_tokens: usage.output_tokens,
    cached_tokens: cached,
    ...(cost === undefined ? {} : { cost_usd: cost }),
    ...(written === 0 ? {} : { extra: { cache_creation_input_tokens: written } }),
  };
}

export interface AtifAgent {
  name: string;
  version: string;
  model_name?: string;
}

/** The parts as a document that stands for itself. @param segment  null: the whole session */
export function atifDocument(
  sessionId: string,
  agent: AtifAgent,
  { steps, turns }: AtifParts,
  segment: { index: number; nextUrl: string | null } | null,
): Record<string, unknown> {
  const sum = (pick: (metrics: Metrics) => number) =>
    steps.reduce((total, { metrics }) => total + (metrics ? pick(metrics) : 0), 0);
  const index = segment?.index ?? 0;
  const model = steps.findLast((step) => step.model_name !== undefined)?.model_name;
  return {
    schema_version: ATIF_VERSION,
    session_id: sessionId,
    trajectory_id: `${sessionId}-${index}`,
    agent: { ...(model === undefined ? {} : { model_name: model }), ...agent },
    steps,
    final_metrics: {
      total_prompt_tokens: sum((metrics) => metrics.prompt_tokens),
      total_completion_tokens: sum((metrics) => metrics.completion_tokens),
      total_cached_tokens: sum((metrics) => metrics.cached_tokens),
      total_cost_usd: sum((metrics) => metrics.cost_usd ?? 0),
      total_steps: steps.length,
    },
    ...(segment?.nextUrl == null ? {} : { continued_trajectory_ref: segment.nextUrl }),
    extra: { turns, ...(segment === null ? {} : { segment_index: index }) },
  };
}
