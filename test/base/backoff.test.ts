import { expect, test } from "bun:test";
import fc from "fast-check";
import { backoffMs } from "../../src/base/backoff.ts";

test("waits are drawn from 0 to a bound that doubles up to the cap", () => {
  const backoff = { baseMs: 100, capMs: 1_000 };
  const longest = (attempt: number) => backoffMs(backoff, attempt, () => 0.999999);
  expect([0, 1, 2, 3, 4, 5].map(longest)).toEqual([99, 199, 399, 799, 999, 999]);
  expect(backoffMs(backoff, 3, () => 0)).toBe(0);
});

test("a wait is a whole number of milliseconds within the bounds, however often it was tried", () => {
  fc.assert(
    fc.property(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (attempt, draw) => {
      const ms = backoffMs({ baseMs: 250, capMs: 30_000 }, attempt, () => draw);
      expect(Number.isInteger(ms) && ms >= 0 && ms <= 30_000).toBe(true);
    }),
  );
});
