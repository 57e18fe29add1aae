/**
 * `accumulated` of a delta is computed here, at the edge, for the readers that want it. It is never stored: what
 * the database holds grows with the answer, not with its square.
 */
import type { Event, EventOf } from "../contract/event.ts";
import { openDeltas } from "../db/events.ts";
import type { Db } from "../db/pool.ts";

type DeltaEvent = EventOf<"output.message.delta"> | EventOf<"reason.thinking.delta">;

/** Adds `accumulated` to the deltas of one session, in order. */
export interface Accumulator {
  add(events: readonly Event[]): Promise<Event[]>;
}

export function createAccumulator(db: Db, sessionId: string): Accumulator {
  const texts = new Map<DeltaEvent["type"], string>();
  let isSeeded = false;

  const seed = async (before: number) => {
    isSeeded = true;
    for (const event of await openDeltas(db, sessionId, before)) if (isDelta(event)) take(event);
  };
  const take = (event: DeltaEvent) => {
    const text = (texts.get(event.type) ?? "") + event.data.delta;
    texts.set(event.type, text);
    return text;
  };

  return {
    async add(events) {
      const out: Event[] = [];
      for (const event of events) {
        if (event.type === "output.message.started" || event.type === "output.message.completed") {
          texts.clear();
          isSeeded = true;
        }
        if (!isDelta(event)) out.push(event);
        else {
          // A reader that joins in the middle of an answer: what came before its cursor counts, too.
          if (!isSeeded) await seed(event.sequence - 1);
          out.push({ ...event, data: { ...event.data, accumulated: take(event) } } as Event);
        }
      }
      return out;
    },
  };
}

function isDelta(event: Event): event is DeltaEvent {
  return event.type === "output.message.delta" || event.type === "reason.thinking.delta";
}
