import { describe, expect, test } from "bun:test";
import { type CronTimes, parseCron } from "../../src/base/cron.ts";

const times = (expression: string, timezone = "UTC"): CronTimes => {
  const parsed = parseCron(expression, timezone);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
};

describe("cron times", () => {
  const cases: [name: string, expression: string, timezone: string, after: string, expected: string[]][] = [
    [
      "five fields",
      "*/20 9 * * *",
      "UTC",
      "2027-01-01T09:10:00Z",
      ["2027-01-01T09:20", "2027-01-01T09:40", "2027-01-02T09:00"],
    ],
    ["the time itself is not after itself", "0 9 * * *", "UTC", "2027-01-01T09:00:00Z", ["2027-01-02T09:00"]],
    ["a moment before it", "0 9 * * *", "UTC", "2027-01-01T08:59:59.999Z", ["2027-01-01T09:00"]],
    ["seven fields", "30 0 12 1 1 * 2028", "UTC", "2027-01-01T00:00:00Z", ["2028-01-01T12:00:30"]],
    [
      "a time zone over the end of summer time",
      "0 9 * * *",
      "Europe/Kyiv",
      "2026-10-24T00:00:00Z",
      ["2026-10-24T06:00", "2026-10-25T07:00"],
    ],
    [
      "an hour that summer time leaves out comes when it is over",
      "30 3 * * *",
      "Europe/Kyiv",
      "2027-03-27T12:00:00Z",
      ["2027-03-28T01:00"],
    ],
    ["weekdays", "0 0 * * MON-FRI", "UTC", "2027-01-01T12:00:00Z", ["2027-01-04T00:00"]],
  ];
  for (const [name, expression, timezone, after, expected] of cases) {
    test(name, () => {
      const next = times(expression, timezone).nextMany(new Date(after), expected.length);
      expect(next.map((time) => time.toISOString().slice(0, expected[0]?.length))).toEqual(expected);
    });
  }

  test("the last ones come newest first; one that never comes has none", () => {
    const before = times("0 * * * *").previous(new Date("2027-01-01T02:30:00Z"), 2);
    expect(before.map((time) => time.toISOString())).toEqual([
      "2027-01-01T02:00:00.000Z",
      "2027-01-01T01:00:00.000Z",
    ]);
    expect(times("0 0 30 2 *").next(new Date("2027-01-01T00:00:00Z"))).toBeNull();
    expect(times("0 0 0 1 1 * 2020").next(new Date("2027-01-01T00:00:00Z"))).toBeNull();
  });

  for (const [name, expression, timezone, why] of [
    ["six fields", "* * * * * *", "UTC", "has 6"],
    ["a nickname", "@daily", "UTC", "has 1"],
    ["nothing", "", "UTC", "has 1"],
    ["a minute out of range", "61 * * * *", "UTC", "61"],
    ["words", "a b c d e", "UTC", "cannot be read"],
    ["an unknown time zone", "* * * * *", "Mars/Base", "Mars/Base"],
  ] as const) {
    test(`${name} is refused in words`, () => {
      expect(parseCron(expression, timezone)).toContain(why);
    });
  }
});
