import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
  await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
});
afterAll(() => app.close());

const create = async (name: string, fields: object = {}) =>
  (await app.post("/harnesses", { name, ...fields })).body;
const change = (id: string, body: object) => app.call("PATCH", `/harnesses/${id}`, body);
const names = async (query = "") =>
  (await app.get(`/harnesses${query}`)).body.data.map((row: { name: string }) => row.name);

describe("an organization's harnesses", () => {
  test("are made, changed, archived, taken back and deleted", async () => {
    const made = await app.post("/harnesses", {
      name: "life",
      systemPrompt: "one",
      parentHarnessId: "generic",
      embedderMetadata: { tenant: "t" },
      capabilities: ["current_time"],
    });
    const { id } = made.body;
    expect([made.status, made.headers.get("location")]).toEqual([201, `/v1/harnesses/${id}`]);
    expect(made.body).toMatchObject({
      system_prompt: "one",
      parent_harness_id: "harness_00000000000000000000000000000002",
      embedder_metadata: { tenant: "t" },
      capabilities: [{ ref: "current_time" }],
      is_built_in: false,
      status: "active",
    });
    const changed = await change(id, { system_prompt: null, parent_harness_id: null, name: "lived" });
    expect([changed.body.system_prompt, changed.body.parent_harness_id, changed.body.name]).toEqual([
      undefined,
      undefined,
      "lived",
    ]);
    expect((await app.call("DELETE", `/harnesses/lived`)).status).toBe(204);
    expect([await names("?search=lived"), await names("?search=lived&include_archived=true")]).toEqual([
      [],
      ["lived"],
    ]);
    const archived = (await app.get(`/harnesses/${id}`)).body;
    expect([archived.status, typeof archived.archived_at]).toEqual(["archived", "string"]);
    const back = await change(id, { status: "active" });
    expect([back.body.status, back.body.archived_at]).toEqual(["active", undefined]);
    expect((await change(id, { status: "deleted" })).body.status).toBe("deleted");
    expect((await app.get(`/harnesses/${id}`)).status).toBe(404);
    expect((await create("lived")).name).toBe("lived");
  });

  test("are read by the agents and sessions that count them", async () => {
    const { id } = await create("counted");
    await app.post("/agents", { name: "counts", system_prompt: "x", harness_name: "counted" });
    await app.post("/sessions", { agent_name: "counts" });
    const read = (await app.get("/harnesses/counted")).body;
    expect([read.id, read.agent_count, read.session_count]).toEqual([id, 1, 1]);
    expect((await app.get(`/harnesses/${id}/stats`)).body.session_count).toBe(1);
  });

  test("of another organization cannot be seen, changed or inherited from", async () => {
    const { id } = await create("mine");
    await app.db.sql`update harnesses set organization_id = ${OTHER_ORGANIZATION} where id = ${id}`;
    for (const answer of [
      await app.get(`/harnesses/${id}`),
      await change(id, { description: "x" }),
      await app.call("DELETE", `/harnesses/${id}`),
      await app.post(`/harnesses/${id}/copy`),
    ]) {
      expect(answer.status).toBe(404);
    }
    const child = await app.post("/harnesses", { name: "child-of-foreign", parent_harness_id: id });
    expect([child.status, child.body.code]).toEqual([400, "invalid_request"]);
  });

  test("are at most as many as the limit", async () => {
    const [{ count } = { count: 0 }] = await app.db.sql<{ count: number }[]>`
      select count(*) as count from harnesses where organization_id = ${ORGANIZATION} and status <> 'deleted'`;
    for (let n = count; n < limits.harnessesPerOrganizationMax; n += 1) await create(`many-${n}`);
    const refused = await app.post("/harnesses", { name: "one-more" });
    expect([refused.status, refused.body.code]).toEqual([409, "conflict"]);
    await app.db.sql`update harnesses set status = 'deleted' where name like 'many-%'`;
  });
});

