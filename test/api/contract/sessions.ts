/** Sessions, their messages, queues, runs and waits on the wire. */
import type { TestApp } from "../../support/app.ts";
import type { Step } from "../../support/contract.ts";
import { newSession } from "../../support/sessions.ts";
import { parkDirectly } from "../../support/waiting.ts";

export const ours: Record<string, string> = {
  "GET /v1/runs": "ours: runs",
  "GET /v1/runs/{}": "ours: runs",
  "GET /v1/sessions/{}/runs": "ours: runs",
  "POST /v1/sessions/{}/messages 200": "ours: wait=true",
  "POST /v1/sessions/{}/messages 202": "ours: wait=true",
  "POST /v1/sessions/{}/tool-approvals": "named in the contract's text, not in its OpenAPI",
  "GET /v1/approvals": "ours: approvals over all sessions",
  "POST /v1/runs/{}/cancel": "ours: runs",
  "POST /v1/runs/{}/retry": "ours: runs",
  "POST /v1/runs/{}/steps/{}/settle": "ours: runs",
  "GET /v1/sessions/{}/queue": "ours: the queue of a session",
  "PATCH /v1/sessions/{}/queue/{}": "ours: the queue of a session",
  "DELETE /v1/sessions/{}/queue/{}": "ours: the queue of a session",
  "POST /v1/approvals/{}": "ours: approvals over all sessions",
  "GET /v1/sessions/{}/diff/{}": "ours: what two branches did",
};

export async function steps(step: Step, app: TestApp): Promise<void> {
  const models = await step("GET", "/v1/models", [], 200);
  const model = models.data[0].id;
  const agent = (await app.post("/agents", { name: "talker", system_prompt: "" })).body;
  const session = await step("POST", "/v1/sessions", [], 201, {
    agent_id: agent.id,
    harness_name: "generic",
    title: "A talk",
    locale: "uk-UA",
    model_id: model,
    system_prompt: "Be brief.",
    hints: { a: { b: 1 } },
    capabilities: [{ ref: "current_time" }],
    tags: ["t"],
    initial_files: [{ path: "/c.txt", content: "c" }],
    network_access: { blocked: ["x.example.com"] },
    max_iterations: 3,
    parallel_tool_calls: true,
    default_delivery: "steer",
  });
  await step("POST", "/v1/sessions", [], 201, {});
  await step("GET", "/v1/sessions/stats", [], 200);
  await step("GET", "/v1/sessions", [], 200, undefined, `?agent_id=${agent.id}&search=talk`);
  await step("GET", "/v1/sessions", [], 200, undefined, "?limit=1");
  await step("PATCH", "/v1/sessions/{}", [session.id], 200, { title: "Another", tags: ["u"] });
  await step("PUT", "/v1/sessions/{}/pin", [session.id], 204);
  await step("GET", "/v1/sessions/{}", [session.id], 200);
  await step("DELETE", "/v1/sessions/{}/pin", [session.id], 204);
  const message = await step("POST", "/v1/sessions/{}/messages", [session.id], 201, {
    message: { role: "user", content: [{ type: "text", text: "Hi" }] },
    externalActor: { actorId: "U1", actorName: "Ann", source: "slack", metadata: { a: "b" } },
    controls: { modelId: model, reasoning: { effort: "low" } },
    metadata: { n: 1 },
  });
  const again = { message: { content: [{ type: "text", text: "Hi" }] }, client_message_id: "k" };
  const waited = await step("POST", "/v1/sessions", [], 201, {});
  await step("POST", "/v1/sessions/{}/messages", [waited.id], 201, again);
  await step("POST", "/v1/sessions/{}/messages", [waited.id], 202, again, "?wait=true&timeout_seconds=1");
  await step("POST", "/v1/sessions/{}/cancel", [waited.id], 200);
  await step("POST", "/v1/sessions/{}/messages", [waited.id], 200, again, "?wait=true");
  await step("GET", "/v1/sessions/{}", [session.id], 200);
  await step("GET", "/v1/runs", [], 200);
  await step("GET", "/v1/runs/{}", [message.turn_id], 200);
  await step("GET", "/v1/sessions/{}/runs", [session.id], 200, undefined, "?status=queued");
  await app.db.sql`insert into steps (run_id, name, kind, tool_name, effect, status, attempt, started_at)
                   values (${message.turn_id}, 'tool:call_1', 'tool', 'charge', 'at_most_once', 'unknown', 1, now())`;
  const settled = { outcome: "done", result: { a: 1 } };
  await step("POST", "/v1/runs/{}/steps/{}/settle", [message.turn_id, "tool:call_1"], 200, settled);
  const words = (text: string) => ({ message: { content: [{ type: "text", text }] }, delivery: "queue" });
  const queued = await step("POST", "/v1/sessions/{}/messages", [session.id], 201, words("Then this."));
  await step("GET", "/v1/sessions/{}/queue", [session.id], 200);
  await step("PATCH", "/v1/sessions/{}/queue/{}", [session.id, queued.id], 200, {
    content: [{ type: "text", text: "Then that." }],
  });
  await step("DELETE", "/v1/sessions/{}/queue/{}", [session.id, queued.id], 204);
  await step("POST", "/v1/runs/{}/cancel", [message.turn_id], 200);
  await step("POST", "/v1/sessions/{}/messages", [session.id], 201, words("Again."));
  await step("POST", "/v1/sessions/{}/cancel", [session.id], 200);
  await step("POST", "/v1/sessions/{}/cancel", [session.id], 200);
  await step("GET", "/v1/sessions/{}/messages", [session.id], 200);
  const fork = await step("POST", "/v1/sessions/{}/fork", [session.id], 201, { tags: ["x"], at_sequence: 3 });
  await step("GET", "/v1/sessions/{}/diff/{}", [session.id, fork.id], 200);
  await step("GET", "/v1/sessions/{}/events", [session.id], 200);
  await step("DELETE", "/v1/sessions/{}", [session.id], 204);

  const failing = await newSession(app.db);
  const failed = await step("POST", "/v1/sessions/{}/messages", [failing], 201, words("Fail."));
  await app.db.sql`update runs set state = 'failed', finished_at = now() where id = ${failed.turn_id}`;
  await app.db.sql`update sessions set active_run_id = null, status = 'idle' where id = ${failing}`;
  await step("POST", "/v1/runs/{}/retry", [failed.turn_id], 201);

  const parked = await newSession(app.db);
  await parkDirectly(app.db, parked, [
    { kind: "client_tool", toolCallId: "call_1" },
    { kind: "approval", toolCallId: "call_2" },
    { kind: "approval", toolCallId: "call_3" },
  ]);
  const approvals = await step("GET", "/v1/approvals", [], 200, undefined, "?status=pending&limit=1");
  const result = { tool_call_id: "call_1", result: { a: [1] } };
  await step("POST", "/v1/sessions/{}/tool-results", [parked], 200, { tool_results: [result] });
  await step("POST", "/v1/approvals/{}", [approvals.data[0].id], 200, {
    decision: "allow",
    arguments: { n: 1 },
    comment: "Only one.",
  });
  await step("POST", "/v1/sessions/{}/tool-approvals", [parked], 200, {
    decisions: [{ tool_call_id: "tool_approval_call_2", decision: "allow_always" }],
  });
}
