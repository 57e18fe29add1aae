import { DELTA_TYPES, type Event } from "../../contract/event.ts";
import { limits } from "../../contract/limits.ts";
import { countEvents, type EventFilter, listEvents, sessionHead } from "../../db/events.ts";
import type { Db } from "../../db/pool.ts";
import type { RunRow } from "../../db/run-lists.ts";

/** What a turn has written into its session's log, token deltas left out: the newest, oldest first. */
export async function eventsOfRun(db: Db, run: RunRow): Promise<{ events: Event[]; total: number }> {
  const head = await sessionHead(db, run.organization_id, run.session_id);
  if (!head) return { events: [], total: 0 };
  const filter: EventFilter = {
    types: null,
    exclude: DELTA_TYPES,
    // A turn begins with its message, or with the notice that this one was promoted.
    afterSequence: Math.max(0, run.input_sequence - 2),
    beforeSequence: null,
    since: null,
    until: null,
    turnId: run.id,
    execId: null,
    traceId: null,
    toolName: null,
    tags: null,
    q: null,
  };
  const [events, total] = await Promise.all([
    listEvents(db, head.log, filter, { limit: limits.eventsPageMax, from: "end" }),
    countEvents(db, head.log, filter),
  ]);
  return { events, total };
}