describe("built-in harnesses", () => {
  test("are found by name and cannot be changed, but copied", async () => {
    for (const name of ["base", "generic", "conversation", "worker-base", "worker", "platform-chat"]) {
      expect((await app.get(`/harnesses/${name}`)).body.is_built_in).toBe(true);
    }
    const answers = [
      await change("generic", { description: "mine now" }),
      await app.call("DELETE", "/harnesses/generic"),
      await change("generic", { status: "deleted" }),
    ];
    expect(answers.map(({ status, body }) => [status, body.code])).toEqual(
      answers.map(() => [403, "forbidden"]),
    );
    const copy = await app.post("/harnesses/generic/copy");
    expect([copy.status, copy.body.name, copy.body.is_built_in]).toEqual([201, "generic-copy", false]);
    expect(copy.body.capabilities).toEqual((await app.get("/harnesses/generic")).body.capabilities);
    expect((await app.post("/harnesses/generic/copy")).body.name).toBe("generic-copy-2");
  });

  test("keep their names to themselves", async () => {
    const { id } = (await app.get("/harnesses/worker")).body;
    expect((await app.get("/harnesses/check-name?name=worker")).body).toEqual({ available: false });
    const own = await create("not-worker");
    for (const refused of [
      await app.post("/harnesses", { name: "worker", system_prompt: "mine" }),
      await change(own.id, { name: "worker" }),
    ]) {
      expect([refused.status, refused.body.code]).toEqual([409, "name_taken"]);
      expect(refused.body.allowed_actions[0].href).toBe(`/v1/harnesses/${id}`);
    }
    expect((await app.get("/harnesses/worker")).body).toMatchObject({ id, is_built_in: true });
  });
});

