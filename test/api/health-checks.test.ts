/** Checks of agents: what stands in the way is told, and a real turn is followed to its end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { expectProblem } from "../support/bad-requests.ts";
import { startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce } from "../support/sessions.ts";

let app: TestApp;
let engine: TestEngine;
const model = createManualDriver();
beforeAll(async () => {
  app = await testApp();
  engine = await startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0], {
    driver: model.driver,
  });
});
afterAll(async () => {
  await engine.stop();
  await app.close();
});

const create = async (name: string, fields: object = {}) =>
  (await app.post("/agents", { name, system_prompt: "You are well.", harness_name: "base", ...fields })).body;
const trigger = async (name: string) => {
  const { status, body } = await app.post(`/agents/${name}/health-checks`);
  expect(status).toBe(200);
  engine.hint();
  return body;
};
const read = async (name: string, id: string) => (await app.get(`/agents/${name}/health-checks/${id}`)).body;
const latest = async (name: string) => (await app.get(`/agents/${name}/health-checks/latest`)).body;
const sessionOf = async (agentId: string): Promise<string> =>
  (await app.get(`/sessions?agent_id=${agentId}`)).body.data[0].id;

describe("a check with a turn", () => {
  test("is running until the turn ends, then completed, and stays so when its session is gone", async () => {
    const agent = await create("healthy");
    expect(await latest("healthy")).toEqual({ config_changed: false });
    const started = await trigger("healthy");
    expect(started).toMatchObject({ agent_id: agent.id, model_id: expect.stringMatching(/^model_/) });
    expect(["pending", "running"]).toContain(started.status);
    expect([started.results, started.completed_at]).toEqual([undefined, undefined]);

    const call = await model.nextCall();
    expect((await read("healthy", started.id)).status).toBe("running");
    call.say("I am ready.");
    call.finish();
    const session = await sessionOf(agent.id);
    await logOnce(app.db, session, isIdle);

    const ended = await read("healthy", started.id);
    expect(ended).toMatchObject({
      id: started.id,
      status: "completed",
      summary: { total: 2, passed: 2, failed: 0, errored: 0, pass_rate: 1, avg_score: 1 },
      results: [
        { name: "configuration", passed: true, turns: 0 },
        { name: "answers", passed: true, turns: 1, session_id: session, user_message: expect.any(String) },
      ],
    });
    expect((await app.get(`/sessions/${session}`)).body).toMatchObject({
      tags: ["health-check"],
      agent_id: agent.id,
    });
    await app.call("DELETE", `/sessions/${session}`);
    await app.db.sql`delete from runs where session_id = ${session}`;
    expect(await read("healthy", started.id)).toEqual(ended);
    expect(await latest("healthy")).toEqual({ config_changed: false, run: ended });
    expect((await app.get("/agents/healthy/health-checks")).body).toEqual([ended]);
  });

  test("fails its case when the turn fails, with the reason", async () => {
    const agent = await create("unlucky");
    const started = await trigger("unlucky");
    const call = await model.nextCall();
    call.fail({ code: "provider_quota_exhausted", message: "no money left", retryable: false });
    await logOnce(app.db, await sessionOf(agent.id), isIdle);
    const ended = await read("unlucky", started.id);
    expect(ended).toMatchObject({
      status: "completed",
      summary: { total: 2, passed: 1, failed: 1, errored: 1, pass_rate: 0.5 },
    });
    expect(ended.results[1]).toMatchObject({
      passed: false,
      deterministic_reason: "The turn ended as failed.",
      error: expect.stringMatching(/^provider_quota_exhausted: /),
    });
  });

  test("fails as a whole when its session is gone before anybody read it", async () => {
    const agent = await create("forgotten");
    const started = await trigger("forgotten");
    const call = await model.nextCall();
    call.say("Ready.");
    call.finish();
    const session = await sessionOf(agent.id);
    await logOnce(app.db, session, isIdle);
    await app.db.sql`delete from runs where session_id = ${session}`;
    const ended = await read("forgotten", started.id);
    expect([ended.status, ended.results, ended.error_message]).toEqual([
      "failed",
      undefined,
      expect.stringMatching(/deleted/),
    ]);
    expect(await read("forgotten", started.id)).toEqual(ended);
  });
});

describe("a check without a turn", () => {
  test("is completed at once: the model is switched off", async () => {
    const { id } = (await app.get("/models")).body.data[0];
    const agent = await create("modelless", { default_model_id: id });
    await app.db.sql`update agents set default_model_id = ${newId("model")} where id = ${agent.id}`;
    const ended = await trigger("modelless");
    expect(ended).toMatchObject({
      status: "completed",
      summary: { total: 1, passed: 0, failed: 1, errored: 0, pass_rate: 0, avg_turns: 0 },
      results: [
        { name: "configuration", passed: false, deterministic_reason: expect.stringMatching(/no model/) },
      ],
    });
    expect([ended.model_id, typeof ended.completed_at]).toEqual([undefined, "string"]);
    expect((await app.get(`/sessions?agent_id=${agent.id}`)).body.total).toBe(0);
  });

  test("is completed at once: the agent is archived", async () => {
    await create("archived");
    await app.call("DELETE", "/agents/archived");
    const ended = await trigger("archived");
    expect([ended.status, ended.results[0].deterministic_reason]).toEqual([
      "completed",
      expect.stringMatching(/No session can be started: .*archived/),
    ]);
  });

  test("is completed at once: a capability is not there any more", async () => {
    const agent = await create("outdated");
    await app.db.sql`update agents set capabilities = '[{"ref": "gone"}]' where id = ${agent.id}`;
    const ended = await trigger("outdated");
    expect(ended.results[0].deterministic_reason).toMatch(/does not have gone/);
  });
});

describe("what was checked", () => {
  test("is what new sessions run: a change is seen, one behind a default version is not", async () => {
    const agent = await create("changing", { default_model_id: (await app.get("/models")).body.data[0].id });
    await app.db.sql`update agents set default_model_id = ${newId("model")} where id = ${agent.id}`;
    await trigger("changing");
    const changed = async () => (await latest("changing")).config_changed;
    expect(await changed()).toBe(false);
    await app.call("PATCH", "/agents/changing", { description: "Only words." });
    expect(await changed()).toBe(false);
    const version = (await app.post("/agents/changing/versions")).body;
    await app.call("PATCH", "/agents/changing", { system_prompt: "Other." });
    expect(await changed()).toBe(true);
    await app.post("/agents/changing/versions/default", { version_id: version.id });
    expect(await changed()).toBe(false);
  });
});

describe("checks that are not there", () => {
  test("are 404, those of other agents and organizations, too", async () => {
    await create("asked");
    const other = await create("other", { capabilities: [] });
    await app.db.sql`update agents set capabilities = '[{"ref": "gone"}]' where id = ${other.id}`;
    const { id } = await trigger("other");
    await app.db
      .sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other') on conflict do nothing`;
    const foreignAgent = newId("agent");
    await app.db.sql`
      insert into agents (id, organization_id, harness_id, name, system_prompt)
      values (${foreignAgent}, ${OTHER_ORGANIZATION}, 'harness_00000000000000000000000000000001', 'foreign', 'x')`;
    for (const path of [
      `/agents/asked/health-checks/${id}`,
      `/agents/asked/health-checks/${newId("healthcheck")}`,
      "/agents/nobody/health-checks",
      "/agents/nobody/health-checks/latest",
      `/agents/${foreignAgent}/health-checks`,
    ]) {
      expect([path, (await app.get(path)).status]).toEqual([path, 404]);
    }
    expect((await app.post(`/agents/${foreignAgent}/health-checks`)).status).toBe(404);
    expectProblem(await app.get("/agents/asked/health-checks/x"), "invalid_id", /healthcheck_/);
    const mine = await app.db.sql`select from agent_health_checks where organization_id <> ${ORGANIZATION}`;
    expect(mine).toHaveLength(0);
  });
});
