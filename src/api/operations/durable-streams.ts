/** The engine as streams of snapshots, for operators. */
import { UserError } from "../../base/errors.ts";
import { uuidOf } from "../../base/id.ts";
import type { DurableSnapshot, WorkflowSnapshot } from "../../contract/durable.ts";
import { limits } from "../../contract/limits.ts";
import { listDeadRuns } from "../../db/durable/dead-runs.ts";
import { readEngineFigures } from "../../db/durable/figures.ts";
import { listBreakers } from "../../db/providers/breakers.ts";
import { listWorkers, newestRuns, readRun } from "../../db/run-lists.ts";
import type { ApiDeps } from "../deps.ts";
import { type Access, authorize } from "../http/authorize.ts";
import { credentialCheck } from "../http/credential-check.ts";
import type { Caller } from "../http/identify.ts";
import { Raw } from "../http/media.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { healthToWire } from "./_health-wire.ts";
import { eventsOfRun } from "./_workflow-events.ts";
import {
  ALL_TASK_STATES,
  deadRunToWire,
  idOfUuid,
  taskToWire,
  workflowEventToWire,
  workflowToWire,
} from "./_workflow-wire.ts";
import { breakerToWire } from "./breakers.ts";
import { streamSnapshots } from "./snapshot-stream.ts";
import { createSnapshots } from "./snapshots.ts";
import { workerToWire } from "./workers.ts";

type StreamDeps = Pick<
  ApiDeps,
  "db" | "hints" | "clock" | "log" | "streams" | "shutdown" | "figures" | "identify"
>;

const STREAM = {
  tag: "durable",
  responses: { 200: Raw("text/event-stream") },
} as const;
const HOW = "`connected`, then a `snapshot` whenever something has changed, at most one a second.";

export function durableStreamRoutes(deps: StreamDeps): Route[] {
  const { db, streams, clock, shutdown, figures } = deps;
  const snapshots = createSnapshots(deps);

  const snapshotOf = async (organizationId: string): Promise<DurableSnapshot> => {
    const [engine, workers, runs, dead, breakers] = await Promise.all([
      readEngineFigures(db),
      listWorkers(db, { status: null }),
      newestRuns(db, organizationId, limits.snapshotRows),
      listDeadRuns(db, { organizationId, runId: null, offset: 0, limit: limits.snapshotRows }),
      listBreakers(db, organizationId),
    ]);
    return {
      health: healthToWire(engine),
      workers: workers.slice(0, limits.snapshotRows).map(workerToWire),
      workflows: runs.map(workflowToWire),
      tasks: runs.filter((run) => ALL_TASK_STATES.includes(run.state)).map(taskToWire),
      dlq: dead.rows.map(deadRunToWire),
      circuit_breakers: breakers.slice(0, limits.snapshotRows).map(breakerToWire),
    };
  };

  const workflowSnapshot = async (organizationId: string, runId: string): Promise<WorkflowSnapshot> => {
    const run = await readRun(db, organizationId, runId);
    if (!run) throw noWorkflow();
    const { events } = await eventsOfRun(db, run);
    const id = uuidOf(run.id);
    return {
      workflow: workflowToWire(run),
      tasks: ALL_TASK_STATES.includes(run.state) ? [taskToWire(run)] : [],
      events: events.map((event) => workflowEventToWire(id, event)),
    };
  };

  const check = (request: Request, caller: Caller, access: Access) =>
    credentialCheck(deps.identify, request, caller, (one) => authorize({ method: "GET", access }, one, {}));

  return [
    defineRoute({
      ...STREAM,
      access: "operator",
      method: "GET",
      path: "/durable/sse",
      operationId: "stream_durable_sse",
      summary: "The engine as snapshots, as Server-Sent Events",
      description:
        `${HOW} A snapshot has the health and the workers of the installation, and of the organization the newest ` +
        `${limits.snapshotRows} workflows, tasks, dead turns and circuit breakers; the first one has \`metrics_history\`, too.`,
      problems: ["rate_limited"],
      async run({ caller, request }) {
        const { organizationId } = caller;
        const onClose = streams.take(organizationId, `durable ${organizationId}`, "the engine");
        const watched = {
          key: organizationId,
          load: () => snapshotOf(organizationId),
          isTouchedBy: () => true,
        };
        return streamSnapshots((onReady) => snapshots.watch(watched, onReady), {
          clock,
          shutdown,
          onClose,
          mayGoOn: check(request, caller, "operator"),
          first: () => ({ metrics_history: figures.timeSeries() }),
        });
      },
    }),
    defineRoute({
      ...STREAM,
      access: "admin",
      method: "GET",
      path: "/durable/workflows/{workflow_id}/sse",
      operationId: "stream_workflow_sse",
      summary: "A workflow as snapshots, as Server-Sent Events",
      description: `${HOW} A snapshot has the workflow, its task and its events.`,
      problems: ["invalid_id", "not_found", "rate_limited"],
      async run({ params, caller, request }) {
        const { organizationId } = caller;
        const runId = idOfUuid("turn", params.workflow_id);
        const run = await readRun(db, organizationId, runId);
        if (!run) throw noWorkflow();
        const onClose = streams.take(organizationId, runId, "this workflow");
        const watched = {
          key: `${organizationId} ${runId}`,
          load: () => workflowSnapshot(organizationId, runId),
          isTouchedBy: ({
            sessions,
            cancelled,
          }: {
            sessions: readonly string[];
            cancelled: readonly string[];
          }) => sessions.includes(run.session_id) || cancelled.includes(runId),
        };
        return streamSnapshots((onReady) => snapshots.watch(watched, onReady), {
          clock,
          shutdown,
          onClose,
          mayGoOn: check(request, caller, "admin"),
        });
      },
    }),
  ];
}

const noWorkflow = () => new UserError("not_found", "Workflow not found");
