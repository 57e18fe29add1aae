/**
 * Where guardrails stand in a turn: before a call is run or asked about, before a tool's result is stored, before an
 * answer is. What is blocked is never stored, nor streamed: while a check may block answers, they are not sent in
 * pieces.
 */
import type { GuardedText, GuardrailHit, Guardrails } from "../capabilities/guardrail-checks.ts";
import type { Invoked } from "../capabilities/invoke.ts";
import type { Collected } from "../llm/collect.ts";
import type { RunScope } from "./scope.ts";

const ANSWER_HELD_BACK = "This answer was held back by a guardrail.";
const RESULT_HELD_BACK = "The result of this call was held back by a guardrail.";

type Guarded = Pick<RunScope, "guards" | "deps" | "run">;

/** True while answers go out whole: a piece that is out cannot be taken back. */
export function withholdsAnswers({ guards }: { guards: readonly Guardrails[] }): boolean {
  return guards.some((guard) => guard.blocks.has("output"));
}

/** Why the call is not run, for the model; null when nothing speaks against it. */
export function refusalOf(scope: Guarded, call: { name: string; argumentsJson: string }): string | null {
  const hit = inspect(scope, { stage: "tool_use", text: call.argumentsJson, toolName: call.name });
  if (hit === null) return null;
  return `A guardrail (${hit.check_id}) refuses this call; it did not run. ${hit.replacement ?? ""}`.trim();
}

export function guardedResult(scope: Guarded, toolName: string, outcome: Invoked): Invoked {
  const text = outcome.ok ? outcome.content : outcome.error;
  const hit = inspect(scope, { stage: "tool_output", text, toolName });
  if (hit === null) return outcome;
  const notice = hit.replacement ?? RESULT_HELD_BACK;
  return outcome.ok ? { ...outcome, content: notice } : { ...outcome, error: notice };
}

/** With an answer goes what the model thought on the way to it: it has the same things in it. */
export function guardedAnswer(scope: Guarded, answer: Collected): Collected {
  const hit = inspect(scope, { stage: "output", text: answer.text, toolName: null });
  if (hit === null) return answer;
  return {
    ...answer,
    text: hit.replacement ?? ANSWER_HELD_BACK,
    thinking: null,
    thinkingSignature: null,
    reasoningItems: [],
  };
}

/** The first hit that blocks. Every hit is logged, without the text that it found. */
function inspect({ guards, deps, run }: Guarded, input: GuardedText): GuardrailHit | null {
  const hits = guards.flatMap((guard) => guard.evaluate(input));
  for (const { check_id, reason_code, stage, action } of hits) {
    deps.log.info("a guardrail was hit", {
      run_id: run.id,
      session_id: run.session_id,
      check_id,
      reason_code,
      stage,
      action,
      ...(input.toolName === null ? {} : { tool: input.toolName }),
    });
  }
  return hits.find((hit) => hit.action === "block") ?? null;
}
