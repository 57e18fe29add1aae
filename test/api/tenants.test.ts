/** Rows of another organization, and deleted ones, do not exist: every route, with every id. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId, uuidOf } from "../../src/base/id.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { makeToken, makeUser } from "../support/callers.ts";

let app: TestApp;
const agent = newId("agent");
const session = newId("session");
const provider = newId("prov");
const model = newId("model");
const turn = newId("turn");
const budget = newId("budget");
const harness = newId("harness");
const approval = newId("approval");
const queued = newId("message");
const mcpServer = newId("mcp");
const skill = newId("skill");
let token: string;
const workspace = session.replace("session", "wsp");
const memory = newId("mem");
const image = newId("img");
const task = newId("task");
const webhook = newId("wh");
const healthCheck = newId("healthcheck");

beforeAll(async () => {
  app = await testApp();
  const { sql } = app.db;
  await sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
  const user = await makeUser(app.db, { organizationId: OTHER_ORGANIZATION });
  token = (await makeToken(app.db, user.id, { organizationIds: [OTHER_ORGANIZATION] })).id;
  await sql`insert into harnesses (id, organization_id, name) values (${harness}, ${OTHER_ORGANIZATION}, 'theirs')`;
  await sql`insert into agents (id, organization_id, harness_id, name, system_prompt)
            values (${agent}, ${OTHER_ORGANIZATION}, ${harness}, 'foreign', 'secret prompt')`;
  await sql`insert into providers (id, organization_id, name, provider_type)
            values (${provider}, ${OTHER_ORGANIZATION}, 'Foreign', 'llmsim')`;
  await sql`insert into models (id, organization_id, provider_id, model_id, display_name)
            values (${model}, ${OTHER_ORGANIZATION}, ${provider}, 'foreign-model', 'Foreign')`;
  await sql`insert into sessions (id, organization_id, harness_id, agent_id, workspace_id, owner_principal_id, last_sequence,
                                  active_run_id, status)
            values (${session}, ${OTHER_ORGANIZATION}, ${harness}, ${agent}, ${session.replace("session", "wsp")}, 'p', 1,
                    ${turn}, 'active')`;
  for (const [id, kind] of [
    [workspace, "workspace"],
    [memory, "memory"],
  ] as const) {
    await sql`insert into file_trees (id, organization_id, kind, name, files_version, size_bytes, entry_count)
              values (${id}, ${OTHER_ORGANIZATION}, ${kind}, 'foreign', 2, 6, 1)`;
    await sql`insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, content, hash, size_bytes)
              values (${id}, '/kept.txt', gen_random_uuid(), ${OTHER_ORGANIZATION}, false, false, 'secret', 'hash', 6)`;
  }
  await sql`insert into images (id, organization_id, filename, content_type, width, height, size_bytes, hash, content, thumbnail)
            values (${image}, ${OTHER_ORGANIZATION}, 'foreign.png', 'image/png', 1, 1, 6, 'hash', 'secret', 'secret')`;
  await sql`insert into circuit_breakers (provider_id, model_id, organization_id, state)
            values (${provider}, 'foreign-model', ${OTHER_ORGANIZATION}, 'closed')`;
  await sql`insert into events (session_id, sequence, id, type, data)
            values (${session}, 1, ${newId("event")}, 'session.started', '{}')`;
  await sql`insert into runs (id, organization_id, session_id, agent_id, input_message_id, input_sequence)
            values (${turn}, ${OTHER_ORGANIZATION}, ${session}, ${agent}, ${newId("message")}, 1)`;
  await sql`insert into queued_messages (id, session_id, organization_id, position, turn_id, message, priority, preview)
            values (${queued}, ${session}, ${OTHER_ORGANIZATION}, 1, ${newId("turn")}, '{"content": "secret"}', 0, 'x')`;
  await sql`insert into mcp_servers (id, organization_id, name, url, auth_mode, protocol_mode)
            values (${mcpServer}, ${OTHER_ORGANIZATION}, 'foreign', 'https://foreign.example.com', 'none', 'auto')`;
  await sql`insert into skills (id, organization_id, name, description, skill_md, version, user_invocable,
                                disable_model_invocation, source_type)
            values (${skill}, ${OTHER_ORGANIZATION}, 'foreign', 'secret', 'secret', '1', true, false, 'markdown')`;
  await sql`insert into session_databases (session_id, name, organization_id, tables)
            values (${session}, ${provider}, ${OTHER_ORGANIZATION}, '["secret"]')`;
  await sql`insert into session_values (session_id, key, organization_id, value)
            values (${session}, 'foreign', ${OTHER_ORGANIZATION}, 'secret')`;
  await sql`insert into session_secrets (session_id, name, organization_id, value_sealed)
            values (${session}, 'foreign', ${OTHER_ORGANIZATION}, 'secret')`;
  await sql`insert into session_tasks (id, organization_id, session_id, root_session_id, kind, display_name, state, spec,
                                       run_id, tool_call_id, child_session_id, child_run_id)
            values (${task}, ${OTHER_ORGANIZATION}, ${session}, ${session}, 'subagent', 'secret', 'running', '{}',
                    ${turn}, 'call_2', ${session}, ${turn})`;
  await sql`insert into task_webhooks (id, organization_id, url, secret_sealed, enabled)
            values (${webhook}, ${OTHER_ORGANIZATION}, 'https://foreign.example.com', 'secret', true)`;
  await sql`insert into agent_health_checks (id, organization_id, agent_id, config_hash, configuration, session_id, turn_id)
            values (${healthCheck}, ${OTHER_ORGANIZATION}, ${agent}, 'hash', '{}', ${session}, ${turn})`;
  await sql`update sessions set queue_length = 1 where id = ${session}`;
  await sql`update runs set state = 'waiting', waiting_on = 'approval' where id = ${turn}`;
  await sql`insert into waits (run_id, kind, tool_call_id, id, organization_id, session_id, tool_name, arguments,
                               arguments_hash, reason, expires_at)
            values (${turn}, 'approval', 'call_1', ${approval}, ${OTHER_ORGANIZATION}, ${session}, 'foreign_tool', '{}',
                    'hash', 'secret reason', now() + interval '1 hour')`;
  await sql`insert into schedules (id, organization_id, owner_principal_id, name, description, cron_expression, timezone,
                                   target, enabled)
            values (${schedule}, ${OTHER_ORGANIZATION}, 'p', 'foreign', 'secret', '0 0 * * *', 'UTC', '{}', false)`;
  await sql`insert into schedule_executions (id, schedule_id, organization_id, scheduled_at, is_manual, status)
            values (${execution}, ${schedule}, ${OTHER_ORGANIZATION}, now(), true, 'running')`;
  await sql`insert into budgets (id, organization_id, subject_type, subject_id, currency, limit_amount, balance, metadata)
            values (${budget}, ${OTHER_ORGANIZATION}, 'session', ${session}, 'usd', 1, 1, '{"note": "secret"}')`;
});
afterAll(() => app.close());

const schedule = newId("sched");
const execution = newId("sexec");
const values = (): Record<string, string> => ({
  token_id: token,
  provider: "other",
  org: OTHER_ORGANIZATION,
  agent_id: agent,
  session_id: session,
  other_id: session,
  turn_id: turn,
  user_id: newId("user"),
  participant_id: newId("part"),
  schedule_id: schedule,
  execution_id: uuidOf(execution),
  workflow_id: uuidOf(turn),
  dlq_id: uuidOf(turn),
  worker_id: `worker-${uuidOf(turn)}`,
  budget_id: budget,
  harness_id: harness,
  approval_id: approval,
  key: `${provider}:foreign-model`,
  message_id: queued,
  server_id: mcpServer,
  skill_id: skill,
  workspace_id: workspace,
  memory_id: memory,
  image_id: image,
  task_id: task,
  webhook_id: webhook,
  run_id: healthCheck,
  path: "kept.txt",
});
/** Bodies that would be taken if the row were ours. */
const BODIES: Record<string, unknown> = {
  upsert_agent: { name: "stolen", system_prompt: "x" },
  set_default_agent_version: { version_id: null },
  fork_agent_version: { name: "stolen" },
  create_message: { message: { content: [{ type: "text", text: "x" }] } },
  submit_tool_results: { tool_results: [{ tool_call_id: "call_1", result: 1 }] },
  submit_tool_approvals: { decisions: [{ tool_call_id: "call_1", decision: "allow" }] },
  decide_approval: { decision: "allow" },
  top_up_budget: { amount: 1 },
  create_connection: { api_key: "x" },
  put_api_key_connection: { api_key: "x" },
  create_database: { name: "stolen" },
  batch_set_secrets: { secrets: { stolen: "x" } },
  settle_step: { outcome: "done" },
  post_task_message: { text: "x" },
  update_queued_message: { content: [{ type: "text", text: "x" }] },
  send_signal: { signal_type: "input", payload: { message: "x" } },
  add_member: { email: "x@example.com", role: "viewer" },
  update_member: { role: "owner" },
  add_session_participant: { kind: "user", principal_id: newId("principal") },
  update_session_schedule: { enabled: false },
  create_model: { model_id: "m", display_name: "M" },
  update_path: { content: "x" },
  update_file: { content: "x" },
  stat_action: { path: "/kept.txt" },
  grep_action: { pattern: "s" },
  stat_file: { path: "/kept.txt" },
  grep_files: { pattern: "s" },
  move_file: { src_path: "/kept.txt", dst_path: "/x" },
  copy_file: { src_path: "/kept.txt", dst_path: "/x" },
  session_update_path: { content: "x" },
  session_stat_file: { path: "/kept.txt" },
  session_grep_files: { pattern: "s" },
  session_move_file: { src_path: "/kept.txt", dst_path: "/x" },
  session_copy_file: { src_path: "/kept.txt", dst_path: "/x" },
};

