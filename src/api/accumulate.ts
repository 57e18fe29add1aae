/**
 * `accumulated` of a delta is computed here, at the edge, for the readers that want it. It is never stored: what
 * the database holds grows with the answer, not with its square.
 */
import type { Event, EventOf } from "../contract/event.ts";
import { deltasOfAnswers, openDeltas } from "../db/events.ts";
import type { SessionLog } from "../db/lineage.ts";
import type { Db } from "../db/pool.ts";

type DeltaEvent = EventOf<"output.message.delta"> | EventOf<"reason.thinking.delta">;

/** Adds `accumulated` to the deltas of one session's whole log, in order from any cursor: for streams. */
export interface Accumulator {
  add(events: readonly Event[]): Promise<Event[]>;
}

export function createAccumulator(db: Db, log: SessionLog): Accumulator {
  const texts = new Map<DeltaEvent["type"], string>();
  let isSeeded = false;

  const seed = async (before: number) => {
    isSeeded = true;
    for (const event of await openDeltas(db, log, before)) if (isDelta(event)) take(event);
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

/**
 * The same for a page of the log, oldest first, which a filter may have picked from anywhere: what a delta continues
 * need not be on the page.
 */
export async function accumulatePage(db: Db, log: SessionLog, page: readonly Event[]): Promise<Event[]> {
  const sequences = page.filter(isDelta).map((event) => event.sequence);
  const [first] = sequences;
  const last = sequences.at(-1);
  if (first === undefined || last === undefined) return [...page];
  const wanted = new Set(sequences);
  const texts = new Map<string, string>();
  const accumulated = new Map<number, string>();
  for (const event of await deltasOfAnswers(db, log, { first, last })) {
    if (!isDelta(event)) continue;
    // One model call has one execution id; a call that is tried again has another.
    const key = `${event.type} ${event.context.exec_id}`;
    const text = (texts.get(key) ?? "") + event.data.delta;
    texts.set(key, text);
    if (wanted.has(event.sequence)) accumulated.set(event.sequence, text);
  }
  return page.map((event) => {
    if (!isDelta(event)) return event;
    // One that was pruned since the page was read continues nothing that could still be known.
    const text = accumulated.get(event.sequence) ?? event.data.delta;
    return { ...event, data: { ...event.data, accumulated: text } } as Event;
  });
}

function isDelta(event: Event): event is DeltaEvent {
  return event.type === "output.message.delta" || event.type === "reason.thinking.delta";
}
