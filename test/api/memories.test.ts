import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const create = async (body: object = {}) =>
  (await app.post("/memories", { name: newId("name"), ...body })).body;

describe("memories", () => {
  test("one whose files are put by hand", async () => {
    const memory = await create({ name: "mem:legal", description: "Contracts" });
    expect(memory).toEqual({
      id: expect.stringMatching(/^mem_[0-9a-f]{32}$/),
      name: "mem:legal",
      description: "Contracts",
      status: "active",
      is_readonly: false,
      source: { provider: "manual" },
      source_type: "manual",
      sync_status: "idle",
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await app.get("/memories?search=LEGAL")).body.data).toEqual([memory]);
    expect((await app.get("/workspaces?search=legal&include_archived=true")).body.data).toEqual([]);
    expect((await app.get(`/workspaces/${memory.id}`)).status).toBe(400);
    const again = await app.post("/memories", { name: "mem:legal" });
    expect([again.status, again.body.code]).toEqual([409, "name_taken"]);
    expect((await app.post("/workspaces", { name: "mem:legal" })).status).toBe(201);
    expect((await app.call("PATCH", `/memories/${memory.id}`, { name: "legal" })).body.name).toBe("legal");
    const source = { type: "github", repository: "a/b" };
    expect((await app.call("PATCH", `/memories/${memory.id}`, { source })).status).toBe(400);
  });

  const sources: [string, object, object][] = [
    [
      "a repository on GitHub",
      { type: "github", repository: "everruns/everruns" },
      { provider: "github", repository: "everruns/everruns", branch: "main" },
    ],
    [
      "its address",
      { type: "github", repository: "https://github.com/o/r.git", branch: "a/b", root_folder: "/docs//x/" },
      { provider: "github", repository: "o/r", branch: "a/b", root_folder: "docs/x" },
    ],
    [
      "any repository",
      {
        type: "git",
        url: "https://example.com/x.git",
        branch: null,
        sync_interval_secs: 3600,
        root_folder: "/",
      },
      { provider: "git", url: "https://example.com/x.git", branch: "main", sync_interval_secs: 3600 },
    ],
    [
      "a repository by ssh",
      { type: "git", url: "ssh://git@example.com/x.git" },
      { provider: "git", url: "ssh://git@example.com/x.git", branch: "main" },
    ],
    // The Python SDK leaves `type` out.
    [
      "without a type: GitHub",
      { repository: "a/b" },
      { provider: "github", repository: "a/b", branch: "main" },
    ],
    [
      "without a type: git",
      { url: "https://example.com/x.git" },
      { provider: "git", url: "https://example.com/x.git", branch: "main" },
    ],
    [
      "what its type says, whatever else is there",
      { type: "git", url: "https://example.com/x.git", repository: "a/b" },
      { provider: "git", url: "https://example.com/x.git", branch: "main" },
    ],
  ];
  for (const [name, sent, stored] of sources) {
    test(`one with a source is only read: ${name}`, async () => {
      const memory = await create({ source: sent });
      expect(memory).toMatchObject({ is_readonly: true, sync_status: "pending", source: stored });
      expect(memory.source).toEqual(stored);
      expect((await app.get(`/memories/${memory.id}/fs`)).body.data).toEqual([]);
      for (const [method, body] of [
        ["POST", {}],
        ["PUT", { content: "x" }],
        ["DELETE", undefined],
      ] as const) {
        const answer = await app.call(method, `/memories/${memory.id}/fs/a.md`, body);
        expect([method, answer.status, answer.body.code]).toEqual([method, 403, "forbidden"]);
      }
      await app.db
        .sql`update file_trees set sync_status = 'failed', last_sync_error = 'x' where id = ${memory.id}`;
      const sync = await app.post(`/memories/${memory.id}/sync`);
      expect([sync.status, sync.body.sync_status]).toEqual([200, "pending"]);
      const changed = await app.call("PATCH", `/memories/${memory.id}`, {
        source: { type: "github", repository: "other/one" },
      });
      expect(changed.body.source).toEqual({ provider: "github", repository: "other/one", branch: "main" });
    });
  }

  const refused: [string, object][] = [
    ["no repository", { type: "github", repository: "just-a-name" }],
    ["a repository that climbs", { type: "github", repository: "a/.." }],
    ["another host's repository", { type: "github", repository: "https://example.com/a/b" }],
    ["a password in the address", { type: "git", url: "https://user:secret@example.com/x.git" }],
    ["a token in the address", { type: "git", url: "https://ghp_token@example.com/x.git" }],
    ["a file of this machine", { type: "git", url: "file:///etc" }],
    ["an option for git", { type: "git", url: "https://example.com/x.git", branch: "--upload-pack=x" }],
    ["a branch that climbs", { type: "git", url: "https://example.com/x.git", branch: "a..b" }],
    ["a folder that climbs", { type: "github", repository: "a/b", root_folder: "../c" }],
    ["nowhere", { branch: "main" }],
    ["another kind", { type: "svn", url: "https://example.com/x" }],
    ["a negative pause", { type: "github", repository: "a/b", sync_interval_secs: -1 }],
    ["a pause of years", { type: "github", repository: "a/b", sync_interval_secs: 604_801 }],
  ];
  for (const [name, source] of refused) {
    test(`a source is refused: ${name}`, async () => {
      const answer = await app.post("/memories", { name: newId("name"), source });
      expect([answer.status, JSON.stringify(answer.body).includes("secret")]).toEqual([400, false]);
    });
  }

  test("files are put, read, found, changed and taken away", async () => {
    const { id } = await create();
    const fs = (method: string, path: string, body?: unknown) =>
      app.call(method, `/memories/${id}/fs${path}`, body);
    const made = await fs("POST", "/a/one.md", { content: "first line\nsecond\n" });
    expect([made.status, made.body]).toEqual([
      201,
      {
        path: "/a/one.md",
        is_directory: false,
        size_bytes: 18,
        content_hash: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
        created_at: expect.any(String),
        updated_at: expect.any(String),
      },
    ]);
    expect((await fs("POST", "/a/one.md", {})).status).toBe(409);
    await fs("POST", "/b.bin", { content: "AAEC", encoding: "base64" });
    expect((await fs("GET", "/a/one.md")).body).toMatchObject({
      content: "first line\nsecond\n",
      encoding: "text",
      content_hash: made.body.content_hash,
    });
    expect((await fs("GET", "")).body.data.map((entry: { path: string }) => entry.path)).toEqual([
      "/a",
      "/b.bin",
    ]);
    expect((await fs("GET", "/a")).body.data).toEqual([made.body]);
    expect((await fs("POST", "/_/grep", { pattern: "^sec", path_pattern: "*.md" })).body.data).toEqual([
      { path: "/a/one.md", size_bytes: 18 },
    ]);
    expect((await fs("POST", "/_/stat", { path: "/a" })).body).toMatchObject({
      path: "/a",
      is_directory: true,
    });
    const download = await fs("GET", "/_/download/a/one.md");
    expect([download.body, download.headers.get("content-disposition")]).toEqual([
      "first line\nsecond\n",
      "attachment; filename=\"one.md\"; filename*=UTF-8''one.md",
    ]);
    expect(
      (await fs("PUT", "/a/one.md", { content: "x", expected_hash: made.body.content_hash })).status,
    ).toBe(200);
    expect(
      (await fs("PUT", "/a/one.md", { content: "y", expected_hash: made.body.content_hash })).status,
    ).toBe(409);
    expect((await fs("PUT", "/a/one.md", {})).status).toBe(400);
    expect((await fs("PUT", "/none", { content: "" })).status).toBe(404);
    expect((await fs("DELETE", "/a")).body.code).toBe("conflict");
    expect((await fs("DELETE", "/none")).status).toBe(404);
    expect((await fs("DELETE", "/a?recursive=true")).status).toBe(204);
    expect((await fs("GET", "/a/one.md")).status).toBe(404);
    expect((await app.post(`/memories/${id}/sync`)).body.code).toBe("invalid_request");
  });

  test("an archived one is only read; a deleted one is gone with its files", async () => {
    const { id } = await create();
    await app.post(`/memories/${id}/fs/a`, { content: "a" });
    expect((await app.call("DELETE", `/memories/${id}`)).status).toBe(204);
    expect((await app.post(`/memories/${id}/fs/b`, {})).body.code).toBe("archived");
    expect((await app.get(`/memories/${id}/fs/a`)).body.content).toBe("a");
    expect((await app.call("PATCH", `/memories/${id}`, { status: "active" })).body.status).toBe("active");
    expect((await app.post(`/memories/${id}/fs/b`, {})).status).toBe(201);
    expect((await app.call("PATCH", `/memories/${id}`, { status: "deleted" })).body.status).toBe("deleted");
    expect((await app.get(`/memories/${id}`)).status).toBe(404);
    expect((await app.get(`/memories/${id}/fs/a`)).status).toBe(404);
  });

  test("an agent or a session mounts those that are there, as they allow", async () => {
    const memory = await create();
    const synced = await create({ source: { type: "github", repository: "a/b" } });
    const archived = await create();
    await app.call("DELETE", `/memories/${archived.id}`);
    const mount = (id: string, mode?: string) => ({
      capabilities: [{ ref: "memory", config: { mounts: [{ memory: id, path: "/notes", mode }] } }],
    });
    const cases: [object, number][] = [
      [mount(memory.id, "readwrite"), 201],
      [mount(synced.id), 201],
      [mount(synced.id, "readwrite"), 400],
      [mount(archived.id), 400],
      [mount(newId("mem")), 400],
      [mount("mem_1"), 400],
      [{ capabilities: ["memory"] }, 201],
    ];
    for (const [body, status] of cases) {
      const agent = await app.post("/agents", {
        name: newId("a").replace("_", "-"),
        system_prompt: "",
        ...body,
      });
      expect([body, agent.status]).toEqual([body, status]);
      expect([body, (await app.post("/sessions", body)).status]).toEqual([body, status]);
      const harness = await app.post("/harnesses", { name: newId("h").replace("_", "-"), ...body });
      expect([body, harness.status]).toEqual([body, status]);
    }
  });
});
