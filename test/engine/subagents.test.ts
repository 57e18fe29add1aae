/** Work that is handed out: a session of its own does it, the call waits for it, and holds no worker meanwhile. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import type { SpawnAgent } from "../../src/contract/task-store.ts";
import { createTaskStores } from "../../src/db/tasks/spawn.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver, type ManualDriver, type ModelCallInHand } from "../support/manual-driver.ts";
import { isIdle, logOnce, ORGANIZATION, readLog, send } from "../support/sessions.ts";
import { completedCalls } from "../support/waiting.ts";

let app: TestApp;
let engine: TestEngine;
let model: ManualDriver;
const start = () =>
  startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0], { driver: model.driver });
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
  model = createManualDriver();
  engine = await start();
});
afterAll(async () => {
  await engine.stop();
  await app.close();
});

const textOfCall = (call: ModelCallInHand) => JSON.stringify(call.request.messages);

const openSession = async (capabilities: readonly object[] = []): Promise<string> =>
  (await app.post("/sessions", { capabilities })).body.id;

/** A session whose agent hands out these pieces of work; resolves when each of them has begun. */
async function handOut(tasks: readonly string[], capabilities: object[] = [{ ref: "subagents" }]) {
  const session = await openSession(capabilities);
  await send(app.db, session, "Go.");
  engine.hint();
  const parent = await model.nextCall();
  for (const task of tasks) parent.callTool("spawn_agent", { task, title: `About ${task}` });
  parent.finish();
  const children: ModelCallInHand[] = [];
  for (const _ of tasks) children.push(await model.nextCall());
  const byTask = tasks.map(
    (task) => children.find((child) => textOfCall(child).includes(task)) as ModelCallInHand,
  );
  return { session, children: byTask };
}
const tasksOf = async (session: string) => (await app.get(`/sessions/${session}/tasks`)).body;
const taskEvents = (log: readonly Event[]) =>
  log.flatMap((event) =>
    event.type === "task.created" || event.type === "task.updated"
      ? [`${event.type} ${event.data.task.state}`]
      : [],
  );
const answer = (call: ModelCallInHand, text: string) => {
  call.say(text);
  call.finish();
};
const waits = async (session: string) => {
  for (;;) {
    const [run] = await app.db.sql`select state, waiting_on from runs where session_id = ${session}`;
    if (run?.state === "waiting") return run.waiting_on;
    await Bun.sleep(2);
  }
};

