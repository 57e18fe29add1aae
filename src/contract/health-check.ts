/** Checks of agents: their configuration, and one real turn. */
import { Id, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const HEALTH_CHECK_STATUSES = ["pending", "running", "completed", "failed"] as const;

export const HealthCheckCaseResult = Type.Object({
  name: Type.String(),
  user_message: Type.String(),
  rubric: Type.String(),
  passed: Type.Boolean(),
  /** 0 to 1. */
  score: Type.Number(),
  judge_reason: Type.String(),
  deterministic_reason: Type.String(),
  turns: Type.Integer(),
  latency_ms: Type.Integer(),
  input_tokens: Type.Optional(Type.Integer()),
  output_tokens: Type.Optional(Type.Integer()),
  session_id: Type.Optional(Id("session")),
  /** The case could not be tried to its end. */
  error: Type.Optional(Type.String()),
});
export type HealthCheckCaseResult = Static<typeof HealthCheckCaseResult>;

export const HealthCheckSummary = Type.Object({
  total: Type.Integer(),
  passed: Type.Integer(),
  failed: Type.Integer(),
  /** Of the failed ones, those that could not be tried to their end. */
  errored: Type.Integer(),
  pass_rate: Type.Number(),
  avg_score: Type.Number(),
  avg_turns: Type.Number(),
  total_input_tokens: Type.Integer(),
  total_output_tokens: Type.Integer(),
});
export type HealthCheckSummary = Static<typeof HealthCheckSummary>;

export const HealthCheckRun = Type.Object({
  id: Id("healthcheck"),
  agent_id: Id("agent"),
  config_hash: Type.String(),
  model_id: Type.Optional(Id("model")),
  /** completed: every case has a result, good or bad; failed: what became of the turn is not known. */
  status: OneOf(HEALTH_CHECK_STATUSES),
  results: Type.Optional(Type.Array(HealthCheckCaseResult)),
  summary: Type.Optional(HealthCheckSummary),
  error_message: Type.Optional(Type.String()),
  created_at: Timestamp,
  completed_at: Type.Optional(Timestamp),
});
export type HealthCheckRun = Static<typeof HealthCheckRun>;

export const LatestHealthCheckRun = Type.Object({
  /** The agent, or its harness, makes other turns now than when it was checked; false when it never was. */
  config_changed: Type.Boolean(),
  run: Type.Optional(HealthCheckRun),
});
