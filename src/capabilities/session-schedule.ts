/** `session_schedule`: lets the agent be told something later, or again and again. */
import { z } from "zod";
import { isTimezone } from "../base/cron.ts";
import { limits } from "../contract/limits.ts";
import { defineCapability } from "./capability.ts";
import { defineTool, ToolError } from "./tool.ts";

const MINUTES_MIN = limits.sessionScheduleIntervalSecondsMin / 60;

const createSchedule = defineTool({
  name: "create_schedule",
  displayName: "Create schedule",
  description:
    "Makes a schedule for this conversation: when it is due, you get its description as a message and work on it in a " +
    `turn of its own. At most ${limits.sessionSchedulesPerSession} at once, due at most every ${MINUTES_MIN} minutes.`,
  effect: "idempotent",
  input: z.object({
    description: z.string().trim().min(1).max(10_000).describe("What you are to do when it is due"),
    cron_expression: z
      .string()
      .max(200)
      .optional()
      .describe("For again and again: five cron fields, e.g. 0 9 * * 1-5 for every weekday at 9"),
    scheduled_at: z
      .string()
      .max(100)
      .optional()
      .describe("For once: a time with its offset, e.g. 2027-03-01T09:00:00+02:00"),
    timezone: z
      .string()
      .max(100)
      .default("UTC")
      .describe("Of the cron expression: an IANA name, e.g. Europe/Kyiv"),
  }),
  async run({ description, cron_expression, scheduled_at, timezone }, { schedules, idempotencyKey }) {
    if (!isTimezone(timezone)) throw new ToolError(`${timezone} is no IANA time zone, like Europe/Kyiv.`);
    return schedules.create({
      description,
      cronExpression: cron_expression ?? null,
      scheduledAt: scheduled_at === undefined ? null : timeOf(scheduled_at),
      timezone,
      idempotencyKey,
    });
  },
});

function timeOf(text: string): Date {
  const time = new Date(text);
  // Without an offset it would mean the server's own zone, which nobody here knows.
  if (Number.isNaN(time.getTime()) || !/(Z|[+-]\d{2}:?\d{2})$/i.test(text.trim())) {
    throw new ToolError(`${text} is no time with an offset, like 2027-03-01T09:00:00Z.`);
  }
  return time;
}

const cancelSchedule = defineTool({
  name: "cancel_schedule",
  displayName: "Cancel schedule",
  description: "Takes a schedule of this conversation away.",
  effect: "idempotent",
  input: z.object({ schedule_id: z.string().max(100).describe("Its id: sched_…") }),
  async run({ schedule_id }, { schedules }) {
    const isCancelled = await schedules.cancel(schedule_id);
    return isCancelled ? `${schedule_id} is cancelled.` : `There is no schedule ${schedule_id} any more.`;
  },
});

const listSchedules = defineTool({
  name: "list_schedules",
  displayName: "List schedules",
  description: "The schedules of this conversation.",
  effect: "pure",
  hints: { readonly: true },
  input: z.object({}),
  run: async (_input, { schedules }) => ({ schedules: await schedules.list() }),
});

export const sessionSchedule = defineCapability({
  id: "session_schedule",
  name: "Schedules",
  description: "Lets the agent be told something at a later time, once or again and again.",
  category: "Time",
  icon: "calendar-clock",
  features: ["schedules"],
  tools: () => [createSchedule, cancelSchedule, listSchedules],
});
