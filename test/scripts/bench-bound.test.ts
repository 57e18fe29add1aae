/** What the bench says bounded a figure: it follows from what was measured. */
import { expect, test } from "bun:test";
import { boundOf, type Seen } from "../../scripts/bench/bound.ts";

const quiet: Seen = {
  cores: 2,
  used: [
    { name: "bench", cores: 0.2 },
    { name: "PostgreSQL", cores: 0.4 },
  ],
  others: 0,
  pressure: 0.1,
  commits: 300,
  syncMs: 0.1,
};
const using = (bench: number, postgres: number): Pick<Seen, "used"> => ({
  used: [
    { name: "bench", cores: bench },
    { name: "PostgreSQL", cores: postgres },
  ],
});

test("the disk is blamed only when syncs can have taken half of the time", () => {
  expect(boundOf({ ...quiet, commits: 300, syncMs: 2 })).toStartWith("the disk: ");
  // 300 commits of 0.1 ms are 3 % of a second.
  expect(boundOf(quiet)).toBe(
    "none alone: 0.6 of 2 processors used, 10 % of the time something waited for one; the disk's syncs 3 % of the time at most",
  );
});

test("processors are blamed when they were used up, or when something mostly waited for one", () => {
  expect(boundOf({ ...quiet, ...using(0.6, 1.2) })).toMatch(/^the processors: .*most of it PostgreSQL$/);
  expect(boundOf({ ...quiet, ...using(0.5, 0.9), pressure: 0.7 })).toStartWith("the processors: ");
  expect(boundOf({ ...quiet, ...using(0.5, 0.9), pressure: null })).toBe(
    "none alone: 1.4 of 2 processors used; the disk's syncs 3 % of the time at most",
  );
});

test("one thread that is full is named; PostgreSQL has a process for each connection", () => {
  expect(boundOf({ ...quiet, ...using(0.9, 0.4) })).toStartWith("one process, bench: 0.90");
  expect(boundOf({ ...quiet, ...using(0.4, 0.9) })).toStartWith("none alone: ");
});

test("other programs make a figure too low before anything else is looked at", () => {
  expect(boundOf({ ...quiet, ...using(0.9, 1), others: 0.5 })).toStartWith("other programs: ");
});
