/** Schedules: of the organization, in the contract's durable words, and of a session. */
import { Id, JsonObject, List, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

const Uuid = Type.String({ format: "uuid" });
const Count = Type.Integer({ minimum: 0 });
const Text = Type.String({ minLength: 1, maxLength: 200 });
const Cron = Type.String({ minLength: 1, maxLength: 200 });
const Description = Type.String({ maxLength: 10_000 });
const Cap = Type.Integer({ minimum: 0, maximum: 1_000 });

export const TARGET_TYPE = "workflow";
/** `session.run` sends a message to a session, `agent.run` to a new session of an agent. */
export const TARGET_NAMES = ["session.run", "agent.run"] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

const TargetInput = Type.Object({ type: Text, name: Text, input: Type.Optional(Type.Unknown()) });
export type TargetInput = Static<typeof TargetInput>;

export const ScheduleTarget = Type.Object({ type: Type.String(), name: Type.String(), input: JsonObject });
export type ScheduleTarget = Static<typeof ScheduleTarget>;

export const CreateScheduleRequest = Type.Object({
  name: Text,
  description: Maybe(Description),
  cron_expression: Cron,
  /** UTC when it is left out. */
  timezone: Type.Optional(Text),
  target: TargetInput,
  enabled: Type.Optional(Type.Boolean()),
  catch_up_missed: Type.Optional(Type.Boolean()),
  max_catch_up: Maybe(Cap),
  max_concurrent: Maybe(Cap),
  retry_policy: Type.Optional(Type.Unknown()),
});

export const UpdateScheduleRequest = Type.Object({
  description: Maybe(Description),
  cron_expression: Maybe(Cron),
  timezone: Maybe(Text),
  target: Maybe(TargetInput),
  enabled: Maybe(Type.Boolean()),
  catch_up_missed: Maybe(Type.Boolean()),
  max_catch_up: Maybe(Cap),
  max_concurrent: Maybe(Cap),
  retry_policy: Type.Optional(Type.Unknown()),
});

export const ScheduleResponse = Type.Object({
  id: Uuid,
  name: Type.String(),
  description: Type.Optional(Type.String()),
  cron_expression: Type.String(),
  timezone: Type.String(),
  target: ScheduleTarget,
  enabled: Type.Boolean(),
  catch_up_missed: Type.Boolean(),
  max_catch_up: Type.Optional(Count),
  max_concurrent: Type.Optional(Count),
  retry_policy: Type.Optional(Type.Unknown()),
  /** Absent while it is not enabled, and when its last time is past. */
  next_trigger_at: Type.Optional(Timestamp),
  last_triggered_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type ScheduleResponse = Static<typeof ScheduleResponse>;

export const SchedulesListResponse = List(ScheduleResponse);

export const EXECUTION_STATUSES = ["running", "completed", "failed", "cancelled", "skipped"] as const;
export type ExecutionStatus = (typeof EXECUTION_STATUSES)[number];

export const ScheduleExecutionResponse = Type.Object({
  id: Uuid,
  schedule_id: Uuid,
  /** The due time that it is for. */
  scheduled_at: Timestamp,
  started_at: Timestamp,
  completed_at: Type.Optional(Timestamp),
  duration_ms: Type.Optional(Type.Integer()),
  status: OneOf(EXECUTION_STATUSES),
  error: Type.Optional(Type.String()),
  /** The turn that it began, and the task of the same id. */
  workflow_id: Type.Optional(Uuid),
  task_id: Type.Optional(Uuid),
  created_at: Timestamp,
});
export type ScheduleExecutionResponse = Static<typeof ScheduleExecutionResponse>;

export const ScheduleExecutionsListResponse = List(ScheduleExecutionResponse);

export const ScheduleStatsResponse = Type.Object({
  total_executions: Count,
  successful_executions: Count,
  failed_executions: Count,
  skipped_executions: Count,
  avg_duration_ms: Type.Optional(Count),
  last_execution_status: Type.Optional(Type.String()),
});

export const TriggerResponse = Type.Object({ execution_id: Uuid });

/** One that the agent of a session made for it. Its description is what the agent is told when it is due. */
export const SessionSchedule = Type.Object({
  id: Id("sched"),
  session_id: Id("session"),
  owner_principal_id: Type.String(),
  description: Type.String(),
  schedule_type: OneOf(["recurring", "oneshot"]),
  cron_expression: Type.Optional(Type.String()),
  scheduled_at: Type.Optional(Timestamp),
  timezone: Type.String(),
  enabled: Type.Boolean(),
  next_trigger_at: Type.Optional(Timestamp),
  last_triggered_at: Type.Optional(Timestamp),
  trigger_count: Count,
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type SessionSchedule = Static<typeof SessionSchedule>;

export const UpdateSessionScheduleRequest = Type.Object({ enabled: Type.Boolean() });
