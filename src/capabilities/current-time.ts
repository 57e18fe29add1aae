import { z } from "zod";
import { defineCapability } from "./capability.ts";
import { defineTool, ToolError } from "./tool.ts";

const Config = z.object({
  timezone: z
    .string()
    .refine(isTimezone, "not an IANA time zone; write one like Europe/Kyiv or UTC")
    .default("UTC")
    .describe("Time zone that is used when the model names none"),
});

export const currentTime = defineCapability({
  id: "current_time",
  name: "Current time",
  description: "Lets the agent know the current date and time in any time zone.",
  category: "Time",
  icon: "clock",
  config: Config,
  tools: ({ timezone }) => [getCurrentTime(timezone)],
});

function getCurrentTime(defaultZone: string) {
  return defineTool({
    name: "get_current_time",
    displayName: "Get current time",
    description: "The current date and time, in UTC and in a time zone of your choice.",
    effect: "pure",
    hints: { readonly: true },
    input: z.object({
      timezone: z.string().optional().describe(`IANA name, for example Europe/Kyiv. Default: ${defaultZone}`),
    }),
    async run({ timezone = defaultZone }, { clock }) {
      if (!isTimezone(timezone)) {
        throw new ToolError(
          `${JSON.stringify(timezone)} is not an IANA time zone. Use a name like Europe/Kyiv, America/New_York or UTC.`,
        );
      }
      const now = clock.now();
      return {
        utc: now.toISOString(),
        timezone,
        ...localTime(now, timezone),
        unix_seconds: Math.floor(now.getTime() / 1000),
      };
    },
  });
}

/** `local` is RFC 3339 with the zone's offset at that moment. */
function localTime(now: Date, timezone: string): { local: string; weekday: string } {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    weekday: "long",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "longOffset",
  });
  const parts = Object.fromEntries(format.formatToParts(now).map((part) => [part.type, part.value]));
  // "GMT+02:00", or "GMT" alone for no offset.
  const offset = parts.timeZoneName?.replace("GMT", "") || "+00:00";
  const date = `${parts.year}-${parts.month}-${parts.day}`;
  return {
    local: `${date}T${parts.hour}:${parts.minute}:${parts.second}${offset}`,
    weekday: parts.weekday ?? "",
  };
}

function isTimezone(name: string): boolean {
  // Offsets such as +02:00 are accepted by Intl, too, but say nothing of summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