describe("a subagent", () => {
  test("works in a session of its own while its parent holds no worker, and its answer comes back", async () => {
    const { session, children } = await handOut(["the weather in Kyiv"]);
    expect(await waits(session)).toBe("subagent");
    const [task] = await tasksOf(session);
    expect(task).toMatchObject({
      session_id: session,
      kind: "subagent",
      state: "running",
      display_name: "About the weather in Kyiv",
      spec: { task: "the weather in Kyiv" },
    });
    const child = (await app.get(`/sessions/${task.links.child_session_id}`)).body;
    expect(child).toMatchObject({ parent_session_id: session, title: task.display_name, status: "active" });
    expect(child.workspace_id).toBe((await app.get(`/sessions/${session}`)).body.workspace_id);
    // Whoever was there when the work was handed out need not be there when it is done.
    answer(children[0] as ModelCallInHand, "It rains.");
    await logOnce(app.db, child.id, isIdle);
    const parent = await model.nextCall();
    expect(parent.request.messages.at(-1)).toMatchObject({ role: "tool", content: "It rains." });
    answer(parent, "Take an umbrella.");
    const log = await logOnce(app.db, session, isIdle);
    expect(taskEvents(log)).toEqual(["task.created running", "task.updated succeeded"]);
    expect(completedCalls(log)).toMatchObject([{ tool_name: "spawn_agent", success: true }]);
    expect((await app.get(`/sessions/${session}/tasks/${task.id}`)).body).toMatchObject({
      task: { state: "succeeded", summary: "It rains.", finished_at: expect.any(String) },
      messages: [],
    });
    expect((await app.get(`/tasks?root_session_id=${session}&state=succeeded`)).body).toMatchObject([
      { id: task.id },
    ]);
  });

  test("two work side by side; one that fails tells its parent why", async () => {
    const { session, children } = await handOut(["one thing", "another"]);
    const [one, other] = children as [ModelCallInHand, ModelCallInHand];
    other.fail({ code: "provider_misconfigured", retryable: false, message: "no such key" });
    answer(one, "One is done.");
    const parent = await model.nextCall();
    const results = parent.request.messages.filter((message) => message.role === "tool");
    expect(results).toMatchObject([
      { content: "One is done.", isError: false },
      { content: expect.stringContaining("no such key"), isError: true },
    ]);
    answer(parent, "Half done.");
    const log = await logOnce(app.db, session, isIdle);
    expect(log.filter((event) => event.type === "act.completed")).toHaveLength(1);
    expect((await tasksOf(session)).map((task: { state: string }) => task.state).sort()).toEqual([
      "failed",
      "succeeded",
    ]);
  });

  test("is stopped when its parent's turn is cancelled", async () => {
    const { session, children } = await handOut(["a long story"]);
    await waits(session);
    await app.post(`/sessions/${session}/cancel`);
    const [child] = children as [ModelCallInHand];
    if (!child.signal.aborted)
      await new Promise((resolve) => child.signal.addEventListener("abort", resolve));
    const log = await logOnce(app.db, session, (events) => taskEvents(events).length === 2);
    expect(taskEvents(log)).toEqual(["task.created running", "task.updated canceled"]);
  });

  test("of another agent asks the person whom its parent would have asked", async () => {
    const helper = await app.post("/agents", {
      name: "unguarded",
      system_prompt: "Help.",
      capabilities: ["session_file_system"],
    });
    expect(helper.status).toBe(201);
    const session = await openSession([
      { ref: "subagents", config: { agents: ["unguarded"] } },
      { ref: "tool_approval", config: { mode: "protective" } },
      { ref: "guardrails", config: { checks: [{ type: "blocklist", stage: "output", words: ["tomato"] }] } },
    ]);
    await send(app.db, session, "Go.");
    engine.hint();
    const parent = await model.nextCall();
    parent.callTool("spawn_agent", { task: "write", title: "Write", agent: "unguarded" });
    parent.finish();
    // Handing out itself is a change: a person allows it.
    const pending = async (of: string): Promise<{ id: string }[]> => {
      expect(await waits(of)).toBe("approval");
      return (await app.get(`/approvals?status=pending&session_id=${of}`)).body.data;
    };
    const [asked] = (await pending(session)) as [{ id: string }];
    await app.post(`/approvals/${asked.id}`, { decision: "allow" });
    const child = await model.nextCall();
    child.callTool("write_file", { path: "/a", content: "x" });
    child.finish();
    const [task] = await tasksOf(session);
    const childId = task.links.child_session_id;
    expect(await pending(childId)).toHaveLength(1);
    const { capabilities } = (await app.get(`/sessions/${childId}`)).body;
    expect(capabilities.map(({ ref }: { ref: string }) => ref)).toEqual(["tool_approval", "guardrails"]);
    await app.post(`/sessions/${session}/cancel`);
  });

  test("is cancelled by itself, and its parent goes on", async () => {
    const { session } = await handOut(["a dead end"]);
    await waits(session);
    const [task] = await tasksOf(session);
    const cancelled = await app.post(`/sessions/${session}/tasks/${task.id}/cancel`);
    expect(cancelled.body).toMatchObject({ id: task.id, cancel_requested_at: expect.any(String) });
    const parent = await model.nextCall();
    expect(parent.request.messages.at(-1)).toMatchObject({
      role: "tool",
      content: expect.stringContaining("canceled"),
    });
    answer(parent, "So be it.");
    await logOnce(app.db, session, isIdle);
    const [ended] = await tasksOf(session);
    expect(ended.state).toBe("canceled");
    expect((await app.post(`/sessions/${session}/tasks/${task.id}/cancel`)).body).toEqual(ended);
  });

  test("reads messages that are sent to it", async () => {
    const { session, children } = await handOut(["a poem"]);
    await waits(session);
    const [task] = await tasksOf(session);
    const path = `/sessions/${session}/tasks/${task.id}/messages`;
    const sent = await app.post(path, {
      text: "In four lines.",
      content: [{ type: "data", data: { rhyme: true } }],
    });
    expect(sent).toMatchObject({
      status: 200,
      body: {
        task_id: task.id,
        direction: "inbound",
        content: [{ text: "In four lines." }, { data: { rhyme: true } }],
      },
    });
    expect((await app.post(path, {})).status).toBe(400);
    expect((await app.post(path, { text: "x", in_reply_to: "y" })).status).toBe(400);
    answer(children[0] as ModelCallInHand, "Roses are red.");
    const again = await model.nextCall();
    expect(textOfCall(again)).toContain("In four lines.");
    answer(again, "Four lines.");
    const parent = await model.nextCall();
    expect(parent.request.messages.at(-1)).toMatchObject({ content: "Four lines." });
    answer(parent, "Here it is.");
    const log = await logOnce(app.db, session, isIdle);
    expect(log.filter((event) => event.type === "task.message.sent")).toHaveLength(1);
    const read = async (query: string) =>
      (await app.get(`/sessions/${session}/tasks/${task.id}${query}`)).body.messages;
    expect(await read("")).toEqual([sent.body]);
    expect(await read(`?after_id=${sent.body.id}`)).toEqual([]);
    expect((await app.post(path, { text: "Too late." })).status).toBe(409);
  });

  test("may hand work out itself, and no further", async () => {
    const { session, children } = await handOut(["level one"]);
    const [one] = children as [ModelCallInHand];
    one.callTool("spawn_agent", { task: "level two", title: "Two" });
    one.finish();
    const two = await model.nextCall();
    two.callTool("spawn_agent", { task: "level three", title: "Three" });
    two.finish();
    const refused = await model.nextCall();
    expect(refused.request.messages.at(-1)).toMatchObject({ role: "tool", isError: true });
    answer(refused, "Two by myself.");
    const back = await model.nextCall();
    expect(back.request.messages.at(-1)).toMatchObject({ content: "Two by myself." });
    answer(back, "One.");
    answer(await model.nextCall(), "Zero.");
    await logOnce(app.db, session, isIdle);
    const all = (await app.get(`/tasks?root_session_id=${session}`)).body;
    expect(all.map((task: { display_name: string }) => task.display_name).sort()).toEqual([
      "About level one",
      "Two",
    ]);
  });

  test("may be another agent only where the capability names it, and reaches no more than its parent", async () => {
    const agent = (await app.post("/agents", { name: "critic", system_prompt: "You criticize." })).body;
    const session = await openSession([{ ref: "subagents", config: { agents: ["critic"] } }]);
    await app.db
      .sql`update sessions set network_access = '{"allowed": ["example.com"]}' where id = ${session}`;
    await send(app.db, session, "Go.");
    engine.hint();
    const parent = await model.nextCall();
    parent.callTool("spawn_agent", { task: "Read this.", title: "Read", agent: "critic" });
    parent.callTool("spawn_agent", { task: "Read that.", title: "Read", agent: "nobody" });
    parent.finish();
    const child = await model.nextCall();
    expect(child.request.system).toContain("You criticize.");
    const [task] = await tasksOf(session);
    expect((await app.get(`/sessions/${task.links.child_session_id}`)).body).toMatchObject({
      agent_id: agent.id,
      network_access: { allowed: ["example.com"] },
    });
    answer(child, "Bad.");
    const next = await model.nextCall();
    expect(JSON.stringify(next.request.messages)).toContain("cannot be handed to nobody");
    answer(next, "Done.");
    await logOnce(app.db, session, isIdle);
  });

  test("counts against the budget of the session that handed the work out", async () => {
    const { session, children } = await handOut(["something dear"]);
    const [task] = await tasksOf(session);
    const budget = (
      await app.post("/budgets", {
        subject_type: "session",
        subject_id: session,
        currency: "tokens",
        limit: 100,
      })
    ).body;
    const listed = (await app.get(`/sessions/${task.links.child_session_id}/budgets`)).body;
    expect(listed.map((one: { id: string }) => one.id)).toEqual([budget.id]);
    answer(children[0] as ModelCallInHand, "Dear.");
    answer(await model.nextCall(), "Done.");
    await logOnce(app.db, session, isIdle);
  });

  test("its answer comes back although every worker was replaced in between", async () => {
    const { session, children } = await handOut(["patience"]);
    await waits(session);
    const [task] = await tasksOf(session);
    await engine.stop();
    expect((children[0] as ModelCallInHand).signal.aborted).toBe(true);
    engine = await start();
    const again = await model.nextCall();
    expect(textOfCall(again)).toContain("patience");
    answer(again, "Patience pays.");
    const parent = await model.nextCall();
    expect(parent.request.messages.at(-1)).toMatchObject({ content: "Patience pays." });
    answer(parent, "Good.");
    await logOnce(app.db, session, isIdle);
    expect(await tasksOf(session)).toMatchObject([{ id: task.id, state: "succeeded" }]);
  });
});