const rows = async () => {
  const { sql } = app.db;
  return [
    await sql`select * from agents where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from sessions where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from providers where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from models where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from circuit_breakers where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from runs where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from events where session_id = ${session}`,
    await sql`select * from budgets where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from waits where session_id = ${session}`,
    await sql`select * from queued_messages where session_id = ${session}`,
    await sql`select * from mcp_servers where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from skills where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from session_databases where session_id = ${session}`,
    await sql`select * from session_values where session_id = ${session}`,
    await sql`select * from session_secrets where session_id = ${session}`,
    await sql`select * from session_tasks where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from task_messages where task_id = ${task}`,
    await sql`select * from task_webhooks where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from agent_health_checks where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from schedules where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from schedule_executions where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from memberships where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from access_tokens where id = ${token}`,
    await sql`select * from file_trees where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from images where organization_id = ${OTHER_ORGANIZATION}`,
    await sql`select * from files where organization_id = ${OTHER_ORGANIZATION}`,
  ].map((list) => JSON.stringify(list));
};

/** Calls every route that has an id and is wanted, with the ids of the rows; none may show what they say. */
async function callAll(isWanted: (template: string) => boolean) {
  const { paths } = (await app.get("//api-doc/openapi.json")).body;
  let tried = 0;
  /** Those that were not answered with 404. */
  const wrong: unknown[] = [];
  for (const [template, methods] of Object.entries<Record<string, { operationId: string }>>(paths)) {
    if (!template.includes("{") || !isWanted(template)) continue;
    const id = template.includes("/models/") ? model : provider;
    const isDurable = template.startsWith("/v1/durable/schedules/");
    const path = template.replace(/\{(\w+)\}/g, (_match, name: string) =>
      name === "schedule_id" && isDurable ? uuidOf(schedule) : (values()[name] ?? id),
    );
    for (const [method, { operationId }] of Object.entries(methods)) {
      const body = BODIES[operationId] ?? (method === "patch" ? {} : undefined);
      const answer = await app.call(method.toUpperCase(), path.replace(/^\/v1/, ""), body);
      if (answer.status !== 404) wrong.push([operationId, path, answer.status, answer.body?.detail]);
      expect(JSON.stringify({ ...answer.body, instance: "" })).not.toContain("secret");
      tried += 1;
    }
  }
  return { tried, wrong };
}

