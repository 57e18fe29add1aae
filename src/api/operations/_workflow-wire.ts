/** Runs in the words of the contract's durable engine. */
import { UserError } from "../../base/errors.ts";
import { uuidOf } from "../../base/id.ts";
import type {
  DlqEntryResponse,
  TaskResponse,
  TaskStatus,
  WorkflowEventResponse,
  WorkflowResponse,
  WorkflowStatus,
} from "../../contract/durable.ts";
import type { Event } from "../../contract/event.ts";
import { limits } from "../../contract/limits.ts";
import type { RunStatus } from "../../contract/run.ts";
import type { DeadRun } from "../../db/durable/dead-runs.ts";
import type { RunRow } from "../../db/run-lists.ts";
import { iso, isoOrNull, present, usageOf } from "../http/respond.ts";

/** The only kind of workflow, of task and of worker that the engine has. */
export const TURN = "turn";

/** The states of a run behind each status of a workflow. */
export const STATES_OF_WORKFLOW: Readonly<Record<WorkflowStatus, readonly RunStatus[]>> = {
  pending: ["queued"],
  running: ["running", "waiting"],
  completed: ["completed"],
  failed: ["failed", "sealed"],
  cancelled: ["cancelled"],
};

/** A run that waits for somebody has no task: no worker is to do anything about it. */
export const STATES_OF_TASK: Readonly<Record<TaskStatus, readonly RunStatus[]>> = {
  pending: ["queued"],
  claimed: ["running"],
  completed: ["completed"],
  failed: ["failed"],
  dead: ["sealed"],
  cancelled: ["cancelled"],
};

export const ALL_TASK_STATES: readonly RunStatus[] = Object.values(STATES_OF_TASK).flat();

function statusOf<S extends string>(table: Readonly<Record<S, readonly RunStatus[]>>, state: RunStatus): S {
  const found = (Object.keys(table) as S[]).find((status) => table[status].includes(state));
  if (found === undefined) throw new Error(`no status for ${state}`);
  return found;
}

export function workflowToWire(row: RunRow): WorkflowResponse {
  const status = statusOf(STATES_OF_WORKFLOW, row.state);
  return present({
    id: uuidOf(row.id),
    workflow_type: TURN,
    status,
    input: inputOf(row),
    result:
      status === "completed"
        ? present({
            final_message_id: row.final_message_id,
            iterations: row.iterations,
            usage: usageOf(row),
          })
        : null,
    error:
      status === "failed"
        ? present({ code: row.error_code, message: row.error, is_sealed: row.state === "sealed" })
        : null,
    created_at: iso(row.queued_at),
    started_at: isoOrNull(row.started_at),
    completed_at: isoOrNull(row.finished_at),
  });
}

function inputOf(run: { id: string; session_id: string; agent_id: string | null; input_message_id: string }) {
  return present({
    turn_id: run.id,
    session_id: run.session_id,
    agent_id: run.agent_id,
    input_message_id: run.input_message_id,
  });
}

export function taskToWire(row: RunRow): TaskResponse {
  return present({
    id: uuidOf(row.id),
    workflow_id: uuidOf(row.id),
    activity_id: row.id,
    activity_type: TURN,
    status: statusOf(STATES_OF_TASK, row.state),
    priority: row.priority,
    attempt: row.attempt,
    max_attempts: limits.takeoversMax,
    claimed_at: row.state === "running" ? isoOrNull(row.started_at) : null,
    claimed_by: row.lease_owner,
    last_error: row.error,
    created_at: iso(row.queued_at),
  });
}

export function deadRunToWire(row: DeadRun): DlqEntryResponse {
  const id = uuidOf(row.id);
  return {
    id,
    original_task_id: id,
    workflow_id: id,
    activity_id: row.id,
    activity_type: TURN,
    input: inputOf(row),
    attempts: row.attempt,
    last_error: row.error ?? row.error_code ?? "",
    error_history: row.errors,
    dead_at: iso(row.finished_at),
  };
}

export function workflowEventToWire(workflowId: string, event: Event): WorkflowEventResponse {
  return {
    id: event.sequence,
    workflow_id: workflowId,
    sequence_num: event.sequence,
    event_type: event.type,
    event_data: event.data,
    created_at: event.ts,
  };
}

/** The id with this prefix whose hex digits a UUID from a path has. @throws UserError invalid_id */
export function idOfUuid(prefix: string, text: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    return `${prefix}_${text.replaceAll("-", "").toLowerCase()}`;
  }
  throw new UserError("invalid_id", `${JSON.stringify(text.slice(0, 80).toWellFormed())} is not a UUID`);
}
