/** What the transcript says between the messages. */
import type { EventOf } from "../contract/event.ts";
import type { Entry } from "./entries.ts";

export const INTERRUPTED = "interrupted";

/** True for the notice that a turn was cancelled. */
export const isInterruption = (entry: Entry | undefined, turnId: string | null): boolean =>
  turnId !== null && entry?.kind === "notice" && entry.text === INTERRUPTED && entry.turnId === turnId;

const BUDGET_WORDS = {
  "budget.warning": "the budget is nearly used up",
  "budget.paused": "paused by the budget until somebody resumes it",
  "budget.exhausted": "the budget is used up",
  "budget.resumed": "the budget lets the work go on",
} as const;

export function budgetNotice({ type, data }: EventOf<keyof typeof BUDGET_WORDS>): string {
  return data.message === undefined ? BUDGET_WORDS[type] : `${BUDGET_WORDS[type]}: ${data.message}`;
}
