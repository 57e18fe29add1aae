/** PURE: what becomes of a run whose step failed: try again later, end the turn, or stop silently. */
import { type Backoff, backoffMs } from "../base/backoff.ts";
import { LeaseLostError, RetryableError, TerminalError, UserError } from "../base/errors.ts";
import { TURN_ERROR_CODES, type TurnErrorCode } from "../contract/event.ts";

export type Verdict =
  | { kind: "reschedule"; delayMs: number; countsAsAttempt: boolean }
  | { kind: "fail"; code: TurnErrorCode; error: string }
  /** Someone else owns the run now: write nothing. */
  | { kind: "stop" };

/** Attempts of a run on passing errors without a new checkpoint. The driver has retried each call by itself before. */
export const RUN_ATTEMPTS_MAX = 5;
const RUN_BACKOFF: Backoff = { baseMs: 1_000, capMs: 30_000 };
/** A provider that asks for a longer wait than this gets a failed turn: nobody watches a chat for an hour. */
const RETRY_AFTER_MAX_MS = 120_000;

/** @param attempt  the attempt since the last checkpoint that failed, from 1; lost workers do not count */
export function verdictOn(error: unknown, attempt: number, random: () => number = Math.random): Verdict {
  if (error instanceof LeaseLostError) return { kind: "stop" };
  if (error instanceof UserError || error instanceof TerminalError) {
    return { kind: "fail", code: turnErrorCode(error.code), error: error.message };
  }
  if (error instanceof RetryableError) {
    const waitMs = error.retryAfterMs ?? 0;
    if (!error.countsAsAttempt) return { kind: "reschedule", delayMs: waitMs, countsAsAttempt: false };
    if (attempt >= RUN_ATTEMPTS_MAX || waitMs > RETRY_AFTER_MAX_MS) {
      return { kind: "fail", code: turnErrorCode(error.code), error: error.message };
    }
    const delayMs = Math.max(waitMs, backoffMs(RUN_BACKOFF, attempt - 1, random));
    return { kind: "reschedule", delayMs, countsAsAttempt: true };
  }
  // A bug of ours. It counts as an attempt: what broke once on odd timing may pass the second time.
  if (attempt < 2) {
    const delayMs = backoffMs(RUN_BACKOFF, attempt - 1, random);
    return { kind: "reschedule", delayMs, countsAsAttempt: true };
  }
  return {
    kind: "fail",
    code: "processing_error",
    error: "an internal error; the server's log has the details",
  };
}

function turnErrorCode(code: string): TurnErrorCode {
  return (TURN_ERROR_CODES as readonly string[]).includes(code)
    ? (code as TurnErrorCode)
    : "processing_error";
}

/** What the person who waits for an answer reads instead of one. */
export function friendlyText(code: TurnErrorCode, error: string, disclosure: string): string {
  if (disclosure === "generic") return FRIENDLY.processing_error;
  return `${FRIENDLY[code]}${disclosure === "detailed" || EXPLAINED.has(code) ? `\n\n${error}` : ""}`;
}

/** Codes whose own words help the person who can mend it, and hold no secret. */
const EXPLAINED: ReadonlySet<TurnErrorCode> = new Set([
  "model_not_configured",
  "model_unavailable",
  "provider_misconfigured",
  "request_too_large",
  "invalid_tool_schema",
]);

const FRIENDLY: Record<TurnErrorCode, string> = {
  provider_rate_limited: "The model provider is limiting our requests. Please try again in a moment.",
  provider_usage_limit_reached: "The model provider's usage limit has been reached.",
  provider_unavailable: "The model provider cannot be reached right now. Please try again in a moment.",
  provider_quota_exhausted: "The model provider's quota is used up.",
  provider_misconfigured: "The model provider refused our credentials or settings.",
  model_unavailable: "The model that was asked for is not available.",
  model_not_configured: "No model is configured.",
  request_too_large: "The conversation has become too long for the model.",
  invalid_tool_schema: "The model provider refused the definition of a tool.",
  budget_exhausted: "The budget is used up.",
  budget_paused: "The budget has paused this work.",
  blocked_by_hook: "This request was blocked.",
  dependency_unavailable: "Something this work depends on is not available right now.",
  processing_error: "Something went wrong while working on this. Please try again.",
};
