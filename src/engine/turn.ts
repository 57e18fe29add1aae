/**
 * PURE: what is the next step of a turn? The whole policy of the agent loop; everything else is plumbing.
 *
 * A turn alternates between reason (one model call) and act (the tool calls of its answer) until an answer has no
 * tool calls and no message of the user is waiting to be seen. Calls that others must answer come last: the run is
 * parked when nothing else is left to do.
 */
export interface DoneReason {
  iteration: number;
  /** Ids of the tool calls of the answer, in order. */
  callIds: readonly string[];
  /** The newest input.message that the model had seen. */
  seenInputSequence: number;
}

export interface TurnState {
  /** Committed reason steps, in order. */
  reasons: readonly DoneReason[];
  /** The tool calls that have a result: a set or a map of their ids. */
  settledCalls: { has(id: string): boolean };
  /** Open calls that only somebody outside can settle: the client, a person, a timer. */
  heldCalls: { has(id: string): boolean };
  /** The session's newest input.message. */
  lastInputSequence: number;
}

export type NextStep =
  | { kind: "reason"; iteration: number }
  /** `callIds` still lack a result and can be run here. */
  | { kind: "act"; iteration: number; callIds: readonly string[] }
  /** Nothing can be run any more, and `callIds` still lack a result. */
  | { kind: "park"; iteration: number; callIds: readonly string[] }
  | { kind: "finish"; why: "answered" | "max_iterations" };

export function nextStep(state: TurnState, limits: { iterationsMax: number }): NextStep {
  const last = state.reasons.at(-1);
  if (last) {
    const open = last.callIds.filter((id) => !state.settledCalls.has(id));
    const here = open.filter((id) => !state.heldCalls.has(id));
    if (here.length > 0) return { kind: "act", iteration: last.iteration, callIds: here };
    if (open.length > 0) return { kind: "park", iteration: last.iteration, callIds: open };
    const isAnswered = last.callIds.length === 0 && last.seenInputSequence >= state.lastInputSequence;
    if (isAnswered) return { kind: "finish", why: "answered" };
  }
  if (state.reasons.length >= limits.iterationsMax) return { kind: "finish", why: "max_iterations" };
  return { kind: "reason", iteration: (last?.iteration ?? 0) + 1 };
}
