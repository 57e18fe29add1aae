/** Reads the filters of the events routes: repeated keys, known types only, cursors that exclude each other. */
import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { EVENT_TYPES, type EventType, EXTENSION_TYPES } from "../../contract/event.ts";
import { REGISTERED_TYPES } from "../../contract/event-registry.ts";
import { limits } from "../../contract/limits.ts";
import { Id, Type } from "../../contract/schema.ts";
import type { EventFilter } from "../../db/events.ts";

/** What a filter may name: a type that nothing has written yet is no mistake of who asks for it. */
const KNOWN = [...new Set<string>([...EVENT_TYPES, ...REGISTERED_TYPES])];
const types = Type.Optional(
  Type.Array(Type.String({ enum: KNOWN }), { maxItems: limits.eventTypesFilterMax }),
);

/** What the stream's query may hold. For the documentation: the functions below read and check it. */
export const StreamQuery = Type.Object({
  since_id: Type.Optional(Type.String({ description: "An event's id, or `latest`." })),
  types,
  exclude: types,
  deltas: Type.Optional(Type.String({ enum: ["plain"] })),
  caught_up: Type.Optional(Type.Boolean()),
});

const count = Type.Optional(Type.Integer({ minimum: 0 }));
const word = Type.Optional(Type.String());
const instantOf = Type.Optional(Type.String({ format: "date-time" }));

/** The same for the pages of the log. */
export const EventsQuery = Type.Object({
  since_id: Type.Optional(Id("event")),
  types,
  exclude: types,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.eventsPageMax })),
  before_sequence: count,
  after_sequence: count,
  around: Type.Optional(Id("event")),
  window: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })),
  from_ts: instantOf,
  to_ts: instantOf,
  turn_id: word,
  exec_id: word,
  trace_id: word,
  tool_name: word,
  tags: Type.Optional(Type.Array(Type.String(), { maxItems: 20 })),
  q: word,
  order_desc: Type.Optional(Type.Boolean()),
});

/** `types=a&types=b` and `types=a,b` mean the same. @throws UserError unknown_event_type, limit_exceeded */
function eventTypes(query: URLSearchParams, name: "types" | "exclude"): EventType[] | null {
  const words = query
    .getAll(name)
    .flatMap((value) => value.split(","))
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (words.length === 0) return null;
  if (words.length > limits.eventTypesFilterMax) {
    throw new UserError("limit_exceeded", `${name}: at most ${limits.eventTypesFilterMax} event types`);
  }
  const unknown = words.filter((word) => !KNOWN.includes(word));
  if (unknown.length > 0) {
    throw new UserError(
      "unknown_event_type",
      `${name}: no such event type: ${unknown.slice(0, 5).join(", ")}. Known types: ${KNOWN.join(", ")}`,
    );
  }
  return words as EventType[];
}

/** One object for all who name no types: readers with the same filter share what is encoded. */
const UNFILTERED = { types: null, exclude: EXTENSION_TYPES };

/**
 * Which types a reader wants. The contract's own unless it names them: a client that was made from the contract may
 * refuse an event that it does not know.
 *
 * @throws UserError unknown_event_type, limit_exceeded
 */
export function typeSelection(query: URLSearchParams): Pick<EventFilter, "types" | "exclude"> {
  const types = eventTypes(query, "types");
  const exclude = eventTypes(query, "exclude") ?? [];
  if (types === null && exclude.length === 0) return UNFILTERED;
  return { types, exclude: types === null ? [...exclude, ...EXTENSION_TYPES] : exclude };
}

/** The whole filter, cursors left out. @throws UserError */
export function eventFilter(query: URLSearchParams): EventFilter {
  const tags = query
    .getAll("tags")
    .filter((tag) => tag !== "")
    .map(wellFormed);
  if (tags.length > 20) throw new UserError("limit_exceeded", "tags: at most 20");
  return {
    ...typeSelection(query),
    afterSequence: integer(query, "after_sequence", 0, Number.MAX_SAFE_INTEGER),
    beforeSequence: integer(query, "before_sequence", 0, Number.MAX_SAFE_INTEGER),
    since: instant(query, "from_ts"),
    until: instant(query, "to_ts"),
    turnId: text(query, "turn_id"),
    execId: text(query, "exec_id"),
    traceId: text(query, "trace_id"),
    toolName: text(query, "tool_name"),
    tags: tags.length === 0 ? null : tags,
    q: text(query, "q"),
  };
}

/** A whole number in a query, or null when it is not there. @throws UserError invalid_request */
export function integer(query: URLSearchParams, name: string, min: number, max: number): number | null {
  const raw = text(query, name);
  if (raw === null) return null;
  const value = Number(raw);
  if (!/^-?[0-9]+$/.test(raw) || value < min || value > max) {
    throw new UserError("invalid_request", `${name}: a whole number from ${min} to ${max} is expected`);
  }
  return value;
}

/** false when it is not there. @throws UserError invalid_request */
export function boolean(query: URLSearchParams, name: string): boolean {
  const raw = text(query, name);
  if (raw === null || raw === "false" || raw === "0") return false;
  if (raw === "true" || raw === "1") return true;
  throw new UserError("invalid_request", `${name}: true or false is expected`);
}

export function text(query: URLSearchParams, name: string): string | null {
  const value = query.get(name);
  return value === null || value === "" ? null : wellFormed(value);
}

function instant(query: URLSearchParams, name: string): Date | null {
  const raw = text(query, name);
  if (raw === null) return null;
  const at = new Date(raw);
  if (Number.isNaN(at.getTime())) {
    throw new UserError("invalid_request", `${name}: a time like 2026-05-26T00:00:00Z is expected`);
  }
  return at;
}
