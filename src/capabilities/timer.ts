/** `timer`: lets the agent wait without holding a worker. The wait is a row in the database, whatever happens to us. */
import { z } from "zod";
import { defineCapability } from "./capability.ts";
import { defineTool, waitFor } from "./tool.ts";

const SECONDS_MAX = 30 * 24 * 3600;

const wait = defineTool({
  name: "wait",
  displayName: "Wait",
  description:
    "Waits before you go on, from one second to 30 days. The wait ends early when the user sends a message.",
  effect: "pure",
  hints: { readonly: true, long_running: true },
  input: z.object({
    seconds: z.number().int().min(1).max(SECONDS_MAX).describe("How long to wait, in seconds"),
  }),
  run: async ({ seconds }) => waitFor({ kind: "timer", seconds }),
});

export const timer = defineCapability({
  id: "timer",
  name: "Timer",
  description: "Lets the agent wait for seconds or weeks. A wait holds no worker and outlives every process.",
  category: "Time",
  icon: "timer",
  tools: () => [wait],
});
