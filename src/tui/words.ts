import type { ApprovalDecision } from "../contract/approval.ts";

/** What was decided, as it is said of a tool. */
export const DECISIONS: Record<ApprovalDecision, string> = {
  allow: "allowed",
  allow_always: "allowed from now on:",
  reject: "refused",
  reject_always: "refused from now on:",
};

/** What went wrong, for one line on the screen. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
