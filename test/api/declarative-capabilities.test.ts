import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const write = (definition: object) => app.post("/capabilities", { definition });
const at = (ref: string) => `/capabilities/declarative/${ref}`;
const ids = async (query = "") =>
  (await app.get(`/capabilities?limit=100${query}`)).body.data.map((row: { id: string }) => row.id);

describe("a capability that was written down", () => {
  test("is made, read by each of its names, changed, archived, taken back and destroyed", async () => {
    const made = await write({ name: "tone", description: "d", system_prompt: "Kindly.", ours: { kept: 1 } });
    const { id } = made.body;
    expect([made.status, made.headers.get("location")]).toEqual([201, `/v1${at(id)}`]);
    expect(made.body).toMatchObject({
      capability_id: "declarative:tone",
      name: "tone",
      description: "d",
      status: "active",
      definition: { name: "tone", ours: { kept: 1 } },
    });
    for (const ref of [id, "tone", "declarative:tone"]) expect((await app.get(at(ref))).body.id).toBe(id);
    const changed = await app.call("PATCH", at("tone"), {
      definition: { name: "tone", display_name: "Tone" },
    });
    expect([
      changed.body.display_name,
      changed.body.description,
      changed.body.definition.system_prompt,
    ]).toEqual(["Tone", "", undefined]);
    expect((await app.post(`${at(id)}/delete`)).status).toBe(409);
    const archived = await app.call("DELETE", at(id));
    expect([archived.status, archived.body.status]).toEqual([200, "archived"]);
    expect((await app.get("/capabilities/declarative")).body.data).toEqual([]);
    expect((await app.get("/capabilities/declarative?include_archived=true")).body.total).toBe(1);
    expect((await app.call("PATCH", at(id), { status: "active" })).body.archived_at).toBeUndefined();
    await app.call("DELETE", at(id));
    expect((await app.post(`${at(id)}/delete`)).body.status).toBe("deleted");
    expect((await app.get(at(id))).status).toBe(404);
    expect((await write({ name: "tone" })).status).toBe(201);
  });

  test("is in the catalog, with who uses it", async () => {
    await write({
      name: "listed",
      display_name: "Listed one",
      system_prompt: "p",
      dependencies: ["current_time"],
    });
    await app.post("/agents", { name: "lister", system_prompt: "x", capabilities: ["declarative:listed"] });
    expect(await ids("&search=listed")).toEqual(["declarative:listed"]);
    const entry = (await app.get("/capabilities/declarative:listed")).body;
    expect(entry).toMatchObject({
      name: "Listed one",
      system_prompt: "p",
      dependencies: ["current_time"],
      agent_count: 1,
    });
    const renamed = await app.call("PATCH", at("listed"), { definition: { name: "renamed" } });
    expect([renamed.status, renamed.body.code]).toEqual([409, "conflict"]);
  });

  test("can be named by agents, harnesses and sessions while it is active", async () => {
    const { id } = (await write({ name: "named" })).body;
    const name = (ref: unknown, n: number) =>
      [
        ["/agents", { name: `names-${n}`, system_prompt: "x", capabilities: [ref] }],
        ["/harnesses", { name: `names-${n}`, capabilities: [ref] }],
        ["/sessions", { capabilities: [ref] }],
      ] as const;
    const statuses = async (ref: unknown, n: number) =>
      Promise.all(name(ref, n).map(async ([path, body]) => (await app.post(path, body)).status));
    expect(await statuses("declarative:named", 1)).toEqual([201, 201, 201]);
    expect(await statuses({ ref: "declarative:named", config: {} }, 2)).toEqual([201, 201, 201]);
    expect(await statuses({ ref: "declarative:named", config: { system_prompt: "mine" } }, 3)).toEqual([
      400, 400, 400,
    ]);
    expect(await statuses("declarative:nameless", 4)).toEqual([400, 400, 400]);
    await app.call("DELETE", at(id));
    expect(await statuses("declarative:named", 5)).toEqual([400, 400, 400]);
    expect((await app.post("/sessions", { agent_id: "names-1" })).status).toBe(201);
  });

  test("puts its files into the workspace of a new session, beneath those of the layers", async () => {
    await write({
      name: "with-files",
      files: [
        { path: "/rules.md", content: "of the capability" },
        { path: "/open.md", content: "change me", access: "readwrite" },
        { path: "/both.md", content: "of the capability" },
      ],
    });
    const session = (
      await app.post("/sessions", {
        capabilities: ["declarative:with-files"],
        initial_files: [{ path: "/both.md", content: "of the session" }],
      })
    ).body;
    const read = async (path: string) => (await app.get(`/sessions/${session.id}/fs/${path}`)).body;
    expect(await read("rules.md")).toMatchObject({ content: "of the capability", is_readonly: true });
    expect(await read("open.md")).toMatchObject({ is_readonly: false });
    expect((await read("both.md")).content).toBe("of the session");
  });

  test("is in a preview", async () => {
    await write({ name: "previewed", system_prompt: "Written down.", dependencies: ["current_time"] });
    const { body } = await app.post("/harnesses/preview", { capabilities: ["declarative:previewed"] });
    expect(body.system_prompt).toContain("Written down.");
    expect(body.tools.map((tool: { name: string }) => tool.name)).toEqual(["get_current_time"]);
  });

  test("of another organization is not there", async () => {
    const { id } = (await write({ name: "foreign" })).body;
    await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
    await app.db
      .sql`update declarative_capabilities set organization_id = ${OTHER_ORGANIZATION} where id = ${id}`;
    const answers = [
      await app.get(at(id)),
      await app.get("/capabilities/declarative:foreign"),
      await app.call("PATCH", at(id), { status: "archived" }),
      await app.call("DELETE", at(id)),
      await app.post(`${at(id)}/delete`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404, 404]);
    expect((await app.post("/sessions", { capabilities: ["declarative:foreign"] })).status).toBe(400);
  });

  const bad: [what: string, definition: unknown, status: number, code: string][] = [
    ["no definition", undefined, 400, "invalid_request"],
    ["no name", {}, 400, "invalid_request"],
    ["a name that is no slug", { name: "No Slug" }, 400, "invalid_name"],
    ["a name that is taken", { name: "taken" }, 409, "name_taken"],
    ["a dependency that is not there", { name: "b1", dependencies: ["nonsense"] }, 400, "invalid_request"],
    [
      "a dependency of its own kind",
      { name: "b2", dependencies: ["declarative:taken"] },
      400,
      "invalid_request",
    ],
    [
      "a path out of the workspace",
      { name: "b3", files: [{ path: "/../x", content: "" }] },
      400,
      "invalid_request",
    ],
    ["a risk that there is not", { name: "b4", risk_level: "extreme" }, 400, "invalid_request"],
    ["too much", { name: "b5", note: "x".repeat(1024 * 1024) }, 400, "limit_exceeded"],
  ];
  test("is checked before it is stored", async () => {
    await write({ name: "taken" });
    for (const [what, definition, status, code] of bad) {
      const answer = await app.post("/capabilities", { definition });
      expect([what, answer.status, answer.body.code]).toEqual([what, status, code]);
    }
    expect((await app.get(at(newId("cap")))).status).toBe(404);
    expect((await app.get(at("cap_1"))).body.code).toBe("invalid_id");
  });
});