describe("handing out", () => {
  const spawn = (session: string, more: Partial<SpawnAgent> = {}) =>
    createTaskStores(
      app.db,
      app.hints,
    )({ organizationId: ORGANIZATION, sessionId: session, capabilities: [] }).spawnAgent({
      agent: null,
      title: "Work",
      task: "Work.",
      network: { allowed: [], blocked: [] },
      turnId: newId("turn"),
      toolCallId: "call_1",
      idempotencyKey: `${session}:call_1`,
      ...more,
    });

  test("repeated, also at once, it comes to one task and one session", async () => {
    await engine.stop();
    const session = await openSession();
    const spawned = await Promise.all(Array.from({ length: 6 }, () => spawn(session)));
    expect(new Set(spawned.map((one) => JSON.stringify(one))).size).toBe(1);
    const [task, ...others] = await tasksOf(session);
    expect(others).toEqual([]);
    expect(taskEvents(await readLog(app.db, session))).toEqual(["task.created running"]);
    const children = await app.db.sql`select id from sessions where parent_ids = ${[session]}::text[]`;
    expect(children.map((row) => row.id)).toEqual([task.links.child_session_id]);
    expect(
      await app.db.sql`select id from runs where session_id = ${task.links.child_session_id}`,
    ).toHaveLength(1);
  });

  test("has a limit of tasks that go on", async () => {
    const session = await openSession();
    for (let n = 0; n < limits.openTasksPerSession; n += 1)
      await spawn(session, { idempotencyKey: `${session}:${n}` });
    await expect(spawn(session, { idempotencyKey: `${session}:more` })).rejects.toThrow(
      "subagents are at work",
    );
  });

  test("to an agent of nobody is refused", async () => {
    await expect(spawn(await openSession(), { agent: "nobody" })).rejects.toThrow("no active agent");
  });
});

test("tasks of nobody: 404; malformed ids and filters: 400", async () => {
  const session = await openSession();
  const path = `/sessions/${session}/tasks/${newId("task")}`;
  expect((await app.get(path)).status).toBe(404);
  expect((await app.post(`${path}/cancel`)).status).toBe(404);
  expect((await app.post(`${path}/messages`, { text: "x" })).status).toBe(404);
  expect((await app.get(`/sessions/${newId("session")}/tasks`)).status).toBe(404);
  for (const bad of [
    `/sessions/${session}/tasks/x`,
    `/sessions/${session}/tasks?state=done`,
    "/tasks?created_after=yesterday",
    "/tasks?root_session_id=x",
    "/tasks?limit=0",
  ]) {
    expect([bad, (await app.get(bad)).status]).toEqual([bad, 400]);
  }
});
