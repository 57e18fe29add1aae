import { expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import { currentTime } from "../../src/capabilities/current-time.ts";
import { invokeTool } from "../../src/capabilities/invoke.ts";
import { toolContext } from "../support/tool-context.ts";

async function ask(now: string, input: unknown, config?: unknown): Promise<Record<string, unknown> | string> {
  const [tool] = currentTime.tools(config);
  const context = toolContext({ clock: manualClock(new Date(now)) });
  const outcome = await invokeTool(tool!, JSON.stringify(input), context, {
    timeoutMs: 1000,
    outputBytesMax: 10_000,
  });
  return outcome.ok ? JSON.parse(outcome.content) : outcome.error;
}

const times: [zone: string, now: string, local: string, weekday: string][] = [
  ["UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00", "Thursday"],
  ["Europe/Kyiv", "2026-07-01T21:30:00Z", "2026-07-02T00:30:00+03:00", "Thursday"],
  ["Europe/Kyiv", "2026-01-01T21:30:00Z", "2026-01-01T23:30:00+02:00", "Thursday"],
  ["America/New_York", "2026-03-08T07:00:00Z", "2026-03-08T03:00:00-04:00", "Sunday"],
  ["Asia/Kolkata", "2026-02-28T18:30:00Z", "2026-03-01T00:00:00+05:30", "Sunday"],
  ["Pacific/Chatham", "2026-01-01T00:00:00Z", "2026-01-01T13:45:00+13:45", "Thursday"],
];
for (const [timezone, now, local, weekday] of times) {
  test(`at ${now} it is ${local} in ${timezone}`, async () => {
    expect(await ask(now, { timezone })).toEqual({
      utc: new Date(now).toISOString(),
      timezone,
      local,
      weekday,
      unix_seconds: Date.parse(now) / 1000,
    });
    expect(Date.parse(local)).toBe(Date.parse(now));
  });
}

test("the configured zone is used when none is named", async () => {
  expect(await ask("2026-07-01T00:00:00Z", {}, { timezone: "Asia/Tokyo" })).toMatchObject({
    local: "2026-07-01T09:00:00+09:00",
  });
  expect(await ask("2026-07-01T00:00:00Z", {})).toMatchObject({ timezone: "UTC" });
});

for (const timezone of ["Kyiv", "Mars/Olympus", "+02:00", "", "Europe/Kyiv\0"]) {
  test(`${JSON.stringify(timezone)} is no zone`, async () => {
    expect(await ask("2026-07-01T00:00:00Z", { timezone })).toContain("is not an IANA time zone");
  });
}
