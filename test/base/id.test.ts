import { describe, expect, test } from "bun:test";
import { isId, newEventIdHead, newId, sequenceOfEventId, uuidOf } from "../../src/base/id.ts";

describe("ids", () => {
  test("have their prefix and 32 hex digits of a version 7 UUID, and sort by time", () => {
    const ids = Array.from({ length: 1_000 }, () => newId("turn"));
    for (const id of ids) expect(id).toMatch(/^turn_[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...ids].sort()).toEqual(ids);
  });

  const cases: [string, string, boolean][] = [
    ["turn", `turn_${"0".repeat(32)}`, true],
    ["turn", `turn_${"0".repeat(31)}`, false],
    ["turn", `turn_${"0".repeat(33)}`, false],
    ["turn", `turn_${"A".repeat(32)}`, false],
    ["turn", `event_${"0".repeat(32)}`, false],
    ["turn", `turn-${"0".repeat(32)}`, false],
    ["turn", `turn_${"0".repeat(31)}\n`, false],
    ["turn", "", false],
  ];
  for (const [prefix, text, expected] of cases) {
    test(`${JSON.stringify(text)} ${expected ? "is" : "is not"} an id of ${prefix}`, () => {
      expect(isId(prefix, text)).toBe(expected);
    });
  }

  test("an event's id carries its sequence, up to 2^40", () => {
    for (const sequence of [1, 255, 2 ** 32, 2 ** 40 - 1]) {
      const id = newEventIdHead() + sequence.toString(16).padStart(10, "0");
      expect(isId("event", id)).toBe(true);
      expect(sequenceOfEventId(id)).toBe(sequence);
    }
    expect(sequenceOfEventId(newId("turn"))).toBeNull();
    expect(sequenceOfEventId("event_1")).toBeNull();
  });

  test("have the spelling of a UUID, too", () => {
    expect(uuidOf(`prov_0123456789ab7def8123456789abcdef`)).toBe("01234567-89ab-7def-8123-456789abcdef");
  });
});
