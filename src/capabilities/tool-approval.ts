/**
 * `tool_approval`: calls of risky tools wait until a person has allowed them. What is risky follows from what a tool
 * declares: its effect and its hints. The engine asks this policy before it runs a call; how the waiting and the
 * deciding work is not known here.
 */
import { z } from "zod";
import { defineCapability } from "./capability.ts";
import type { Tool } from "./tool.ts";

export const APPROVAL_SECONDS_DEFAULT = 900;

const Config = z.object({
  mode: z
    .enum(["off", "normal", "protective"])
    .default("normal")
    .describe("normal: what cannot be undone or reaches outside; protective: whatever is not purely reading"),
  timeout_seconds: z
    .number()
    .int()
    .min(60)
    .max(86_400)
    .default(APPROVAL_SECONDS_DEFAULT)
    .describe("How long a call waits for a decision before it is given up"),
});
type Mode = z.output<typeof Config>["mode"];

export const toolApproval = defineCapability({
  id: "tool_approval",
  name: "Tool approval",
  description: "Holds calls of risky tools until a person has allowed or rejected them.",
  category: "Human in the loop",
  icon: "shield-check",
  config: Config,
  tools: () => [],
  approval: ({ mode, timeout_seconds }) =>
    mode === "off"
      ? null
      : { timeoutMs: timeout_seconds * 1000, reasonFor: (tool) => approvalReason(mode, tool) },
});

/** PURE: why a person must allow this tool's calls, or null when they may run by themselves. */
export function approvalReason(mode: Mode, { effect, hints }: Pick<Tool, "effect" | "hints">): string | null {
  if (mode === "off") return null;
  if (hints?.destructive) return "it can destroy something";
  if (effect === "pure") return null;
  if (mode === "protective") return "it changes something";
  if (effect === "at_most_once") return "it cannot safely be repeated or undone";
  return hints?.open_world ? "it reaches beyond this session" : null;
}
