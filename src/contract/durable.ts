/**
 * The engine in the words of the contract's durable engine. A workflow is a run (the durable execution of a turn), a
 * task is the part of it that a worker claims, the dead letter queue holds the runs that ended without an answer and
 * can be retried. Ids are plain UUIDs: the hex digits of the run's own id.
 */
import { CircuitBreakerResponse, Worker } from "./run.ts";
import { JsonObject, List, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

const Uuid = Type.String({ format: "uuid" });
const Count = Type.Integer({ minimum: 0 });

export const WORKFLOW_STATUSES = ["pending", "running", "completed", "failed", "cancelled"] as const;
export type WorkflowStatus = (typeof WORKFLOW_STATUSES)[number];

export const WorkflowResponse = Type.Object({
  id: Uuid,
  workflow_type: Type.String(),
  status: OneOf(WORKFLOW_STATUSES),
  input: JsonObject,
  /** Of a completed one. */
  result: Type.Optional(JsonObject),
  /** Of a failed one. */
  error: Type.Optional(JsonObject),
  created_at: Timestamp,
  started_at: Type.Optional(Timestamp),
  completed_at: Type.Optional(Timestamp),
});
export type WorkflowResponse = Static<typeof WorkflowResponse>;

export const WorkflowsListResponse = List(WorkflowResponse);

export const WorkflowEventResponse = Type.Object({
  /** The event's sequence in its session. */
  id: Type.Integer(),
  workflow_id: Uuid,
  sequence_num: Type.Integer(),
  event_type: Type.String(),
  event_data: Type.Unknown(),
  created_at: Timestamp,
});
export type WorkflowEventResponse = Static<typeof WorkflowEventResponse>;

export const WorkflowEventsListResponse = List(WorkflowEventResponse);

export const TASK_STATUSES = ["pending", "claimed", "completed", "failed", "dead", "cancelled"] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

export const TaskResponse = Type.Object({
  id: Uuid,
  workflow_id: Type.Optional(Uuid),
  /** The turn. */
  activity_id: Type.String(),
  activity_type: Type.String(),
  status: OneOf(TASK_STATUSES),
  priority: Type.Integer(),
  /** How many times a worker has taken it up. */
  attempt: Count,
  /** Workers that may be lost in a row, without a new checkpoint in between. */
  max_attempts: Count,
  claimed_at: Type.Optional(Timestamp),
  claimed_by: Type.Optional(Type.String()),
  last_error: Type.Optional(Type.String()),
  created_at: Timestamp,
});
export type TaskResponse = Static<typeof TaskResponse>;

export const TasksListResponse = List(TaskResponse);

export const EnqueueTaskRequest = Type.Object({
  activity_type: Type.String({ minLength: 1, maxLength: 200 }),
  input: Type.Unknown(),
  options: Maybe(
    Type.Object({
      priority: Maybe(Type.Integer({ minimum: -(2 ** 31), maximum: 2 ** 31 - 1 })),
      max_attempts: Maybe(Type.Integer({ minimum: 0 })),
    }),
  ),
});
export const EnqueueTaskResponse = Type.Object({ task_id: Uuid });

export const DlqEntryResponse = Type.Object({
  id: Uuid,
  original_task_id: Uuid,
  workflow_id: Type.Optional(Uuid),
  activity_id: Type.String(),
  activity_type: Type.String(),
  input: JsonObject,
  attempts: Count,
  last_error: Type.String(),
  /** Of this run and of those that it was a retry of, oldest first. */
  error_history: Type.Array(Type.String()),
  dead_at: Timestamp,
});
export type DlqEntryResponse = Static<typeof DlqEntryResponse>;

export const DlqListResponse = List(DlqEntryResponse);

export const SendSignalRequest = Type.Object({
  signal_type: Type.String({ minLength: 1, maxLength: 200 }),
  payload: Type.Optional(Type.Unknown()),
});

/** Gauges and totals of the whole installation; totals are of the workers that are still listed. */
export const HealthResponse = Type.Object({
  status: OneOf(["healthy", "degraded", "unhealthy"]),
  total_workers: Count,
  active_workers: Count,
  workers_accepting: Count,
  total_capacity: Count,
  current_load: Count,
  load_percentage: Type.Number(),
  pending_tasks: Count,
  claimed_tasks: Count,
  started_tasks: Count,
  completed_tasks: Count,
  failed_tasks: Count,
  pending_workflows: Count,
  running_workflows: Count,
  started_workflows: Count,
  completed_workflows: Count,
  failed_workflows: Count,
  dlq_size: Count,
  event_delivery: Type.Optional(Type.String()),
});
export type HealthResponse = Static<typeof HealthResponse>;

export const MetricsPoint = Type.Object({
  timestamp: Timestamp,
  pending_workflows: Count,
  running_workflows: Count,
  pending_tasks: Count,
  claimed_tasks: Count,
  active_workers: Count,
  load_percentage: Type.Number(),
  dlq_size: Count,
  tasks_started_total: Count,
  tasks_completed_total: Count,
  tasks_failed_total: Count,
  workflows_started_total: Count,
  workflows_completed_total: Count,
  workflows_failed_total: Count,
});
export type MetricsPoint = Static<typeof MetricsPoint>;

export const MetricsTimeSeriesResponse = Type.Object({
  /** Oldest first. */
  points: Type.Array(MetricsPoint),
  resolution_seconds: Type.Integer({ minimum: 0 }),
  /** Processes that the points were taken in: this one. */
  instance_count: Type.Integer({ minimum: 0 }),
});
export type MetricsTimeSeriesResponse = Static<typeof MetricsTimeSeriesResponse>;

/** `data` of the frame `snapshot` on `/v1/durable/sse`: the newest rows of each list. */
export const DurableSnapshot = Type.Object({
  health: HealthResponse,
  workers: Type.Array(Worker),
  workflows: Type.Array(WorkflowResponse),
  tasks: Type.Array(TaskResponse),
  dlq: Type.Array(DlqEntryResponse),
  circuit_breakers: Type.Array(CircuitBreakerResponse),
  /** Only in the first snapshot of a stream. */
  metrics_history: Type.Optional(MetricsTimeSeriesResponse),
});
export type DurableSnapshot = Static<typeof DurableSnapshot>;

/** `data` of the frame `snapshot` on `/v1/durable/workflows/{id}/sse`. */
export const WorkflowSnapshot = Type.Object({
  workflow: WorkflowResponse,
  tasks: Type.Array(TaskResponse),
  events: Type.Array(WorkflowEventResponse),
});
export type WorkflowSnapshot = Static<typeof WorkflowSnapshot>;
