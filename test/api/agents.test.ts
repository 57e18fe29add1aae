import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const create = async (fields: object) => (await app.post("/agents", { system_prompt: "x", ...fields })).body;

describe("writing agents", () => {
  test("POST creates once and then replaces the agent of this name", async () => {
    const first = await app.post("/agents", {
      name: "by-name",
      system_prompt: "one",
      description: "d",
      tags: ["a"],
    });
    const second = await app.post("/agents", { name: "by-name", system_prompt: "two" });
    expect([first.status, second.status]).toEqual([201, 200]);
    expect(first.headers.get("location")).toBe(`/v1/agents/${first.body.id}`);
    expect(second.body.id).toBe(first.body.id);
    expect([second.body.system_prompt, second.body.description, second.body.tags]).toEqual([
      "two",
      undefined,
      [],
    ]);
  });

  test("POST with an id creates or replaces the agent of this id, whatever its name", async () => {
    const id = newId("agent");
    const first = await app.post("/agents", { id, name: "by-id", system_prompt: "one" });
    const second = await app.post("/agents", { id, name: "by-id-renamed", system_prompt: "two" });
    expect([first.status, first.body.id, second.status, second.body.name]).toEqual([
      201,
      id,
      200,
      "by-id-renamed",
    ]);
  });

  test("ids of random hex, as the SDKs make them, are taken", async () => {
    const id = `agent_${"f".repeat(32)}`;
    expect((await app.post("/agents", { id, name: "random-id", system_prompt: "" })).body.id).toBe(id);
  });

  test("PUT by name creates, replaces and renames", async () => {
    const put = (name: string, body: string) =>
      app.call("PUT", `/agents/${name}`, { name: body, system_prompt: "x" });
    const made = await put("put-me", "put-me");
    const renamed = await put("put-me", "put-you");
    expect([made.status, renamed.status, renamed.body.name, renamed.body.id]).toEqual([
      201,
      200,
      "put-you",
      made.body.id,
    ]);
    expect((await app.get("/agents/put-me")).status).toBe(404);
  });

  test("fifty POSTs of one name at once make one agent", async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => app.post("/agents", { name: "raced", system_prompt: "x" })),
    );
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(49);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
  });

  test("a name that another agent has is refused, with the way to it", async () => {
    const holder = await create({ name: "held" });
    const other = await create({ name: "other" });
    const answer = await app.call("PATCH", `/agents/${other.id}`, { name: "held" });
    expect([answer.status, answer.body.allowed_actions]).toEqual([
      409,
      [{ rel: "get-existing", method: "GET", href: `/v1/agents/${holder.id}` }],
    ]);
  });

  test("PATCH leaves out what is absent, empties what is null, keeps what cannot be empty", async () => {
    const models = (await app.get("/models")).body.data;
    const agent = await create({
      name: "patched",
      description: "d",
      display_name: "D",
      tags: ["t"],
      capabilities: ["current_time"],
      max_iterations: 5,
      network_access: { allowed: ["a.example.com"] },
      default_model_id: models[0].id,
    });
    const change = async (body: object) => (await app.call("PATCH", `/agents/${agent.id}`, body)).body;
    expect(await change({})).toEqual({ ...agent, updated_at: expect.any(String) });
    const changed = await change({
      name: null,
      system_prompt: null,
      description: null,
      tags: null,
      capabilities: null,
      max_iterations: null,
      network_access: null,
      default_model_id: null,
    });
    const {
      description: _d,
      max_iterations: _m,
      network_access: _n,
      default_model_id: _i,
      model: _o,
      ...kept
    } = agent;
    expect(changed).toEqual({ ...kept, tags: [], capabilities: [], updated_at: expect.any(String) });
  });

  test("`model`, the TypeScript SDK's name for default_model_id, is taken and given back", async () => {
    const model = (await app.get("/models")).body.data[0].id;
    const agent = await create({ name: "with-model", model });
    expect([agent.model, agent.default_model_id]).toEqual([model, model]);
    const both = await create({ name: "with-both", model: newId("model"), default_model_id: model });
    expect(both.default_model_id).toBe(model);
  });

  test("camelCase and mcp_servers are taken where snake_case and mcpServers are meant", async () => {
    const agent = await create({
      name: "cased",
      displayName: "Cased",
      maxIterations: 3,
      mcp_servers: { a: { url: "https://a.example.com", authMode: "none" } },
      initialFiles: [{ path: "/a", content: "x", isReadonly: true }],
      networkAccess: { blocked: ["b.example.com"] },
    });
    expect([agent.display_name, agent.max_iterations, agent.network_access]).toEqual([
      "Cased",
      3,
      { blocked: ["b.example.com"] },
    ]);
    expect(agent.initial_files).toEqual([{ path: "/a", content: "x", is_readonly: true }]);
    expect(agent.mcpServers.a.url).toBe("https://a.example.com");
  });

  test("capabilities keep order and configuration, bare strings too; server tools are dropped", async () => {
    const agent = await create({
      name: "capable",
      capabilities: ["web_fetch", { ref: "current_time", config: { timezone: "Europe/Kyiv" } }],
      tools: [
        { type: "builtin", name: "bash", description: "", parameters: {} },
        { type: "of-tomorrow", name: "later", description: "", parameters: {} },
        {
          type: "client_side",
          name: "ask",
          description: "Asks",
          parameters: { type: "object", properties: { q: {} } },
        },
      ],
    });
    expect(agent.capabilities).toEqual([
      { ref: "web_fetch" },
      { ref: "current_time", config: { timezone: "Europe/Kyiv" } },
    ]);
    expect(agent.tools).toEqual([
      {
        type: "client_side",
        name: "ask",
        description: "Asks",
        parameters: { type: "object", properties: { q: {} } },
      },
    ]);
  });
});