describe("a chain of parents", () => {
  test("may not come back to where it began", async () => {
    const a = await create("ring-a");
    const b = await create("ring-b", { parent_harness_id: a.id });
    const c = await create("ring-c", { parent_harness_id: b.id });
    for (const parent of [a.id, b.id, c.id]) {
      const refused = await change(a.id, { parent_harness_id: parent });
      expect([refused.status, refused.body.code]).toEqual([400, "invalid_request"]);
    }
    expect((await change(c.id, { parent_harness_id: a.id })).status).toBe(200);
  });

  test("may not be closed by two at once", async () => {
    const [a, b] = [await create("pair-a"), await create("pair-b")];
    const answers = await Promise.all([
      change(a.id, { parent_harness_id: b.id }),
      change(b.id, { parent_harness_id: a.id }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400]);
  });

  test("has a limit, counted through the harness that is moved", async () => {
    let parent: string | null = null;
    for (let depth = 1; depth <= limits.harnessDepthMax - 1; depth += 1) {
      parent = (await create(`deep-${depth}`, { parent_harness_id: parent })).id;
    }
    const [top, below] = [await create("deep-top"), await create("deep-below")];
    await change(below.id, { parent_harness_id: top.id });
    const refused = await change(top.id, { parent_harness_id: parent });
    expect([refused.status, refused.body.detail]).toEqual([
      400,
      expect.stringContaining(`at most ${limits.harnessDepthMax}`),
    ]);
    expect((await change(below.id, { parent_harness_id: parent })).status).toBe(200);
    await app.db.sql`update harnesses set status = 'deleted' where name like 'deep-%'`;
  });
});

describe("a harness in use", () => {
  test("can be archived, not deleted; nothing new names it", async () => {
    const used = await create("used");
    await create("used-child", { parent_harness_id: used.id });
    const agent = await app.post("/agents", { name: "user", system_prompt: "x", harness_id: used.id });
    expect((await change(used.id, { status: "deleted" })).body.code).toBe("conflict");
    expect((await app.post(`/harnesses/${used.id}/delete`)).status).toBe(409);
    expect((await app.call("DELETE", `/harnesses/${used.id}`)).status).toBe(204);
    expect((await app.post(`/harnesses/${used.id}/delete`)).status).toBe(409);
    const refused = [
      await app.post("/agents", { name: "late", system_prompt: "x", harness_id: used.id }),
      await app.post("/harnesses", { name: "late", parent_harness_id: used.id }),
      await app.post("/sessions", { harness_id: used.id }),
    ];
    expect(refused.map(({ status }) => status)).toEqual([400, 400, 409]);
    expect((await app.post("/sessions", { agent_id: agent.body.id })).status).toBe(201);
  });

  test("as the default stays as long as it is that", async () => {
    const { id } = await create("house-default");
    await app.db.sql`update organizations set default_harness_id = ${id} where id = ${ORGANIZATION}`;
    expect((await app.get("/harnesses/default")).body.id).toBe(id);
    expect((await app.call("DELETE", `/harnesses/${id}`)).status).toBe(409);
    await app.db.sql`update organizations set default_harness_id = null where id = ${ORGANIZATION}`;
    expect((await app.get("/harnesses/default")).body.name).toBe("generic");
    expect((await app.call("DELETE", `/harnesses/${id}`)).status).toBe(204);
  });
});

describe("names", () => {
  test("are free, taken, or the harness's own", async () => {
    const { id } = await create("named");
    const free = async (query: string) => (await app.get(`/harnesses/check-name?${query}`)).body.available;
    expect(await free("name=nameless")).toBe(true);
    expect(await free("name=named")).toBe(false);
    expect(await free(`name=named&exclude_id=${id}`)).toBe(true);
  });

  const bad: [what: string, body: object, status: number, code: string][] = [
    ["a name that is no slug", { name: "No Slug" }, 400, "invalid_name"],
    ["the virtual name", { name: "default" }, 400, "invalid_name"],
    ["a name that is taken", { name: "taken" }, 409, "name_taken"],
    ["a parent of a bad id", { name: "x1", parent_harness_id: "Harness_1" }, 400, "invalid_id"],
    [
      "a parent that is not there",
      { name: "x2", parent_harness_id: newId("harness") },
      400,
      "invalid_request",
    ],
    ["a model that is not there", { name: "x3", default_model_id: newId("model") }, 400, "invalid_request"],
    ["a capability that is not there", { name: "x4", capabilities: ["nonsense"] }, 400, "invalid_request"],
    [
      "too much for the embedder",
      { name: "x5", embedder_metadata: { a: "x".repeat(limits.embedderMetadataBytesMax) } },
      400,
      "limit_exceeded",
    ],
  ];
  test("and everything else is checked before anything is stored", async () => {
    await create("taken");
    for (const [what, body, status, code] of bad) {
      const answer = await app.post("/harnesses", body);
      expect([what, answer.status, answer.body.code]).toEqual([what, status, code]);
    }
    expect(await names("?search=x1")).toEqual([]);
  });
});

describe("examples", () => {
  test("come twice in each field's spelling and become harnesses of the organization", async () => {
    const { body } = await app.get("/harness-examples");
    expect(Array.isArray(body)).toBe(true);
    const analyst = body.find((example: { name: string }) => example.name === "table-analyst");
    expect([analyst.displayName, analyst.devOnly, analyst.parentName]).toEqual([
      analyst.display_name,
      analyst.dev_only,
      analyst.parent_name,
    ]);
    for (const { name, parent_name } of body) {
      const made = await app.post(`/harnesses/import?from-example=${name}`);
      expect([name, made.status, made.body.is_built_in]).toEqual([name, 201, false]);
      const parent = (await app.get(`/harnesses/${made.body.parent_harness_id}`)).body;
      expect([parent.name, parent.is_built_in]).toEqual([parent_name, true]);
    }
    expect((await app.post("/harnesses/import?from-example=table-analyst")).status).toBe(409);
    expect((await app.post("/harnesses/import?from-example=nonsense")).status).toBe(404);
    expect((await app.post("/harnesses/import")).status).toBe(400);
  });
});

describe("a preview", () => {
  test("joins the prompts of the chain and offers the tools of all its capabilities", async () => {
    const far = await create("preview-far", { system_prompt: "Far.", capabilities: ["current_time"] });
    const near = await create("preview-near", { system_prompt: "Near.", parent_harness_id: far.id });
    const { body } = await app.post("/harnesses/preview", {
      parent_harness_id: near.id,
      system_prompt: "Own.",
      capabilities: ["session_file_system"],
    });
    expect(body.system_prompt).toStartWith("Far.\n\nNear.\n\nOwn.");
    const tools = body.tools.map((tool: { name: string }) => tool.name);
    expect([tools[0], tools.includes("read_file")]).toEqual(["get_current_time", true]);
    expect((await app.post("/harnesses/preview", {})).body).toEqual({ system_prompt: "", tools: [] });
  });
});
