/**
 * Scripts for the simulated model: what to say, which tools to call and how to fail, written as YAML or JSON in a
 * fenced block of the system prompt or of a user message:
 *
 *     ```llmsim
 *     rate: 50                 # tokens a second; 0 = all at once
 *     steps:
 *       - thinking: The user wants two things.
 *         text: Let me look.
 *         tool_calls:
 *           - { name: get_current_time, arguments: { timezone: Europe/Kyiv } }
 *           - { name: read_file, arguments: { path: /notes.md } }
 *       - error: { code: provider_rate_limited, times: 1, retry_after_ms: 100 }
 *         text: Both done.
 *     ```
 *
 * The step to play is the number of answers that the model has given since: since the message that carries the
 * script, or since the last user message when the script is in the system prompt. So it is a function of the
 * request alone, and a run that starts again after a crash hears the same answer again.
 */
import { parse as parseYaml } from "yaml";
import { z } from "zod";
import { TURN_ERROR_CODES } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { FinishReason, ModelMessage, ModelRequest } from "./driver.ts";

const FINISH_REASONS = ["stop", "tool_calls", "length", "content_filter", "refusal", "other"] as const;

const LatencyMs = z.number().int().min(0).max(600_000);

const ScriptError = z.strictObject({
  code: z.enum(TURN_ERROR_CODES),
  message: z.string().optional(),
  /** Fails so many times, then the step is played; without it the step always fails. */
  times: z.number().int().min(1).optional(),
  retry_after_ms: z.number().int().min(0).optional(),
  /** False: before the first chunk. True: in the middle of the text, as a connection that breaks. */
  mid_stream: z.boolean().default(false),
});

const Step = z.strictObject({
  text: z.string().default(""),
  thinking: z.string().default(""),
  tool_calls: z
    .array(
      z.strictObject({
        name: z.string().min(1),
        /** An object, or the text as a careless model would write it. */
        arguments: z.union([z.record(z.string(), z.unknown()), z.string()]).default({}),
      }),
    )
    .max(limits.toolCallsPerAnswerMax)
    .default([]),
  error: ScriptError.optional(),
  latency_ms: LatencyMs.optional(),
  finish: z.enum(FINISH_REASONS satisfies readonly FinishReason[]).optional(),
});
export type SimStep = z.output<typeof Step>;

const Script = z.strictObject({
  /** Tokens a second. */
  rate: z.number().min(0).max(1_000_000).optional(),
  /** Before each answer begins, unless its step says otherwise. */
  latency_ms: LatencyMs.optional(),
  steps: z.array(Step).min(1).max(1_000),
});
type Script = z.output<typeof Script>;

/** A step with the pace of its script. */
export interface ScriptedStep {
  step: SimStep;
  rate: number | null;
  latencyMs: number;
}

/** A step that says this and nothing else. */
export function plainStep(said: Partial<SimStep>): SimStep {
  return { text: "", thinking: "", tool_calls: [], ...said };
}

/**
 * The step that a script in this request wants played now, or null when there is no script or it has ended.
 *
 * @returns `{ problem }` when a block is there but cannot be understood
 */
export function scriptedStep(request: ModelRequest): ScriptedStep | { problem: string } | null {
  const { messages } = request;
  const scripting = messages.findLastIndex(
    (message) => message.role === "user" && FENCE.test(userText(message)),
  );
  if (scripting >= 0) return pick(userText(messages[scripting]), answersAfter(messages, scripting));
  const lastUser = messages.findLastIndex((message) => message.role === "user");
  return FENCE.test(request.system) ? pick(request.system, answersAfter(messages, lastUser)) : null;
}

const FENCE = /```llmsim[^\S\n]*\n([\s\S]*?)```/;

function pick(text: string, answers: number): ScriptedStep | { problem: string } | null {
  const script = parseScript(FENCE.exec(text)?.[1] ?? "");
  if ("problem" in script) return script;
  const step = script.steps[answers];
  if (!step) return null;
  return { step, rate: script.rate ?? null, latencyMs: step.latency_ms ?? script.latency_ms ?? 0 };
}

function parseScript(source: string): Script | { problem: string } {
  let value: unknown;
  try {
    value = parseYaml(source);
  } catch (thrown) {
    return { problem: thrown instanceof Error ? thrown.message : String(thrown) };
  }
  const parsed = Script.safeParse(value);
  return parsed.success ? parsed.data : { problem: z.prettifyError(parsed.error) };
}

function answersAfter(messages: readonly ModelMessage[], index: number): number {
  return messages.slice(index + 1).filter((message) => message.role === "assistant").length;
}

/** The text parts of a user message, joined by blank lines. */
export function userText(message: ModelMessage | undefined): string {
  if (message?.role !== "user") return "";
  return message.content.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n\n");
}
