/**
 * Every route that we serve, called for real, its answers held against two documents: the contract that the
 * official clients were made from (test/golden/contract-openapi.json), and our own OpenAPI.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { ValidateFunction } from "ajv";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { newId } from "../../src/base/id.ts";
import contract from "../golden/contract-openapi.json";
import { type TestApp, testApp } from "../support/app.ts";
import { newSession } from "../support/sessions.ts";
import { parkDirectly } from "../support/waiting.ts";

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}
interface Operation {
  operationId: string;
  responses: Record<string, { content?: Record<string, { schema: unknown }> }>;
}

/** Schemas that are wrong in the published contract, and what the wire really carries. */
const CORRECTED: Record<string, unknown> = {
  // A name collision: it shows an app channel's status.
  SessionStatus: { type: "string", enum: ["started", "active", "idle", "waitingfortoolresults"] },
  // Printed as the server's own constant names.
  ExecutionPhase: { type: "string", enum: ["commentary", "final_answer"] },
  // Untagged: one object may fit several of the shapes, and `oneOf` would refuse it.
  EventData: { anyOf: (contract.components.schemas.EventData as { oneOf: unknown[] }).oneOf },
};

/** Routes and answers that the contract does not have, each with the reason why we give them. */
const OURS: Record<string, string> = {
  "GET /health": "named in the contract's text, not in its OpenAPI",
  "GET /ready": "ours: for probes",
  "GET /v1/runs": "ours: runs",
  "GET /v1/runs/{}": "ours: runs",
  "GET /v1/sessions/{}/runs": "ours: runs",
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
  "POST /v1/budgets": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "PATCH /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "DELETE /v1/budgets/{}": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}/check": "named in the contract's text, not in its OpenAPI",
  "GET /v1/budgets/{}/ledger": "named in the contract's text, not in its OpenAPI",
  "POST /v1/budgets/{}/top-up": "named in the contract's text, not in its OpenAPI",
  "GET /v1/sessions/{}/budget-check": "named in the contract's text, not in its OpenAPI",
  "GET /v1/sessions/{}/budgets": "named in the contract's text, not in its OpenAPI",
  "POST /v1/sessions/{}/resume": "named in the contract's text, not in its OpenAPI",
  "POST /v1/agents 200": "an upsert that replaces; the contract's text says so, its OpenAPI lists 201 only",
};

/** Not called below: the stream never ends by itself and has tests of its own. */
const ELSEWHERE = new Set(["GET /v1/sessions/{}/sse"]);

const template = (path: string) => path.replace(/\{\w+\}|:\w+/g, "{}");

let app: TestApp;
let ours: Document;
const seen = new Map<string, unknown[]>();

/** Calls a route and keeps its answer under `METHOD /template status`. */
async function step(
  method: string,
  route: string,
  params: string[],
  status: number,
  body?: unknown,
  query = "",
) {
  let next = 0;
  const path = route.replaceAll("{}", () => params[next++] ?? "") + query;
  const answer = await app.call(method, `/${path}`, body);
  expect([`${method} ${path}`, answer.status, answer.status >= 400 ? answer.body : null]).toEqual([
    `${method} ${path}`,
    status,
    null,
  ]);
  const key = `${method} ${route} ${status}`;
  seen.set(key, [...(seen.get(key) ?? []), answer.body]);
  return answer.body;
}

