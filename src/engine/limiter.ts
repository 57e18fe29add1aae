/**
 * How much one provider is asked at once, and how often: first come, first served. It counts the calls of this
 * process only; with several worker processes the provider sees the sum of their limits.
 */
import type { Clock } from "../base/clock.ts";
import type { ProviderLimits } from "../contract/provider.ts";

export interface Limiter {
  /**
   * Waits for its turn. Limits that were changed hold from the next call on.
   *
   * @returns the release, to be called once the call is over; null when the signal fired while waiting
   */
  enter(key: string, limits: ProviderLimits | null, signal: AbortSignal): Promise<(() => void) | null>;
}

const MINUTE_MS = 60_000;

interface Ticket {
  admit(): void;
}

interface Lane {
  limits: ProviderLimits;
  active: number;
  /** Monotonic times of the calls of the last minute, oldest first; kept only while they are counted. */
  begunAtMs: number[];
  waiting: Ticket[];
  isTimed: boolean;
}

export function createLimiter({ clock }: { clock: Clock }): Limiter {
  const lanes = new Map<string, Lane>();

  const pump = (lane: Lane) => {
    while (lane.waiting.length > 0) {
      if (lane.active >= (lane.limits.max_concurrent_requests ?? Number.POSITIVE_INFINITY)) return;
      const waitMs = untilAllowed(lane, clock.monotonicMs());
      if (waitMs > 0) return void lookAgain(lane, waitMs);
      lane.waiting.shift()?.admit();
    }
  };

  const lookAgain = async (lane: Lane, ms: number) => {
    if (lane.isTimed) return;
    lane.isTimed = true;
    await clock.sleep(ms);
    lane.isTimed = false;
    pump(lane);
  };

  const begin = (key: string, lane: Lane) => {
    lane.active += 1;
    if (lane.limits.requests_per_minute != null) lane.begunAtMs.push(clock.monotonicMs());
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      lane.active -= 1;
      pump(lane);
      const isIdle = lane.active === 0 && lane.waiting.length === 0 && lane.begunAtMs.length === 0;
      if (isIdle && lanes.get(key) === lane) lanes.delete(key);
    };
  };

  return {
    enter(key, limits, signal) {
      if (signal.aborted) return Promise.resolve(null);
      const known = lanes.get(key);
      if (!known && !isLimited(limits)) return Promise.resolve(() => {});
      const lane = known ?? { limits: {}, active: 0, begunAtMs: [], waiting: [], isTimed: false };
      lane.limits = limits ?? {};
      lanes.set(key, lane);
      return new Promise((resolve) => {
        const leave = () => {
          lane.waiting = lane.waiting.filter((other) => other !== ticket);
          resolve(null);
        };
        const ticket: Ticket = {
          admit() {
            signal.removeEventListener("abort", leave);
            resolve(begin(key, lane));
          },
        };
        signal.addEventListener("abort", leave, { once: true });
        lane.waiting.push(ticket);
        pump(lane);
      });
    },
  };
}

function isLimited(limits: ProviderLimits | null): boolean {
  return limits?.max_concurrent_requests != null || limits?.requests_per_minute != null;
}

/** Milliseconds until one more call fits into its minute. */
function untilAllowed(lane: Lane, nowMs: number): number {
  const perMinute = lane.limits.requests_per_minute;
  if (perMinute == null) {
    lane.begunAtMs = [];
    return 0;
  }
  const isOld = (atMs: number | undefined) => atMs !== undefined && nowMs - atMs >= MINUTE_MS;
  while (isOld(lane.begunAtMs[0])) lane.begunAtMs.shift();
  const blocking = lane.begunAtMs[lane.begunAtMs.length - perMinute];
  return blocking === undefined ? 0 : blocking + MINUTE_MS - nowMs;
}