describe("another organization's rows", () => {
  test("are 404 on every route with an id, and stay as they are", async () => {
    const before = await rows();
    const { tried, wrong } = await callAll((template) => !template.includes("capability_id"));
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(25);
    expect(await rows()).toEqual(before);
  });

  test("are in no list and in no count", async () => {
    const lists = [
      "/agents?include_archived=true",
      "/sessions",
      "/runs",
      "/approvals",
      "/budgets",
      "/providers",
      "/harnesses",
      "/mcp-servers?include_archived=true",
      "/skills?include_archived=true",
      "/workspaces?include_archived=true",
      "/memories?include_archived=true",
      "/images",
      "/models?include_stale=true",
      "/durable/circuit-breakers",
    ];
    for (const path of lists)
      expect(JSON.stringify((await app.get(path)).body)).not.toMatch(/foreign|theirs/i);
    expect((await app.get("/sessions/stats")).body.total).toBe(0);
    expect((await app.get(`/runs?session_id=${session}`)).body.total).toBe(0);
  });

  test("cannot be named by rows of ours", async () => {
    const refused: [string, object, number][] = [
      ["/sessions", { agent_id: agent }, 404],
      ["/sessions", { agent_name: "foreign" }, 404],
      ["/sessions", { harness_id: harness }, 404],
      ["/sessions", { harness_name: "theirs" }, 404],
      ["/sessions", { model_id: model }, 404],
      ["/sessions", { workspace_id: session.replace("session", "wsp") }, 404],
      ["/agents", { name: "a", system_prompt: "x", default_model_id: model }, 400],
      ["/agents", { name: "a", system_prompt: "x", harness_id: harness }, 400],
      ["/agents", { name: "a", system_prompt: "x", capabilities: [`skill:${skill}`] }, 400],
      ["/agents", { name: "a", system_prompt: "x", capabilities: [`mcp:${mcpServer}`] }, 400],
      ["/sessions", { capabilities: [`skill:${skill}`] }, 400],
      ["/agents", { id: agent, name: "a", system_prompt: "x" }, 404],
    ];
    for (const [path, body, status] of refused) {
      expect([path, body, (await app.post(path, body)).status]).toEqual([path, body, status]);
    }
    expect((await app.post("/agents", { name: "foreign", system_prompt: "ours" })).status).toBe(201);
    const { sql } = app.db;
    expect(await sql`select id from agents where name = 'foreign'`).toHaveLength(2);
  });

  test("an organization that is not the caller's is 404 itself", async () => {
    const as = (id: string) => app.call("GET", "/agents", undefined, { "x-org-id": id });
    expect([
      (await as(OTHER_ORGANIZATION)).status,
      (await as("org_00000000000000000000000000000001")).status,
    ]).toEqual([404, 200]);
  });
});