beforeAll(async () => {
  app = await testApp();
  ours = (await app.get("//api-doc/openapi.json")).body;

  await step("GET", "/health", [], 200);
  await step("GET", "/ready", [], 200);

  const models = await step("GET", "/v1/models", [], 200);
  const model = models.data[0].id;
  const full = {
    name: "full-agent",
    display_name: "Full",
    description: "Has every field.",
    system_prompt: "You are complete.",
    default_model_id: model,
    capabilities: ["current_time", { ref: "session_file_system" }, { ref: "web_fetch", config: {} }],
    tools: [
      {
        type: "client_side",
        name: "ask",
        description: "Asks.",
        parameters: { type: "object" },
        hints: { readonly: true },
      },
      { type: "builtin", name: "dropped", description: "Not the client's to define.", parameters: {} },
    ],
    initial_files: [
      { path: "/a.txt", content: "a" },
      { path: "b.bin", content: "AAEC", encoding: "base64", is_readonly: true },
    ],
    mcpServers: { docs: { type: "http", url: "https://mcp.example.com", headers: { a: "b" } } },
    network_access: { allowed: ["*.example.com"], blocked: ["10.0.0.1"] },
    parallel_tool_calls: false,
    max_iterations: 12,
    tags: ["a", "b"],
  };
  const agent = await step("POST", "/v1/agents", [], 201, full);
  await step("POST", "/v1/agents", [], 200, { ...full, system_prompt: "Again." });
  await step("POST", "/v1/agents", [], 201, { name: "bare-agent", system_prompt: "" });
  await step("GET", "/v1/agents", [], 200, undefined, "?limit=1&offset=1");
  await step("GET", "/v1/agents", [], 200, undefined, "?search=full&include_archived=true");
  await step("GET", "/v1/agents/check-name", [], 200, undefined, "?name=full-agent");
  await step("GET", "/v1/agents/config", [], 200);
  await step("GET", "/v1/agents/{}", [agent.id], 200);
  await step("GET", "/v1/agents/{}", ["bare-agent"], 200);
  await step("PUT", "/v1/agents/{}", [newId("agent")], 201, { name: "put-agent", system_prompt: "x" });
  await step("PUT", "/v1/agents/{}", ["put-agent"], 200, { name: "put-agent", system_prompt: "y" });
  await step("PATCH", "/v1/agents/{}", [agent.id], 200, { description: null, tags: ["c"] });
  await step("POST", "/v1/agents/{}/copy", [agent.id], 201);
  await step("DELETE", "/v1/agents/{}", ["bare-agent"], 204);
  await step("GET", "/v1/agents/{}", ["bare-agent"], 200);

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
  const budget = await step("POST", "/v1/budgets", [], 201, {
    subject_type: "session",
    subject_id: session.id,
    currency: "usd",
    limit: 2,
    soft_limit: 1,
    period: { type: "rolling", window: "5h" },
  });
  await step("GET", "/v1/budgets", [], 200);
  await step("GET", "/v1/budgets/{}", [budget.id], 200);
  await step("PATCH", "/v1/budgets/{}", [budget.id], 200, { metadata: { a: 1 } });
  await step("POST", "/v1/budgets/{}/top-up", [budget.id], 200, { amount: 1 });
  await step("GET", "/v1/budgets/{}/ledger", [budget.id], 200);
  await step("GET", "/v1/budgets/{}/check", [budget.id], 200);
  await step("GET", "/v1/sessions/{}/budgets", [session.id], 200);
  await step("GET", "/v1/sessions/{}/budget-check", [session.id], 200);
  await step("POST", "/v1/sessions/{}/resume", [session.id], 200);
  await step("DELETE", "/v1/budgets/{}", [budget.id], 204);
  await step("GET", "/v1/agents/{}/stats", [agent.id], 200);
  await step("GET", "/v1/agents/{}", [agent.id], 200);
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

  await step("GET", "/v1/harnesses", [], 200);
  await step("GET", "/v1/harnesses/config", [], 200);
  await step("GET", "/v1/harnesses/{}", ["default"], 200);
  await step("GET", "/v1/harnesses/{}/stats", ["generic"], 200);
  await step("GET", "/v1/capabilities", [], 200, undefined, "?search=e&limit=2");
  await step("GET", "/v1/capabilities/{}", ["session_file_system"], 200);

  const provider = await step("POST", "/v1/providers", [], 201, {
    name: "Mine",
    provider_type: "openai_completions",
    base_url: "http://localhost:11434/v1/",
    api_key: "sk-mine",
    trace: { enabled: true, session_url_template: "https://trace.example.com/{id}" },
    limits: { max_concurrent_requests: 8, requests_per_minute: 600 },
  });
  await step("GET", "/v1/providers", [], 200);
  await step("GET", "/v1/providers/config", [], 200);
  await step("GET", "/v1/providers/{}", [provider.id], 200);
  await step("PATCH", "/v1/providers/{}", [provider.id], 200, { status: "disabled", api_key: "" });
  const added = await step("POST", "/v1/providers/{}/models", [provider.id], 201, {
    model_id: "claude-sonnet-5-5",
    display_name: "Through a proxy",
    capabilities: ["chat"],
  });
  await step("GET", "/v1/providers/{}/models", [provider.id], 200);
  await step(
    "GET",
    "/v1/models",
    [],
    200,
    undefined,
    "?source=manual&include_stale=true&favorites_only=false",
  );
  await step("GET", "/v1/models/config", [], 200);
  await step("GET", "/v1/models/{}", [added.id], 200);
  await step("PATCH", "/v1/models/{}", [added.id], 200, { is_favorite: true });
  const breaker = `${provider.id}:claude-sonnet-5-5`;
  await step("POST", "/v1/durable/circuit-breakers/{}/open", [breaker], 200);
  await step("GET", "/v1/durable/circuit-breakers", [], 200);
  await step("GET", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await step("POST", "/v1/durable/circuit-breakers/{}/close", [breaker], 200);
  await step("DELETE", "/v1/durable/circuit-breakers/{}", [breaker], 200);
  await step("DELETE", "/v1/models/{}", [added.id], 204);
  await step("DELETE", "/v1/providers/{}", [provider.id], 204);

  await app.db.sql`insert into workers (id, hostname, pid, version, concurrency, lock_key)
                   values (${`worker-${crypto.randomUUID()}`}, 'here', 1, '0', 4, 1)`;
  await step("GET", "/v1/durable/workers", [], 200);
});

afterAll(async () => {
  await app.close();
});

describe("the wire contract", () => {
  test("every route that is served has been called, and every success status of ours seen", () => {
    const served = operations(ours).flatMap(({ key, operation }) =>
      Object.keys(operation.responses)
        .filter((status) => Number(status) < 300 && !ELSEWHERE.has(key))
        .map((status) => `${key} ${status}`),
    );
    expect([...seen.keys()].sort()).toEqual(served.sort());
  });

  test("a route that the contract does not have is one of ours, for a reason", () => {
    const known = new Set(operations(contract as unknown as Document).map(({ key }) => key));
    const unknown = operations(ours)
      .map(({ key }) => key)
      .filter((key) => !known.has(key));
    expect(unknown.filter((key) => OURS[key] === undefined)).toEqual([]);
  });

  test("operation ids are those of the contract", () => {
    const ids = new Map(
      operations(contract as unknown as Document).map(({ key, operation }) => [key, operation.operationId]),
    );
    for (const { key, operation } of operations(ours)) {
      const id = ids.get(key);
      if (id !== undefined) expect([key, operation.operationId]).toEqual([key, id]);
    }
  });

  test("every answer has the contract's shape", () => {
    const document = contract as unknown as Document;
    const validators = validatorsOf({
      ...document,
      components: { schemas: { ...document.components.schemas, ...CORRECTED } },
    });
    for (const [key, bodies] of seen) {
      if (OURS[key] ?? OURS[key.replace(/ \d+$/, "")]) continue;
      const validate = validators.get(key);
      expect([key, validate !== undefined]).toEqual([key, true]);
      for (const body of bodies) check(key, validate, body);
    }
  });

  test("every answer has the shape that our own OpenAPI says, with no field beside it", () => {
    const validators = validatorsOf(ours, true);
    for (const [key, bodies] of seen) for (const body of bodies) check(key, validators.get(key), body);
  });

  test("an answer never shows null where strict clients want the field left out", () => {
    const nullable = ["trace.generation_url_template", "profile"];
    for (const [key, bodies] of seen) {
      for (const path of bodies.flatMap((body) => nulls(body, ""))) {
        expect([key, path, nullable.some((name) => path.includes(name))]).toEqual([key, path, true]);
      }
    }
  });
});

function operations(document: Document): { key: string; operation: Operation }[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      key: `${method.toUpperCase()} ${template(path)}`,
      operation,
    })),
  );
}

