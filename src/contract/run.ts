/** A run is the durable execution of a turn; its id is the turn's. */
import { Id, JsonObject, List, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";
import { TokenUsage } from "./usage.ts";

export const RUN_STATUSES = [
  "queued",
  "running",
  "waiting",
  "completed",
  "failed",
  "cancelled",
  "sealed",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

export const RUN_WAITS = ["client_tools", "approval", "subagent", "timer", "budget"] as const;

/** A checkpointed unit of work of a run: `reason:1`, `tool:<tool_call_id>`. */
export const Step = Type.Object({
  name: Type.String(),
  kind: OneOf(["reason", "tool"]),
  tool_name: Type.Optional(Type.String()),
  effect: Type.Optional(OneOf(["pure", "idempotent", "at_most_once"])),
  /** What the tool was given to tell a repeated call by. Absent for model calls. */
  idempotency_key: Type.Optional(Type.String()),
  /** pending: about to run; unknown: killed while it ran, and nobody knows whether it took effect. */
  status: OneOf(["pending", "settled", "unknown"]),
  attempt: Type.Integer(),
  started_at: Type.Optional(Timestamp),
  finished_at: Type.Optional(Timestamp),
  duration_ms: Type.Optional(Type.Integer()),
  usage: Type.Optional(TokenUsage),
  error: Type.Optional(Type.String()),
  /** What an operator decided about a call whose outcome was unknown. */
  settlement: Type.Optional(
    Type.Object({
      outcome: OneOf(["done", "retry", "abort"]),
      settled_by: Type.String(),
      settled_at: Timestamp,
    }),
  ),
});
export type Step = Static<typeof Step>;

export const Run = Type.Object({
  id: Id("turn"),
  session_id: Id("session"),
  agent_id: Type.Optional(Id("agent")),
  organization_id: Id("org"),
  status: OneOf(RUN_STATUSES),
  waiting_on: Type.Optional(OneOf(RUN_WAITS)),
  /** Why a run that should move does not: no worker is alive, its lease ran out. */
  stuck_reason: Type.Optional(Type.String()),
  priority: Type.Integer(),
  /** How many times a worker has taken it up. */
  attempt: Type.Integer(),
  worker_id: Type.Optional(Type.String()),
  lease_expires_at: Type.Optional(Timestamp),
  available_at: Timestamp,
  input_message_id: Id("message"),
  /** The run that this one goes on from. */
  retried_run_id: Type.Optional(Id("turn")),
  final_message_id: Type.Optional(Id("message")),
  error_code: Type.Optional(Type.String()),
  error: Type.Optional(Type.String()),
  iterations: Type.Integer(),
  usage: Type.Optional(TokenUsage),
  cost_usd: Type.Optional(Type.Number()),
  queued_at: Timestamp,
  started_at: Type.Optional(Timestamp),
  finished_at: Type.Optional(Timestamp),
  time_to_first_token_ms: Type.Optional(Type.Integer()),
  /** Only when one run is read, in the order in which they began. */
  steps: Type.Optional(Type.Array(Step)),
});
export type Run = Static<typeof Run>;

/** The circuit breaker of one model of one provider; there is a row only if it has been in trouble. */
export const CircuitBreakerResponse = Type.Object({
  /** `prov_…:` and the vendor's name of the model. */
  key: Type.String(),
  state: OneOf(["closed", "open", "half_open"]),
  failure_count: Type.Integer({ minimum: 0 }),
  success_count: Type.Integer({ minimum: 0 }),
  last_failure_at: Type.Optional(Timestamp),
  opened_at: Type.Optional(Timestamp),
  /** From when one call may go out to try; absent when closed, and while an operator holds it open. */
  half_open_at: Type.Optional(Timestamp),
  updated_at: Timestamp,
});
export type CircuitBreakerResponse = Static<typeof CircuitBreakerResponse>;

export const CircuitBreakersListResponse = List(CircuitBreakerResponse);
export type CircuitBreakersListResponse = Static<typeof CircuitBreakersListResponse>;

export const SettleStepRequest = Type.Object({
  outcome: OneOf(["done", "retry", "abort"]),
  /** With `done`: what the call gave, for the model to read. */
  result: Type.Optional(Type.Unknown()),
  /** With `abort`: why it is given up. */
  error: Maybe(Type.String()),
});
export type SettleStepRequest = Static<typeof SettleStepRequest>;

/** A worker process, in the words of the contract's durable engine. */
export const Worker = Type.Object({
  id: Type.String(),
  hostname: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  status: OneOf(["running", "draining", "stopped"]),
  accepting_tasks: Type.Boolean(),
  activity_types: Type.Array(Type.String()),
  current_load: Type.Integer(),
  max_concurrency: Type.Integer(),
  tasks_completed: Type.Integer(),
  tasks_failed: Type.Integer(),
  started_at: Timestamp,
  last_heartbeat_at: Timestamp,
  metadata: Type.Optional(JsonObject),
});
export type Worker = Static<typeof Worker>;

export const WorkersListResponse = Type.Object({
  ...List(Worker).properties,
  summary: Type.Object({
    active: Type.Integer(),
    draining: Type.Integer(),
    stopped: Type.Integer(),
    total_capacity: Type.Integer(),
    total_load: Type.Integer(),
  }),
});
export type WorkersListResponse = Static<typeof WorkersListResponse>;
