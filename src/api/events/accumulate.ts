/**
 * `accumulated` of a delta is computed here, at the edge, for the readers that want it. It is never stored: what
 * the database holds grows with the answer, not with its square.
 */
import type { Event, EventOf } from "../../contract/event.ts";
import { deltasOfAnswers, openDeltas } from "../../db/events.ts";
import type { SessionLog } from "../../db/lineage.ts";
import type { Db } from "../../db/pool.ts";

type DeltaEvent = EventOf<"output.message.delta"> | EventOf<"reason.thinking.delta">;

/** Adds `accumulated` to the deltas of one session's whole log, in order from any cursor: for streams. */
export interface Accumulator {
  /** The very list when it has no delta. Waits for the database once at most, for who joined amid an answer. */
  add(events: readonly Event[]): readonly Event[] | Promise<readonly Event[]>;
}

export function createAccumulator(db: Db, log: SessionLog): Accumulator {
  let texts: Map<DeltaEvent["type"], string> | null = null;

  const take = (known: Map<DeltaEvent["type"], string>, event: DeltaEvent) => {
    const text = (known.get(event.type) ?? "") + event.data.delta;
    known.set(event.type, text);
    return text;
  };
  const fold = (events: readonly Event[]) =>
    events.map((event) => {
      if (isBound(event)) texts = new Map();
      if (!isDelta(event)) return event;
      texts ??= new Map();
      return { ...event, data: { ...event.data, accumulated: take(texts, event) } } as Event;
    });

  return {
    add(events) {
      const first = events.find((event) => isDelta(event) || isBound(event));
      if (first === undefined) return events;
      if (texts !== null || !isDelta(first)) return fold(events);
      // A reader that joins in the middle of an answer: what came before its cursor counts, too.
      return openDeltas(db, log, first.sequence - 1).then((before) => {
        const known = new Map<DeltaEvent["type"], string>();
        for (const event of before) if (isDelta(event)) take(known, event);
        texts = known;
        return fold(events);
      });
    },
  };
}

/** Where an answer begins or ends. */
function isBound(event: Event): boolean {
  return event.type === "output.message.started" || event.type === "output.message.completed";
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
