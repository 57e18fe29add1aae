/** Schedules of the organization over REST; that they are fired is for test/engine/scheduler.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId, uuidOf } from "../../src/base/id.ts";
import { OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
let session: string;
beforeAll(async () => {
  app = await testApp();
  session = (await app.post("/sessions", {})).body.id;
});
afterAll(() => app.close());

const wanted = (more: object = {}) => ({
  name: `every morning ${Math.random()}`,
  cron_expression: "0 9 * * 1-5",
  timezone: "Europe/Kyiv",
  target: { type: "workflow", name: "session.run", input: { session_id: session, message: "Good morning." } },
  ...more,
});

test("a schedule is created, read, changed, paused, resumed and deleted", async () => {
  const created = await app.post(
    "/durable/schedules",
    wanted({ description: "Weekdays.", max_concurrent: 1 }),
  );
  expect(created).toMatchObject({
    status: 201,
    body: { enabled: true, catch_up_missed: false, max_concurrent: 1 },
  });
  const path = `/durable/schedules/${created.body.id}`;
  const next = new Date(created.body.next_trigger_at);
  expect(next.toLocaleTimeString("en-GB", { timeZone: "Europe/Kyiv" })).toBe("09:00:00");
  expect((await app.get(path)).body).toEqual(created.body);

  const changed = await app.call("PATCH", path, {
    cron_expression: "0 18 * * *",
    timezone: "UTC",
    description: null,
  });
  expect(changed.body).toMatchObject({ cron_expression: "0 18 * * *", timezone: "UTC", enabled: true });
  expect(changed.body.description).toBeUndefined();
  expect(changed.body.next_trigger_at).toEndWith("T18:00:00.000Z");

  const paused = await app.post(`${path}/pause`);
  expect(paused.body).toMatchObject({ enabled: false });
  expect(paused.body.next_trigger_at).toBeUndefined();
  const moved = await app.call("PATCH", path, { cron_expression: "0 19 * * *" });
  expect(moved.body.next_trigger_at).toBeUndefined();
  expect((await app.get("/durable/schedules?enabled=false")).body).toMatchObject({
    total: 1,
    data: [{ id: created.body.id }],
  });
  expect((await app.post(`${path}/resume`)).body.next_trigger_at).toEndWith("T19:00:00.000Z");
  expect((await app.call("DELETE", path)).status).toBe(204);
  expect((await app.get(path)).status).toBe(404);
});

test("a trigger is an execution that ends with its turn, and shows in the numbers", async () => {
  const { id, next_trigger_at } = (await app.post("/durable/schedules", wanted())).body;
  const path = `/durable/schedules/${id}`;
  const { execution_id } = (await app.post(`${path}/trigger`)).body;
  const execution = (await app.get(`/durable/executions/${execution_id}`)).body;
  expect(execution).toMatchObject({ schedule_id: id, status: "running", task_id: execution.workflow_id });
  expect((await app.get(`/durable/workflows/${execution.workflow_id}`)).body.input.session_id).toBe(session);
  expect((await app.get(path)).body).toMatchObject({
    next_trigger_at,
    last_triggered_at: expect.any(String),
  });
  expect((await app.get(`${path}/executions?status=running`)).body).toMatchObject({
    total: 1,
    data: [{ id: execution_id }],
  });
  expect((await app.get(`${path}/executions?status=failed`)).body).toMatchObject({ data: [], total: 0 });
  expect((await app.get(`${path}/stats`)).body).toEqual({
    total_executions: 1,
    successful_executions: 0,
    failed_executions: 0,
    skipped_executions: 0,
    last_execution_status: "running",
  });
});

describe("what cannot be served is refused", () => {
  const target = (more: object) => ({ target: { type: "workflow", name: "session.run", ...more } });
  const cases: [name: string, body: () => object, status: number, says: string][] = [
    ["an activity", () => ({ target: { type: "activity", name: "reason" } }), 400, "session.run"],
    ["a workflow of another name", () => target({ name: "report.weekly" }), 400, "agent.run"],
    ["an input that is no object", () => target({ input: "x" }), 400, "object"],
    ["no session", () => target({}), 400, "session_id"],
    ["a session of nobody", () => target({ input: { session_id: newId("session") } }), 404, "Session"],
    [
      "a message that is no text",
      () => target({ input: { session_id: session, message: 5 } }),
      400,
      "message",
    ],
    ["no agent", () => target({ name: "agent.run", input: {} }), 400, "agent_id"],
    [
      "an agent of nobody",
      () => target({ name: "agent.run", input: { agent_name: "nobody" } }),
      404,
      "Agent",
    ],
    ["six cron fields", () => ({ cron_expression: "* * * * * *" }), 400, "5 fields"],
    ["a time zone of nowhere", () => ({ timezone: "Mars/Base" }), 400, "Mars/Base"],
  ];
  for (const [name, body, status, says] of cases) {
    test(name, async () => {
      const answer = await app.post("/durable/schedules", wanted(body()));
      expect([answer.status, answer.body.detail]).toEqual([status, expect.stringContaining(says)]);
    });
  }

  test("a second one of a name", async () => {
    expect((await app.post("/durable/schedules", wanted({ name: "twice" }))).status).toBe(201);
    expect((await app.post("/durable/schedules", wanted({ name: "twice" }))).body).toMatchObject({
      status: 409,
      code: "name_taken",
    });
  });

  test("one of nobody, and one of another organization", async () => {
    await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
    const foreign = newId("sched");
    await app.db.sql`
      insert into schedules (id, organization_id, owner_principal_id, name, cron_expression, timezone, target, enabled)
      values (${foreign}, ${OTHER_ORGANIZATION}, 'principal_0', 'theirs', '* * * * *', 'UTC', '{}', true)`;
    for (const [method, rest] of [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["POST", "/pause"],
      ["POST", "/resume"],
      ["POST", "/trigger"],
      ["GET", "/stats"],
      ["GET", "/executions"],
    ] as const) {
      const status = async (id: string) =>
        (await app.call(method, `/durable/schedules/${id}${rest}`, method === "PATCH" ? {} : undefined))
          .status;
      expect([
        rest,
        await status("x"),
        await status(uuidOf(newId("sched"))),
        await status(uuidOf(foreign)),
      ]).toEqual([rest, 400, 404, 404]);
    }
    expect((await app.get(`/durable/executions/${uuidOf(newId("sexec"))}`)).status).toBe(404);
  });
});
