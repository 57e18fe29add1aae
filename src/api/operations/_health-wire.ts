import type { HealthResponse, MetricsPoint } from "../../contract/durable.ts";
import type { EngineFigures } from "../../db/durable/figures.ts";

/** What is queued is work for a worker; what waits for somebody is a workflow that runs, and no task. */
export function healthToWire(figures: EngineFigures): HealthResponse {
  const { started, completed, failed } = figures;
  return {
    status: statusOf(figures),
    total_workers: figures.workers,
    active_workers: figures.active_workers,
    workers_accepting: figures.accepting_workers,
    total_capacity: figures.capacity,
    current_load: figures.load,
    load_percentage: loadPercentage(figures),
    pending_tasks: figures.queued,
    claimed_tasks: figures.running,
    started_tasks: started,
    completed_tasks: completed,
    failed_tasks: failed,
    pending_workflows: figures.queued,
    running_workflows: figures.running + figures.waiting,
    started_workflows: started,
    completed_workflows: completed,
    failed_workflows: failed,
    dlq_size: figures.dead,
    event_delivery: "postgres",
  };
}

function statusOf(figures: EngineFigures): HealthResponse["status"] {
  if (figures.active_workers === 0) return "unhealthy";
  return figures.accepting_workers === 0 && figures.queued > 0 ? "degraded" : "healthy";
}

function loadPercentage({ load, capacity }: EngineFigures): number {
  return capacity === 0 ? 0 : Math.round((load / capacity) * 1_000) / 10;
}

export function pointOf(at: Date, figures: EngineFigures): MetricsPoint {
  const { started, completed, failed } = figures;
  return {
    timestamp: at.toISOString(),
    pending_workflows: figures.queued,
    running_workflows: figures.running + figures.waiting,
    pending_tasks: figures.queued,
    claimed_tasks: figures.running,
    active_workers: figures.active_workers,
    load_percentage: loadPercentage(figures),
    dlq_size: figures.dead,
    tasks_started_total: started,
    tasks_completed_total: completed,
    tasks_failed_total: failed,
    workflows_started_total: started,
    workflows_completed_total: completed,
    workflows_failed_total: failed,
  };
}
