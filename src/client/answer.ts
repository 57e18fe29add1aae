/**
 * The answer of one turn as a stream of text for a pipe, where nothing that was written can be taken back.
 *
 * A worker may die in the middle of an answer and another one write it again. While the second attempt repeats
 * the first, nothing is written; where it departs from it, the answer begins anew on a fresh line and the caller
 * is told. Pure: state in, state and pieces out.
 */
import type { Event } from "../contract/event.ts";
import { textOf } from "../contract/message.ts";

export interface AnswerState {
  /** What stands written of the message under way. */
  written: string;
  /** The text of the attempt under way. */
  current: string;
  /** Whether any message of the turn has been written: the next one is set off by a blank line. */
  hasMessage: boolean;
}

export const emptyAnswer: AnswerState = { written: "", current: "", hasMessage: false };

export interface AnswerStep {
  state: AnswerState;
  /** To be written as it is; empty for nothing. */
  text: string;
  /** True when what was written before is void: the answer begins anew with `text`. */
  isRestart: boolean;
}

export function foldAnswer(state: AnswerState, event: Event): AnswerStep {
  switch (event.type) {
    case "output.message.started":
      return { state: { ...state, current: "" }, text: "", isRestart: false };
    case "output.message.delta":
      return write(state, event.data.accumulated ?? state.current + event.data.delta, false);
    case "output.message.completed":
      return write(state, textOf(event.data.message.content), true);
    default:
      return { state, text: "", isRestart: false };
  }
}

function write(state: AnswerState, current: string, isComplete: boolean): AnswerStep {
  const { written, hasMessage } = state;
  const continues = current.startsWith(written);
  // The new attempt may still be behind what the old one wrote; only the whole message can be too short.
  if (!continues && !isComplete && written.startsWith(current)) {
    return { state: { ...state, current }, text: "", isRestart: false };
  }
  const gap = written === "" && hasMessage && current !== "" ? "\n" : "";
  const piece = continues ? current.slice(written.length) : `\n${current}`;
  if (!isComplete) {
    return { state: { ...state, written: current, current }, text: gap + piece, isRestart: !continues };
  }
  const end = current === "" || current.endsWith("\n") ? "" : "\n";
  return {
    state: { written: "", current: "", hasMessage: hasMessage || current !== "" },
    text: gap + piece + end,
    isRestart: !continues,
  };
}
