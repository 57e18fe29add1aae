/** Worker processes, for operators: who they are, and whether they claim. */
import { UserError } from "../../base/errors.ts";
import { type Worker, WorkersListResponse } from "../../contract/run.ts";
import { OneOf, Type } from "../../contract/schema.ts";
import { listWorkers, type WorkerRow } from "../../db/run-lists.ts";
import { wishDrain } from "../../db/workers.ts";
import type { ApiDeps } from "../deps.ts";
import { iso, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { TURN } from "./_workflow-wire.ts";

const WORKER_GROUP = "default";

export function workerRoutes({ db, log }: Pick<ApiDeps, "db" | "log">): Route[] {
  const wish = async (workerId: string, isWanted: boolean, principalId: string) => {
    if (!(await wishDrain(db, workerId, isWanted))) {
      throw new UserError("not_found", "There is no such worker, or it has stopped");
    }
    const what = isWanted ? "is to drain" : "is to claim again";
    log.info(`a worker ${what}, as an operator wants`, { worker_id: workerId, principal_id: principalId });
    return reply(200, {});
  };

  return [
    defineRoute({
      method: "GET",
      path: "/durable/workers",
      operationId: "list_workers",
      tag: "durable",
      summary: "List worker processes, newest first",
      access: "operator",
      query: Type.Object({
        status: Type.Optional(OneOf(["running", "draining", "stopped"])),
        worker_group: Type.Optional(
          Type.String({ description: "There is one group; any other has no workers." }),
        ),
      }),
      responses: { 200: WorkersListResponse },
      async run({ query }) {
        const isOther = query.worker_group !== undefined && query.worker_group !== WORKER_GROUP;
        const rows = isOther ? [] : await listWorkers(db, { status: query.status ?? null });
        const alive = rows.filter((row) => row.status !== "stopped");
        const count = (status: WorkerRow["status"]) => rows.filter((row) => row.status === status).length;
        return reply(200, {
          ...whole(rows.map(workerToWire)),
          summary: {
            active: count("running"),
            draining: count("draining"),
            stopped: count("stopped"),
            total_capacity: alive.reduce((sum, row) => sum + row.concurrency, 0),
            total_load: alive.reduce((sum, row) => sum + row.load, 0),
          },
        });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/durable/workers/{worker_id}/drain",
      operationId: "drain_worker",
      tag: "durable",
      summary: "Let a worker claim nothing more",
      description:
        "The worker hears of it with its next heartbeat, within five seconds; turns that it has in hand go on, and those " +
        "that wait are left to the other workers. It lasts until `resume`, or until the process ends.",
      access: "operator",
      responses: { 200: Type.Object({}) },
      problems: ["not_found"],
      run: async ({ params, caller }) => wish(params.worker_id, true, caller.principalId),
    }),
    defineRoute({
      method: "POST",
      path: "/durable/workers/{worker_id}/resume",
      operationId: "resume_worker",
      tag: "durable",
      summary: "Let a worker that drains claim again",
      access: "operator",
      responses: { 200: Type.Object({}) },
      problems: ["not_found"],
      run: async ({ params, caller }) => wish(params.worker_id, false, caller.principalId),
    }),
  ];
}

export function workerToWire(row: WorkerRow): Worker {
  return {
    id: row.id,
    hostname: row.hostname,
    version: row.version,
    status: row.status,
    accepting_tasks: row.status === "running" && row.load < row.concurrency,
    activity_types: [TURN],
    current_load: row.load,
    max_concurrency: row.concurrency,
    tasks_completed: row.runs_completed,
    tasks_failed: row.runs_failed,
    started_at: iso(row.started_at),
    last_heartbeat_at: iso(row.heartbeat_at),
    metadata: { pid: row.pid },
  };
}