describe("archive, take back, delete, copy", () => {
  test("an archived agent leaves the list, can still be read, and comes back by PATCH or by POST", async () => {
    const { id } = await create({ name: "resting" });
    expect((await app.call("DELETE", `/agents/${id}`)).status).toBe(204);
    const listed = async (query: string) =>
      (await app.get(`/agents?search=resting${query}`)).body.data.map(
        (row: { status: string }) => row.status,
      );
    expect([await listed(""), await listed("&include_archived=true")]).toEqual([[], ["archived"]]);
    const read = (await app.get("/agents/resting")).body;
    expect([read.status, typeof read.archived_at]).toEqual(["archived", "string"]);
    const back = (await app.call("PATCH", `/agents/${id}`, { status: "active" })).body;
    expect([back.status, back.archived_at]).toEqual(["active", undefined]);
    await app.call("DELETE", `/agents/${id}`);
    const applied = await app.post("/agents", { name: "resting", system_prompt: "again" });
    expect([applied.status, applied.body.id, applied.body.status]).toEqual([200, id, "active"]);
  });

  test("a deleted agent is gone, its name is free and its id is not", async () => {
    const { id } = await create({ name: "mortal" });
    const deleted = (await app.call("PATCH", `/agents/${id}`, { status: "deleted" })).body;
    expect([deleted.status, typeof deleted.deleted_at]).toEqual(["deleted", "string"]);
    for (const ref of [id, "mortal"]) expect((await app.get(`/agents/${ref}`)).status).toBe(404);
    expect((await app.post("/agents", { id, name: "mortal", system_prompt: "x" })).status).toBe(404);
    expect((await app.post("/agents", { name: "mortal", system_prompt: "x" })).status).toBe(201);
  });

  test("copies are named after their source, numbered when taken, cut when too long", async () => {
    const source = await create({ name: "sheep", tags: ["w"] });
    const copy = async (ref: string) => (await app.post(`/agents/${ref}/copy`)).body;
    const first = await copy("sheep");
    expect([first.name, first.forked_from_agent_id, first.tags]).toEqual(["sheep-copy", source.id, ["w"]]);
    expect((await copy("sheep")).name).toBe("sheep-copy-2");
    await create({ name: "l".repeat(64) });
    expect((await copy("l".repeat(64))).name).toBe(`${"l".repeat(59)}-copy`);
  });

  test("check-name tells free from taken, and takes out the asker", async () => {
    const { id } = await create({ name: "mine" });
    const available = async (query: string) =>
      (await app.get(`/agents/check-name?name=${query}`)).body.available;
    expect([
      await available("mine"),
      await available(`mine&exclude_id=${id}`),
      await available("nobodys"),
    ]).toEqual([false, true, true]);
  });
});

describe("lists", () => {
  test("pages fit together, both spellings of the rows are there, neighbours have addresses", async () => {
    for (let number = 1; number <= 5; number += 1)
      await create({ name: `page-${number}`, description: "paged 50%_x" });
    const page = async (path: string) => (await app.get(path)).body;
    const first = await page("/agents?search=paged&limit=2");
    expect([first.total, first.offset, first.limit, first.prev_url]).toEqual([5, 0, 2, undefined]);
    expect(first.agents).toEqual(first.data);
    expect(first.next_url).toBe("/v1/agents?search=paged&limit=2&offset=2");
    const second = await page(`/${first.next_url}`);
    const third = await page(`/${second.next_url}`);
    expect(third.next_url).toBeUndefined();
    const names = [first, second, third].flatMap(({ data }) => data.map((row: { name: string }) => row.name));
    expect(names).toEqual(["page-5", "page-4", "page-3", "page-2", "page-1"]);
    expect((await page(`/${third.prev_url}`)).data).toEqual(second.data);
    expect((await page("/agents?search=paged&offset=50")).data).toEqual([]);
  });

  const searches: [what: string, query: string, total: number][] = [
    ["every word must match, in any field and any case", "PAGED page-3", 1],
    ["a word that is nowhere", "paged nowhere", 0],
    ["% means itself", "50%", 5],
    ["% is not anything", "5%x", 0],
    ["_ is not any character", "page_3", 0],
    ["a backslash means itself", "\\", 0],
    ["only eight words count", "p a g e d 5 0 x zzzz", 5],
  ];
  for (const [what, query, total] of searches) {
    test(`search: ${what}`, async () => {
      expect((await app.get(`/agents?search=${encodeURIComponent(query)}`)).body.total).toBe(total);
    });
  }

  test("usage is counted by session", async () => {
    const agent = await create({ name: "counted" });
    for (const tokens of [1, 2]) {
      const { body } = await app.post("/sessions", { agent_id: agent.id });
      await app.db.sql`update sessions set input_tokens = ${tokens}, output_tokens = 10, cost_usd = 0.5
                        where id = ${body.id}`;
    }
    const read = (await app.get("/agents/counted")).body;
    expect([read.session_count, read.app_count]).toEqual([2, 0]);
    expect(read.usage).toMatchObject({ input_tokens: 3, output_tokens: 20, estimated_cost_usd: 1 });
    await create({ name: "uncounted" });
    expect((await app.get("/agents/uncounted/stats")).body).toMatchObject({
      session_count: 0,
      execution_count: 0,
    });
    expect((await app.get("/agents/counted/stats")).body).toMatchObject({
      session_count: 2,
      started_session_count: 2,
      total_input_tokens: 3,
      total_cost_usd: 1,
      execution_count: 0,
    });
  });
});