/** `METHOD /template status` → check of its JSON body; null where there is no body. */
function validatorsOf(document: Document, isClosed = false): Map<string, ValidateFunction | null> {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  for (const format of ["int32", "int64", "double", "float"]) ajv.addFormat(format, true);
  ajv.addSchema({ $id: "document", components: document.components });
  const validators = new Map<string, ValidateFunction | null>();
  for (const { key, operation } of operations(document)) {
    for (const [status, response] of Object.entries(operation.responses)) {
      const schema = response.content?.["application/json"]?.schema;
      if (Number(status) >= 300) continue;
      const resolved = JSON.parse(
        JSON.stringify(schema ?? null).replaceAll('"#/components', '"document#/components'),
      );
      const closed = isClosed ? { allOf: [resolved], unevaluatedProperties: false } : resolved;
      validators.set(`${key} ${status}`, schema === undefined ? null : ajv.compile(closed));
    }
  }
  return validators;
}

function check(key: string, validate: ValidateFunction | null | undefined, body: unknown): void {
  const isRight = validate ? validate(body) : body === null;
  expect([key, isRight, validate?.errors ?? null]).toEqual([key, true, null]);
}

function nulls(value: unknown, path: string): string[] {
  if (value === null) return path === "" ? [] : [path];
  if (typeof value !== "object") return [];
  return Object.entries(value as object).flatMap(([name, item]) => nulls(item, `${path}.${name}`));
}
