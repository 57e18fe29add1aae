/** Health and the engine's operation on the wire. */
import { newId, uuidOf } from "../../../src/base/id.ts";
import { createScheduleStores } from "../../../src/db/schedules/session-schedules.ts";
import { createTaskStores } from "../../../src/db/tasks/spawn.ts";
import { ORGANIZATION, type TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";

export const ours: Record<string, string> = {
  "GET /health": "named in the contract's text, not in its OpenAPI",
  "GET /ready": "ours: for probes",
  ...Object.fromEntries(
    [
      "GET /v1/sessions/{}/schedules",
      "GET /v1/sessions/{}/schedules/{}",
      "PATCH /v1/sessions/{}/schedules/{}",
      "DELETE /v1/sessions/{}/schedules/{}",
      "POST /v1/sessions/{}/schedules/{}/trigger",
    ].map((route) => [route, "named in the contract's text, not in its OpenAPI"]),
  ),
  ...Object.fromEntries(
    [
      "/v1/durable/workers/{}/drain",
      "/v1/durable/workers/{}/resume",
      "/v1/durable/workflows/{}/cancel",
      "/v1/durable/workflows/{}/signal",
    ].map((route) => [
      `POST ${route} 200`,
      "an empty object where the contract has no body: the clients parse every answer as JSON",
    ]),
  ),
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  await step("GET", "/health", [], 200);
  await step("GET", "/ready", [], 200);

  const provider = (await app.get("/providers")).body.data[0];
  const breaker = `${provider.id}:claude-sonnet-5-5`;
  await step("POST", "/v1/durable/circuit-breakers/{}/open", [breaker], 200);
  await step("GET", "/v1/durable/circuit-breakers", [], 200);
  await step("GET", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await step("POST", "/v1/durable/circuit-breakers/{}/close", [breaker], 200);
  await step("DELETE", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await app.db.sql`insert into workers (id, hostname, pid, version, concurrency, lock_key)
                   values (${`worker-${crypto.randomUUID()}`}, 'here', 1, '0', 4, 1)`;
  await step("GET", "/v1/durable/workers", [], 200);
  const worker = (await app.get("/durable/workers")).body.data[0].id;
  await step("POST", "/v1/durable/workers/{}/drain", [worker], 200);
  await step("POST", "/v1/durable/workers/{}/resume", [worker], 200);
  await app.db.sql`delete from workers`;

  await step("GET", "/v1/durable/config", [], 200);
  await step("GET", "/v1/durable/health", [], 200);
  await step("GET", "/v1/durable/metrics/timeseries", [], 200);
  const session = (await app.post("/sessions", {})).body.id;
  const enqueued = await step("POST", "/v1/durable/tasks", [], 201, {
    activity_type: "turn",
    input: { session_id: session, message: "Hello." },
    options: { priority: 3 },
  });
  await step("GET", "/v1/durable/tasks", [], 200);
  await step("GET", "/v1/durable/workflows", [], 200);
  const workflow = enqueued.task_id;
  await step("GET", "/v1/durable/workflows/{}", [workflow], 200);
  await step("GET", "/v1/durable/workflows/{}/events", [workflow], 200);
  await step("POST", "/v1/durable/workflows/{}/signal", [workflow], 200, {
    signal_type: "message",
    payload: { text: "Quickly." },
  });
  await step("POST", "/v1/durable/workflows/{}/cancel", [workflow], 200);

  const { turn_id: dead } = (
    await app.post(`/sessions/${session}/messages`, {
      message: { content: [{ type: "text", text: "Again." }] },
    })
  ).body;
  await app.db.sql`update runs set state = 'failed', finished_at = now(), error = 'broke' where id = ${dead}`;
  await app.db.sql`update sessions set status = 'idle', active_run_id = null where id = ${session}`;
  await step("GET", "/v1/durable/dlq", [], 200);
  await step("POST", "/v1/durable/dlq/{}/retry", [uuidOf(dead)], 200);

  const schedule = await step("POST", "/v1/durable/schedules", [], 201, {
    name: "daily",
    description: "Every day.",
    cron_expression: "0 9 * * *",
    target: { type: "workflow", name: "session.run", input: { session_id: session } },
    max_catch_up: 2,
    max_concurrent: 3,
    retry_policy: { max_attempts: 2 },
  });
  await step("GET", "/v1/durable/schedules", [], 200);
  await step("GET", "/v1/durable/schedules/{}", [schedule.id], 200);
  await step("PATCH", "/v1/durable/schedules/{}", [schedule.id], 200, { catch_up_missed: true });
  await step("POST", "/v1/durable/schedules/{}/pause", [schedule.id], 200);
  await step("POST", "/v1/durable/schedules/{}/resume", [schedule.id], 200);
  const triggered = await step("POST", "/v1/durable/schedules/{}/trigger", [schedule.id], 200);
  await step("GET", "/v1/durable/schedules/{}/stats", [schedule.id], 200);
  await step("GET", "/v1/durable/schedules/{}/executions", [schedule.id], 200);
  await step("GET", "/v1/durable/executions/{}", [triggered.execution_id], 200);
  await step("DELETE", "/v1/durable/schedules/{}", [schedule.id], 204);

  const store = createScheduleStores(app.db)({ organizationId: ORGANIZATION, sessionId: session });
  const { id: own } = await store.create({
    description: "Go on.",
    cronExpression: "0 9 * * *",
    scheduledAt: null,
    timezone: "UTC",
    idempotencyKey: "once",
  });
  await step("GET", "/v1/sessions/{}/schedules", [session], 200);
  await step("GET", "/v1/sessions/{}/schedules/{}", [session, own], 200);
  await step("PATCH", "/v1/sessions/{}/schedules/{}", [session, own], 200, { enabled: false });
  await step("POST", "/v1/sessions/{}/schedules/{}/trigger", [session, own], 200);
  await step("DELETE", "/v1/sessions/{}/schedules/{}", [session, own], 204);

  await createTaskStores(
    app.db,
    app.hints,
  )({ organizationId: ORGANIZATION, sessionId: session, capabilities: [] }).spawnAgent({
    agent: null,
    title: "Work",
    task: "Work.",
    network: { allowed: [], blocked: [] },
    turnId: newId("turn"),
    toolCallId: "call_1",
    idempotencyKey: "once",
  });
  const [task] = await step("GET", "/v1/sessions/{}/tasks", [session], 200);
  await step("GET", "/v1/tasks", [], 200);
  await step("POST", "/v1/sessions/{}/tasks/{}/messages", [session, task.id], 200, { text: "Faster." });
  await step("GET", "/v1/sessions/{}/tasks/{}", [session, task.id], 200);
  await step("POST", "/v1/sessions/{}/tasks/{}/cancel", [session, task.id], 200);

  const webhook = await step("POST", "/v1/task-webhooks", [], 201, {
    url: "https://hooks.example.com/tasks",
  });
  await step("GET", "/v1/task-webhooks", [], 200);
  await step("GET", "/v1/task-webhooks/{}", [webhook.id], 200);
  await step("PATCH", "/v1/task-webhooks/{}", [webhook.id], 200, { enabled: false });
  await step("DELETE", "/v1/task-webhooks/{}", [webhook.id], 204);
}
