import type { Event } from "../../contract/event.ts";

/**
 * Picks one turn's events out of its session's log, which is given in order and from the turn's beginning or later.
 * `isOver` with the last of them: no more will come.
 */
export type TurnCut = (events: readonly Event[]) => { own: readonly Event[]; isOver: boolean };

const TERMINAL = new Set<string>(["turn.completed", "turn.failed", "turn.cancelled", "turn.sealed"]);

/**
 * A turn is over with the `session.idled` after its terminal event. A message that interrupted it lets the next turn
 * begin without one; then it is over where that begins. One that was withdrawn from the queue never begins.
 */
export function createTurnCut(turnId: string): TurnCut {
  let hasEnded = false;
  let isOver = false;
  return (events) => {
    const own: Event[] = [];
    for (const event of events) {
      if (isOver) break;
      if (event.context.turn_id !== turnId) {
        isOver = hasEnded && event.context.turn_id !== undefined;
        continue;
      }
      own.push(event);
      hasEnded ||= TERMINAL.has(event.type);
      isOver = event.type === "input.withdrawn" || (hasEnded && event.type === "session.idled");
    }
    return { own, isOver };
  };
}
