/**
 * PURE: the circuit breaker of one provider and model.
 *
 *   closed ──failures in a row──▶ open ──cool-down──▶ half_open (one probe) ──answers──▶ closed
 *                                  ▲                      │
 *                                  └──────── fails ───────┘   the cool-down doubles
 *
 * Only what is the provider's own fault counts: 5xx, no connection, silence, a stream that breaks. A provider that
 * asks for a longer wait than a call waits by itself opens the breaker for just that long: to ask before is useless.
 * One that an operator opened stays open until an operator closes it.
 */
import { type Breaker, CLOSED_BREAKER } from "../db/providers/breakers.ts";
import type { DriverError } from "../llm/driver.ts";

/** Attempts, not calls: a call asks up to four times. So a blip of one call opens nothing. */
export const FAILURES_TO_OPEN = 8;
/** Failures further apart than this are not one outage. */
export const WINDOW_MS = 60_000;
export const COOL_DOWN = { baseMs: 5_000, capMs: 60_000 } as const;
/** Past the silence after which a call is broken off: a probe whose process died is given up. */
export const PROBE_MS = 90_000;
const RATE_LIMITED_MAX_MS = 600_000;

export type Happening =
  | { kind: "failed"; isProbe: boolean }
  /** The provider named a time before which asking again is useless. */
  | { kind: "asked_to_wait"; waitMs: number }
  | { kind: "succeeded"; isProbe: boolean }
  /** Someone wants to call although it is not closed. */
  | { kind: "probe" }
  /** The probe ended without an answer or a failure: its turn was cancelled. */
  | { kind: "abandoned" };

/** @returns the breaker as it is from now on, or null when nothing changes */
export function nextBreaker(breaker: Breaker, happening: Happening, now: Date): Breaker | null {
  switch (happening.kind) {
    case "failed":
      return failed(breaker, happening.isProbe, now);
    case "asked_to_wait":
      return askedToWait(breaker, happening.waitMs, now);
    case "succeeded":
      return succeeded(breaker, happening.isProbe);
    case "probe":
      return isDue(breaker, now)
        ? { ...breaker, state: "half_open", probeExpiresAt: later(now, PROBE_MS) }
        : null;
    case "abandoned":
      return breaker.state === "half_open"
        ? { ...breaker, state: "open", halfOpenAt: now, probeExpiresAt: null }
        : null;
  }
}

export function coolDownMs(trips: number): number {
  return Math.min(COOL_DOWN.capMs, COOL_DOWN.baseMs * 2 ** Math.min(trips - 1, 20));
}

function failed(breaker: Breaker, isProbe: boolean, now: Date): Breaker | null {
  if (breaker.state === "half_open") {
    // A call from before it opened says nothing about now.
    return isProbe ? opened(breaker, breaker.trips + 1, now) : null;
  }
  if (breaker.state === "open") return null;
  const isInWindow =
    breaker.windowStartedAt !== null && now.getTime() - breaker.windowStartedAt.getTime() <= WINDOW_MS;
  const counted: Breaker = {
    ...breaker,
    failureCount: isInWindow ? breaker.failureCount + 1 : 1,
    windowStartedAt: isInWindow ? breaker.windowStartedAt : now,
    lastFailureAt: now,
  };
  return counted.failureCount >= FAILURES_TO_OPEN ? opened(counted, 1, now) : counted;
}

function opened(breaker: Breaker, trips: number, now: Date): Breaker {
  return {
    ...breaker,
    state: "open",
    reason: "failures",
    trips,
    lastFailureAt: now,
    openedAt: breaker.state === "closed" ? now : breaker.openedAt,
    halfOpenAt: later(now, coolDownMs(trips)),
    probeExpiresAt: null,
  };
}

function askedToWait(breaker: Breaker, waitMs: number, now: Date): Breaker | null {
  if (breaker.reason === "operator") return null;
  const halfOpenAt = later(now, Math.min(waitMs, RATE_LIMITED_MAX_MS));
  if (breaker.state === "open" && breaker.halfOpenAt !== null && breaker.halfOpenAt >= halfOpenAt)
    return null;
  return {
    ...breaker,
    state: "open",
    reason: "rate_limited",
    lastFailureAt: now,
    openedAt: breaker.state === "closed" ? now : breaker.openedAt,
    halfOpenAt,
    probeExpiresAt: null,
  };
}

function succeeded(breaker: Breaker, isProbe: boolean): Breaker | null {
  if (breaker.state === "closed") {
    return breaker.failureCount === 0 ? null : { ...breaker, failureCount: 0, windowStartedAt: null };
  }
  if (!isProbe || breaker.reason === "operator") return null;
  return { ...CLOSED_BREAKER, successCount: breaker.successCount + 1, lastFailureAt: breaker.lastFailureAt };
}

function isDue(breaker: Breaker, now: Date): boolean {
  if (breaker.state === "half_open") return breaker.probeExpiresAt !== null && breaker.probeExpiresAt <= now;
  return breaker.state === "open" && breaker.halfOpenAt !== null && breaker.halfOpenAt <= now;
}

const later = (now: Date, ms: number) => new Date(now.getTime() + ms);

/**
 * What a failed request says about its provider; null when the fault is the request's, the key's or nobody's.
 *
 * @param ownWaitMaxMs  the longest wait that a call takes upon itself
 */
export function verdictOnProvider(
  error: DriverError,
  ownWaitMaxMs: number,
): { kind: "failed" } | { kind: "asked_to_wait"; waitMs: number } | null {
  if (error.retryAfterMs !== null && error.retryAfterMs > ownWaitMaxMs && error.retryable) {
    return { kind: "asked_to_wait", waitMs: error.retryAfterMs };
  }
  if (error.code !== "provider_unavailable" || !error.retryable) return null;
  // A conflict is about the one request.
  return error.status === 409 ? null : { kind: "failed" };
}