test("what was of a session or an agent that is deleted is 404 on every route, for its own organization, too", async () => {
  const { sql } = app.db;
  const ofSession = [
    ...["runs", "waits", "queued_messages"],
    ...["session_databases", "session_values", "session_secrets", "session_tasks"],
  ];
  for (const table of ofSession)
    await sql`update ${sql(table)} set organization_id = ${ORGANIZATION} where session_id = ${session}`;
  await sql`update sessions set organization_id = ${ORGANIZATION} where id = ${session}`;
  await sql`update agent_health_checks set organization_id = ${ORGANIZATION} where agent_id = ${agent}`;
  await sql`update agents set organization_id = ${ORGANIZATION}, name = 'ours-now' where id = ${agent}`;
  const shown = async (path: string) => [path, (await app.get(path)).status];
  for (const path of [
    `/sessions/${session}`,
    `/sessions/${session}/tasks/${task}`,
    `/sessions/${session}/events`,
    `/runs/${turn}`,
    `/agents/${agent}`,
  ])
    expect(await shown(path)).toEqual([path, 200]);

  await sql`update sessions set deleted_at = now() where id = ${session}`;
  await sql`update agents set status = 'deleted' where id = ${agent}`;
  const { tried, wrong } = await callAll((template) =>
    /\{(session_id|turn_id|approval_id|task_id|workflow_id|dlq_id|agent_id)\}/.test(template),
  );
  expect(wrong).toEqual([]);
  expect(tried).toBeGreaterThan(80);
  for (const path of [
    "/tasks",
    "/runs",
    "/approvals",
    "/sessions",
    "/durable/workflows",
    "/durable/tasks",
    "/durable/dlq",
  ]) {
    const list = await app.get(path);
    expect([path, list.status, JSON.stringify(list.body).includes(session)]).toEqual([path, 200, false]);
  }
  for (const [subject_type, subject_id] of [
    ["session", session],
    ["agent", agent],
  ]) {
    const answer = await app.post("/budgets", { subject_type, subject_id, currency: "usd", limit: 1 });
    expect([subject_type, answer.status]).toEqual([subject_type, 404]);
  }
  // Its name is free, and who asks for it then is told of the one that has it now.
  const named = async (name: string) => (await app.post("/agents", { name, system_prompt: "x" })).body.id;
  const [holder, other] = [await named("ours-now"), await named("another")];
  const taken = await app.call("PATCH", `/agents/${other}`, { name: "ours-now" });
  expect([taken.status, taken.body.allowed_actions?.[0]?.href]).toEqual([409, `/v1/agents/${holder}`]);
});
