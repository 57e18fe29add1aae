/** Versions of agents: made once each, never changed, put back, forked, and what new sessions run. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { loadTurnConfig } from "../../src/db/sessions.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { expectProblem } from "../support/bad-requests.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const create = async (name: string, fields: object = {}) =>
  (await app.post("/agents", { name, system_prompt: "one", harness_name: "base", ...fields })).body;
const change = (name: string, fields: object) => app.call("PATCH", `/agents/${name}`, fields);
const version = async (name: string, body?: object) =>
  (await app.post(`/agents/${name}/versions`, body)).body;
const versions = async (name: string, query = "") => (await app.get(`/agents/${name}/versions${query}`)).body;
const withoutStamps = ({ updated_at: _, ...agent }: Record<string, unknown>) => agent;

describe("making versions", () => {
  test("numbers count up by kind, and each names the one before it", async () => {
    await create("counted");
    const made = [];
    for (const kind of [undefined, "patch", "minor", "patch", "major", "auto", "manual"]) {
      await change("counted", { system_prompt: `prompt ${made.length}` });
      made.push(
        await version(
          "counted",
          kind === undefined ? undefined : { change_kind: kind, summary: `as ${kind}` },
        ),
      );
    }
    expect(made.map((one) => one.version)).toEqual([
      "1.0.0",
      "1.0.1",
      "1.1.0",
      "1.1.1",
      "2.0.0",
      "2.0.1",
      "2.0.2",
    ]);
    expect(made.map((one) => one.version_number)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(made.map((one) => one.parent_version_id)).toEqual([
      undefined,
      ...made.slice(0, -1).map(({ id }) => id),
    ]);
    expect([made[0].change_kind, made[2].summary, made[0].is_published]).toEqual([
      "manual",
      "as minor",
      false,
    ]);
    expect((await versions("counted")).map(({ id }: { id: string }) => id)).toEqual(
      made.map(({ id }) => id).reverse(),
    );
    expect((await versions("counted", "?limit=1&offset=2"))[0].version).toBe("2.0.0");
  });

  test("auto answers with the newest when nothing changed", async () => {
    await create("steady");
    const first = await version("steady", { change_kind: "auto" });
    expect((await version("steady", { change_kind: "auto" })).id).toBe(first.id);
    expect((await version("steady", { change_kind: "manual" })).version).toBe("1.0.1");
    await change("steady", { description: "Other." });
    expect((await version("steady", { change_kind: "auto" })).version).toBe("1.0.2");
  });

  test("thirty at once get thirty numbers", async () => {
    await create("raced");
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        version("raced", { change_kind: index % 3 === 0 ? "minor" : "patch" }),
      ),
    );
    expect(made.map((one) => one.version_number).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 30 }, (_, index) => index + 1),
    );
    expect(new Set(made.map((one) => one.version)).size).toBe(30);
  });

  test("a version keeps what was authored and what it came to, whatever becomes of agent", async () => {
    const agent = await create("kept", {
      capabilities: [{ ref: "current_time" }],
      tags: ["a"],
      network_access: { allowed: ["a.example.com"] },
      tools: [{ type: "client_side", name: "ask", description: "Asks.", parameters: { type: "object" } }],
    });
    const made = await version("kept");
    await change("kept", { system_prompt: "two", capabilities: [], tags: [] });
    const [read] = await versions("kept");
    expect(read).toEqual(made);
    expect(read.authored_config).toMatchObject({
      name: "kept",
      system_prompt: "one",
      harness_id: agent.harness_id,
      capabilities: [{ ref: "current_time" }],
      tags: ["a"],
      mcpServers: {},
    });
    expect(read.resolved_config.system_prompt).toMatch(/^one/);
    expect(read.resolved_config.tools.map(({ name }: { name: string }) => name)).toEqual([
      "get_current_time",
      "ask",
    ]);
    expect(read.resolved_config.network_access).toEqual({ allowed: ["a.example.com"], blocked: [] });
  });

  test("the hash is of what turns are made of, not of names and descriptions", async () => {
    await create("hashed");
    const first = await version("hashed");
    await change("hashed", { description: "d", display_name: "D", tags: ["t"] });
    expect((await version("hashed")).config_hash).toBe(first.config_hash);
    await change("hashed", { max_iterations: 3 });
    expect((await version("hashed")).config_hash).not.toBe(first.config_hash);
  });
});

describe("comparing versions", () => {
  test("a diff has the fields that differ, with both sides where there are any", async () => {
    await create("differs", { description: "d", tags: ["a"] });
    const from = await version("differs");
    await change("differs", { system_prompt: "two", description: null, max_iterations: 9 });
    const to = await version("differs");
    const diff = (await app.get(`/agents/differs/versions/${from.id}/diff/${to.id}`)).body;
    expect(diff).toEqual({
      from_version_id: from.id,
      to_version_id: to.id,
      authored_diff: {
        system_prompt: { from: "one", to: "two" },
        description: { from: "d" },
        max_iterations: { to: 9 },
      },
      resolved_diff: { system_prompt: { from: "one", to: "two" }, max_iterations: { from: 500, to: 9 } },
    });
    expect((await app.get(`/agents/differs/versions/${to.id}/diff/${to.id}`)).body.authored_diff).toEqual({});
  });
});

describe("rolling back", () => {
  test("puts back all but the name, and makes no version unasked", async () => {
    const agent = await create("rolled", {
      description: "d",
      capabilities: ["current_time"],
      max_iterations: 4,
    });
    const made = await version("rolled");
    await change("rolled", {
      name: "rolled-on",
      system_prompt: "two",
      description: null,
      capabilities: [],
      max_iterations: null,
      display_name: "Two",
    });
    const back = await app.post(`/agents/rolled-on/versions/${made.id}/rollback`);
    expect(back.status).toBe(200);
    expect(withoutStamps(back.body)).toEqual(withoutStamps({ ...agent, name: "rolled-on" }));
    expect(await versions("rolled-on")).toHaveLength(1);
  });

  test("save_version keeps what was there before and what is there then", async () => {
    await create("saved");
    const first = await version("saved");
    await change("saved", { system_prompt: "unsaved work" });
    await app.post(`/agents/saved/versions/${first.id}/rollback`, {
      save_version: true,
      summary: "was better",
    });
    const [now, before] = await versions("saved");
    expect([now.change_kind, now.source_version_id, now.summary, now.config_hash]).toEqual([
      "rollback",
      first.id,
      "was better",
      first.config_hash,
    ]);
    expect([before.change_kind, before.authored_config.system_prompt, before.version_number]).toEqual([
      "auto",
      "unsaved work",
      2,
    ]);
  });

  test("is refused when the version names a model that is gone", async () => {
    const model = (await app.get("/models")).body.data[0].id;
    await create("modelled", { default_model_id: model });
    const made = await version("modelled");
    await change("modelled", { default_model_id: null });
    await app.db.sql`update models set enabled = false where id = ${model}`;
    const answer = await app.post(`/agents/modelled/versions/${made.id}/rollback`);
    await app.db.sql`update models set enabled = true where id = ${model}`;
    expectProblem(answer, "invalid_request", /^default_model_id: there is no enabled model/);
  });
});

describe("forking a version", () => {
  test("makes an agent of it, with a first version of its own", async () => {
    const source = await create("origin", { description: "d", tags: ["a"] });
    const made = await version("origin");
    await change("origin", { system_prompt: "two" });
    const fork = await app.post(`/agents/origin/versions/${made.id}/fork`, {
      name: "branch",
      display_name: "Branch",
    });
    expect(fork.status).toBe(200);
    expect(fork.body).toMatchObject({
      name: "branch",
      display_name: "Branch",
      description: "d",
      system_prompt: "one",
      tags: ["a"],
      forked_from_agent_id: source.id,
      forked_from_version_id: made.id,
      root_agent_id: source.id,
    });
    const [first] = await versions("branch");
    expect([first.version, first.change_kind, first.source_version_id]).toEqual(["1.0.0", "fork", made.id]);
    const copy = (await app.post("/agents/branch/copy")).body;
    expect([copy.forked_from_agent_id, copy.root_agent_id]).toEqual([fork.body.id, source.id]);
    const taken = await app.post(`/agents/origin/versions/${made.id}/fork`, { name: "branch" });
    expectProblem(taken, "name_taken", /branch/);
  });
});

describe("the default version", () => {
  const turnOf = async (sessionId: string) =>
    (await loadTurnConfig(app.db, { sessionId, organizationId: ORGANIZATION, controlsModelId: null }))?.agent;

  test("is what new sessions run, whatever becomes of the agent; sessions that exist stay as they are", async () => {
    const models = (await app.get("/models")).body.data.map(({ id }: { id: string }) => id);
    const agent = await create("published", {
      tags: ["a", "b"],
      default_model_id: models[0],
      max_iterations: 7,
      initial_files: [{ path: "/v.txt", content: "one" }],
      capabilities: ["session_file_system"],
    });
    const made = await version("published");
    const early = (await app.post("/sessions", { agent_id: agent.id })).body;
    const set = await app.post("/agents/published/versions/default", { version_id: made.id });
    expect([set.status, set.body.default_version_id]).toEqual([200, made.id]);
    expect((await versions("published"))[0].is_published).toBe(true);

    await change("published", {
      name: "renamed",
      system_prompt: "two",
      default_model_id: null,
      max_iterations: null,
      initial_files: [{ path: "/v.txt", content: "two" }],
      capabilities: [],
      harness_name: "generic",
    });
    const session = (await app.post("/sessions", { agent_id: agent.id })).body;
    expect([session.agent_version_id, session.harness_id, session.features]).toEqual([
      made.id,
      agent.harness_id,
      ["file_system"],
    ]);
    expect((await app.get(`/sessions/${session.id}`)).body.agent_version_id).toBe(made.id);
    const file = (await app.get(`/sessions/${session.id}/fs/v.txt`)).body;
    expect(file.content).toBe("one");
    expect(await turnOf(session.id)).toMatchObject({
      name: "renamed",
      system_prompt: "one",
      default_model_id: models[0],
      max_iterations: 7,
      capabilities: [{ ref: "session_file_system" }],
    });
    expect(early.agent_version_id).toBeUndefined();
    expect(await turnOf(early.id)).toMatchObject({ system_prompt: "two", max_iterations: null });

    const fork = (await app.post(`/sessions/${session.id}/fork`)).body;
    expect(fork.agent_version_id).toBe(made.id);

    const unset = await app.post("/agents/renamed/versions/default", { version_id: null });
    expect(unset.body.default_version_id).toBeUndefined();
    const late = (await app.post("/sessions", { agent_id: agent.id })).body;
    expect(late.agent_version_id).toBeUndefined();
    expect(await turnOf(late.id)).toMatchObject({ system_prompt: "two" });
    expect(await turnOf(session.id)).toMatchObject({ system_prompt: "one" });
  });

  test("what becomes of a message to a busy session is the version's word, too", async () => {
    const agent = await create("delivering", { default_delivery: "reject" });
    const made = await version("delivering");
    await app.post("/agents/delivering/versions/default", { version_id: made.id });
    await change("delivering", { default_delivery: "queue" });
    const { id } = (await app.post("/sessions", { agent_id: agent.id })).body;
    const send = () =>
      app.post(`/sessions/${id}/messages`, { message: { content: [{ type: "text", text: "x" }] } });
    expect((await send()).status).toBe(201);
    expectProblem(await send(), "session_busy", /nothing was written/);
  });
});

describe("versions that are not there", () => {
  test("are 404, those of other agents and organizations, too", async () => {
    await create("mine");
    await create("yours");
    const [mine, yours] = [await version("mine"), await version("yours")];
    const id = newId("agent");
    await app.db
      .sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other') on conflict do nothing`;
    await app.db.sql`
      insert into agents (id, organization_id, harness_id, name, system_prompt)
      values (${id}, ${OTHER_ORGANIZATION}, 'harness_00000000000000000000000000000001', 'foreign', 'x')`;
    const foreign = newId("agentver");
    await app.db.sql`
      insert into agent_versions (id, organization_id, agent_id, version_number, semver_major, semver_minor, semver_patch,
                                  change_kind, config_hash, authored_config, resolved_config)
      values (${foreign}, ${OTHER_ORGANIZATION}, ${id}, 1, 1, 0, 0, 'manual', 'x', '{}', '{}')`;
    for (const other of [yours.id, foreign, newId("agentver")]) {
      const asked = [
        await app.get(`/agents/mine/versions/${mine.id}/diff/${other}`),
        await app.get(`/agents/mine/versions/${other}/diff/${mine.id}`),
        await app.post(`/agents/mine/versions/${other}/rollback`),
        await app.post(`/agents/mine/versions/${other}/fork`, { name: "stolen" }),
        await app.post("/agents/mine/versions/default", { version_id: other }),
      ];
      expect(asked.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    }
    for (const path of [`/agents/${id}/versions`, "/agents/nobody/versions"]) {
      expect([(await app.get(path)).status, (await app.post(path)).status]).toEqual([404, 404]);
    }
    expectProblem(await app.post("/agents/mine/versions/x/rollback"), "invalid_id", /agentver_/);
    expectProblem(
      await app.post("/agents/mine/versions", { change_kind: "huge" }),
      "invalid_request",
      /change_kind/,
    );
  });
});
