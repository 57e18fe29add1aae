/** The ways a turn ends: one terminal event each, then `session.idled` (I6). */

import type { Clock } from "../base/clock.ts";
import { newId } from "../base/id.ts";
import { preview } from "../base/json.ts";
import type { NewEvent, TurnErrorCode } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import { type Message, textOf } from "../contract/message.ts";
import { addUsage, NO_USAGE, type TokenUsage } from "../contract/usage.ts";
import type { ClaimedRun } from "../db/claim.ts";
import type { Ending } from "../db/writer.ts";
import { friendlyText } from "./retry.ts";
import { contextOf, type RunScope } from "./scope.ts";

export function completedEnding(
  scope: RunScope,
  end: {
    /** The final message, or null when the turn ends without one of its own. */
    message: Message | null;
    iterations: number;
    usage: TokenUsage;
    seen: number;
    status: string | null;
  },
): Ending {
  const { run, deps } = scope;
  const text = end.message === null ? "" : textOf(end.message.content);
  const usage = addUsage(scope.usage, end.usage);
  return {
    state: "completed",
    errorCode: null,
    error: null,
    finalMessageId: end.message?.id ?? null,
    outputPreview: text === "" ? null : preview(text, limits.previewChars),
    seenInputSequence: end.seen,
    events: [
      {
        type: "turn.completed",
        context: contextOf(run),
        data: {
          turn_id: run.id,
          iterations: end.iterations,
          duration_ms: Math.max(0, deps.clock.now().getTime() - run.started_at.getTime()),
          usage,
          ...(end.message === null ? {} : { final_message_id: end.message.id }),
          ...(text === "" ? {} : { final_answer_preview: preview(text, limits.previewChars) }),
          llm_call_count: end.iterations,
          tool_call_count: scope.toolCallCount,
          ...(end.status === null ? {} : { status: end.status }),
        },
      },
      idled(run, end.iterations, usage),
    ],
  };
}

/** A turn that failed also answers: the person who waits reads what happened and what to do. */
export function failedEnding(
  run: ClaimedRun,
  clock: Clock,
  failure: { code: TurnErrorCode; error: string },
): Ending {
  const disclosure = run.controls?.error_disclosure ?? "standard";
  const shownCode = disclosure === "generic" ? genericCode(failure.code) : failure.code;
  const shownError = disclosure === "generic" ? friendlyText(failure.code, "", "generic") : failure.error;
  const message: Message = {
    id: newId("message"),
    role: "agent",
    content: [{ type: "text", text: friendlyText(failure.code, failure.error, disclosure) }],
    created_at: clock.now().toISOString(),
    phase: "final_answer",
  };
  return {
    state: "failed",
    errorCode: failure.code,
    error: failure.error,
    finalMessageId: message.id,
    outputPreview: preview(textOf(message.content), limits.previewChars),
    seenInputSequence: null,
    events: [
      {
        type: "output.message.completed",
        context: contextOf(run),
        data: { message, error_code: shownCode, error_disclosure: disclosure },
      },
      {
        type: "turn.failed",
        context: contextOf(run),
        data: { turn_id: run.id, error: shownError, error_code: shownCode, error_disclosure: disclosure },
      },
      idled(run, run.iterations, NO_USAGE),
    ],
  };
}

/** For a run that was taken up again and again without getting anywhere. */
export const sealedEnding = (run: ClaimedRun, detail: string): Ending =>
  sealed(run, "no_progress", "processing_error", detail);

/** For a run whose budget is used up. */
export const budgetEnding = (run: ClaimedRun, detail: string): Ending =>
  sealed(run, "budget", "budget_exhausted", detail);

function sealed(
  run: ClaimedRun,
  reason: "no_progress" | "budget",
  errorCode: TurnErrorCode,
  detail: string,
): Ending {
  return {
    state: "sealed",
    errorCode,
    error: detail,
    finalMessageId: null,
    outputPreview: null,
    seenInputSequence: null,
    events: [
      {
        type: "turn.sealed",
        context: contextOf(run),
        data: { turn_id: run.id, reason, detail, iterations: run.iterations },
      },
      idled(run, run.iterations, NO_USAGE),
    ],
  };
}

function idled(run: ClaimedRun, iterations: number, usage: TokenUsage): NewEvent {
  return {
    type: "session.idled",
    context: contextOf(run),
    data: { turn_id: run.id, iterations, ...(usage === NO_USAGE ? {} : { usage }) },
  };
}

/** The four words that `generic` disclosure collapses to (wire contract, section 7.4). */
function genericCode(code: TurnErrorCode): string {
  if (code === "provider_rate_limited") return "rate_limited";
  if (code === "request_too_large") return "request_too_large";
  if (code === "provider_unavailable" || code === "dependency_unavailable") return "service_unavailable";
  return "internal_error";
}
