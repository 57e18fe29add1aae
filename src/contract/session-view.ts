/** What is told about a session beside itself. */
import { Id, JsonObject, OneOf, type Static, Timestamp, Type } from "./schema.ts";
import { TokenUsage } from "./usage.ts";

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

export const ContextReportSection = Type.Object({
  key: Type.String(),
  label: Type.String(),
  tokens: Type.Integer(),
  /** Texts, tools or messages. */
  items: Type.Integer(),
});

export const ContextReportContribution = Type.Object({
  section_key: Type.String(),
  /** An id of a layer or a capability, a tool's name, or who speaks. */
  source_id: Type.String(),
  label: Type.String(),
  tokens: Type.Integer(),
});
export type ContextReportContribution = Static<typeof ContextReportContribution>;

const REPORT = {
  /** By its vendor's name; `none` when no model is set. */
  model: Type.String(),
  /** Absent when the model is not known. */
  context_window_tokens: Type.Optional(Type.Integer()),
  estimated_input_tokens: Type.Integer(),
  sections: Type.Array(ContextReportSection),
  contributions: Type.Array(ContextReportContribution),
};
const ContextReport = Type.Object(REPORT);
/** What the next model call of a session would carry. Tokens are estimates that rather say too many. */
export type ContextReport = Static<typeof ContextReport>;

export const SessionContextReport = Type.Object({
  session_id: Id("session"),
  ...REPORT,
  /** Of every model call of the session so far. */
  cumulative_usage: TokenUsage,
});
export type SessionContextReport = Static<typeof SessionContextReport>;
