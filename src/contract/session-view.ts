/** What is told about a session beside itself. */
import { Id, JsonObject, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** Something that a session holds and that ends with it or is given back. */
export const SessionResourceEntry = Type.Object({
  resource_id: Type.String(),
  session_id: Id("session"),
  kind: Type.String(),
  display_name: Type.String(),
  status: OneOf(["active", "completed", "failed", "released"]),
  metadata: Type.Optional(JsonObject),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type SessionResourceEntry = Static<typeof SessionResourceEntry>;

/** The log in numbers. Deltas count until they are pruned. */
export const EventsSummaryResult = Type.Object({
  total: Type.Integer(),
  /** Most frequent first. */
  by_type: Type.Array(Type.Object({ event_type: Type.String(), count: Type.Integer() })),
  /** Turns that a worker took up. */
  turn_count: Type.Integer(),
  /** Turns that failed, and tool calls without success. */
  error_count: Type.Integer(),
  first_ts: Type.Optional(Timestamp),
  last_ts: Type.Optional(Timestamp),
});
export type EventsSummaryResult = Static<typeof EventsSummaryResult>;
