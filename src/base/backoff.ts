/** Exponential backoff with full jitter: a uniform draw from 0 to min(cap, base * 2^attempt). */
export interface Backoff {
  baseMs: number;
  capMs: number;
}

/**
 * @param attempt  0 for the first retry
 * @param random   a draw from [0, 1); handed in so that tests can fix it
 * @returns milliseconds to wait. Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoffMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  return Math.floor(random() * Math.min(backoff.capMs, backoff.baseMs * 2 ** Math.min(attempt, 30)));
}
