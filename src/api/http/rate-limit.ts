/**
 * So many requests a minute from one address, for each process. A bucket for each address, refilled all the time:
 * a whole minute's worth may come at once, then as many as the rate lets in. Memory is bounded: the address that was
 * quiet for longest is forgotten, which gives it a full bucket again.
 */
import type { Clock } from "../../base/clock.ts";
import { limits } from "../../contract/limits.ts";

export interface RateLimit {
  /** Counts one request. `waitSeconds` is null when it is let in; else when the next one will be. */
  take(address: string): { waitSeconds: number | null; remaining: number };
  perMinute: number;
}

interface Bucket {
  tokens: number;
  atMs: number;
}

/** @param perMinute  requests; also how many may come at once */
export function createRateLimit(options: {
  perMinute: number;
  clock: Pick<Clock, "monotonicMs">;
  addressesMax?: number;
}): RateLimit {
  const { perMinute, clock, addressesMax = limits.rateLimitAddressesMax } = options;
  // In the order of their last request: a map keeps the order of insertion.
  const buckets = new Map<string, Bucket>();
  return {
    perMinute,
    take(address) {
      const nowMs = clock.monotonicMs();
      const last = buckets.get(address);
      const refilled = last ? last.tokens + ((nowMs - last.atMs) * perMinute) / 60_000 : perMinute;
      const tokens = Math.min(perMinute, refilled);
      const isLetIn = tokens >= 1;
      buckets.delete(address);
      buckets.set(address, { tokens: isLetIn ? tokens - 1 : tokens, atMs: nowMs });
      if (buckets.size > addressesMax) buckets.delete(buckets.keys().next().value as string);
      return {
        waitSeconds: isLetIn ? null : Math.max(1, Math.ceil(((1 - tokens) * 60) / perMinute)),
        remaining: Math.floor(isLetIn ? tokens - 1 : tokens),
      };
    },
  };
}
