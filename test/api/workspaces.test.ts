import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const create = async (name: string, description?: string) =>
  (await app.post("/workspaces", { name, description })).body;
const patch = (id: string, body: unknown) => app.call("PATCH", `/workspaces/${id}`, body);
const named = async (query: string): Promise<string[]> =>
  (await app.get(`/workspaces${query}`)).body.data.map((one: { name: string }) => one.name);

describe("workspaces", () => {
  test("created, read, renamed, found by their words", async () => {
    const workspace = await create("  Team notes  ", "100% of what we know");
    expect(workspace).toEqual({
      id: expect.stringMatching(/^wsp_[0-9a-f]{32}$/),
      name: "Team notes",
      description: "100% of what we know",
      status: "active",
      created_at: expect.any(String),
      updated_at: expect.any(String),
    });
    expect((await app.get(`/workspaces/${workspace.id}`)).body).toEqual(workspace);
    expect(await named("?search=TEAM 100%25")).toEqual(["Team notes"]);
    expect(await named("?search=100_")).toEqual([]);
    const changed = (await patch(workspace.id, { name: "Our notes", description: null })).body;
    expect([changed.name, "description" in changed]).toEqual(["Our notes", false]);
    expect(await named("?search=team")).toEqual([]);
  });

  const refused: [string, unknown, string][] = [
    ["without a name", {}, "invalid_request"],
    ["with an empty name", { name: "  " }, "invalid_request"],
    ["with a line break in its name", { name: "a\nb" }, "invalid_request"],
    ["with a long name", { name: "x".repeat(201) }, "limit_exceeded"],
    [
      "with a long description",
      { name: "x", description: "x".repeat(limits.descriptionBytesMax + 1) },
      "limit_exceeded",
    ],
  ];
  for (const [name, body, code] of refused) {
    test(`not created ${name}`, async () => {
      const answer = await app.post("/workspaces", body);
      expect([answer.status, answer.body.code]).toEqual([400, code]);
    });
  }

  test("a name belongs to one, archived or not; the answer says to which", async () => {
    const { id } = await create("Taken");
    const other = await create("Other");
    const again = await app.post("/workspaces", { name: "Taken" });
    expect([again.status, again.body.code, again.body.allowed_actions[0].href]).toEqual([
      409,
      "name_taken",
      `/v1/workspaces/${id}`,
    ]);
    expect((await patch(other.id, { name: "Taken" })).status).toBe(409);
    await app.call("DELETE", `/workspaces/${id}`);
    expect((await app.post("/workspaces", { name: "Taken" })).status).toBe(409);
    await patch(id, { status: "deleted" });
    expect((await app.post("/workspaces", { name: "Taken" })).status).toBe(201);
  });

  test("an archived one is not listed, takes no session, and its files are only read", async () => {
    const { id } = await create("Old work");
    const session = (await app.post("/sessions", { workspace_id: id })).body;
    await app.post(`/workspaces/${id}/fs/a.txt`, { content: "a" });
    expect((await app.call("DELETE", `/workspaces/${id}`)).status).toBe(204);
    expect((await app.call("DELETE", `/workspaces/${id}`)).status).toBe(204);
    expect((await app.get(`/workspaces/${id}`)).body).toMatchObject({
      status: "archived",
      archived_at: expect.any(String),
    });
    expect(await named("?search=old")).toEqual([]);
    expect(await named("?search=old&include_archived=true")).toEqual(["Old work"]);

    const refusedSession = await app.post("/sessions", {
      workspace_id: id,
      initial_files: [{ path: "/x", content: "" }],
    });
    expect([refusedSession.status, refusedSession.body.allowed_actions[0].rel]).toEqual([400, "unarchive"]);
    for (const [method, path, body] of [
      ["POST", "/b.txt", {}],
      ["PUT", "/a.txt", { content: "b" }],
      ["DELETE", "/a.txt", undefined],
      ["POST", "/_/copy", { src_path: "/a.txt", dst_path: "/b.txt" }],
      ["POST", "/_/move", { src_path: "/a.txt", dst_path: "/b.txt" }],
    ] as const) {
      for (const owner of [`/workspaces/${id}`, `/sessions/${session.id}`]) {
        const answer = await app.call(method, `${owner}/fs${path}`, body);
        expect([method, path, answer.status, answer.body.code]).toEqual([method, path, 409, "archived"]);
      }
    }
    const store = createFileStore(app.db, { organizationId: ORGANIZATION, treeId: id });
    await expect(
      store.write({ path: "/a.txt", content: "b", expectedHash: null, idempotencyKey: null }),
    ).rejects.toMatchObject({ code: "archived" });
    expect((await app.get(`/workspaces/${id}/fs/a.txt`)).body.content).toBe("a");

    expect((await patch(id, { status: "active" })).body).toMatchObject({ status: "active" });
    expect("archived_at" in (await app.get(`/workspaces/${id}`)).body).toBe(false);
    expect((await app.post(`/workspaces/${id}/fs/b.txt`)).status).toBe(201);
  });

  test("a session brings its own, named after it; a shared one outlives its sessions", async () => {
    const session = (await app.post("/sessions", {})).body;
    const own = (await app.get(`/workspaces/${session.workspace_id}`)).body;
    expect(own).toMatchObject({ name: session.id.replace("_", "-"), status: "active" });
    const shared = await create("Common");
    const [one, two] = await Promise.all(
      [1, 2].map(async () => (await app.post("/sessions", { workspace_id: shared.id })).body),
    );
    expect([one.workspace_id, two.workspace_id]).toEqual([shared.id, shared.id]);
    await app.post(`/sessions/${one.id}/fs/note`, { content: "for two" });
    expect((await app.get(`/sessions/${two.id}/fs/note`)).body.content).toBe("for two");

    expect((await patch(shared.id, { status: "deleted" })).body.code).toBe("conflict");
    for (const { id } of [one, two]) await app.call("DELETE", `/sessions/${id}`);
    expect((await app.get(`/workspaces/${shared.id}/fs/note`)).body.content).toBe("for two");
    expect((await patch(shared.id, { status: "deleted" })).body.status).toBe("deleted");
    expect((await app.get(`/workspaces/${shared.id}`)).status).toBe(404);
    expect((await app.post("/sessions", { workspace_id: shared.id })).status).toBe(404);
  });

  test("a session's own workspace goes with the last session that has it", async () => {
    const first = (await app.post("/sessions", { initial_files: [{ path: "/a", content: "a" }] })).body;
    const second = (await app.post("/sessions", { workspace_id: first.workspace_id })).body;
    await app.call("DELETE", `/sessions/${first.id}`);
    expect((await app.get(`/sessions/${second.id}/fs/a`)).body.content).toBe("a");
    const fork = (await app.post(`/sessions/${second.id}/fork`, {})).body;
    expect(fork.workspace_id).toBe(first.workspace_id);
    await app.call("DELETE", `/sessions/${second.id}`);
    expect((await app.get(`/workspaces/${first.workspace_id}/fs/a`)).status).toBe(200);
    await app.call("DELETE", `/sessions/${fork.id}`);
    expect((await app.get(`/workspaces/${first.workspace_id}/fs/a`)).status).toBe(404);
    expect((await app.post("/sessions", { workspace_id: first.workspace_id })).status).toBe(404);
  });

  test("while sessions are made with it and its last one is deleted, no session is left without", async () => {
    for (let round = 0; round < 10; round += 1) {
      const first = (await app.post("/sessions", {})).body;
      const [made] = await Promise.all([
        app.post("/sessions", { workspace_id: first.workspace_id }),
        app.call("DELETE", `/sessions/${first.id}`),
      ]);
      const workspace = await app.get(`/workspaces/${first.workspace_id}`);
      expect([201, 404]).toContain(made.status);
      expect(workspace.status).toBe(made.status === 201 ? 200 : 404);
    }
  });

  test("a fork gets a copy of the files under a name of its own", async () => {
    const parent = (await app.post("/sessions", { initial_files: [{ path: "/a", content: "a" }] })).body;
    const fork = (await app.post(`/sessions/${parent.id}/fork`, {})).body;
    expect((await app.get(`/workspaces/${fork.workspace_id}`)).body.name).toBe(fork.id.replace("_", "-"));
    expect((await app.get(`/sessions/${fork.id}/fs/a`)).body.content).toBe("a");
  });

  test("nothing is seen of one whose session never came to be", async () => {
    const id = newId("wsp");
    await app.db.sql`
      insert into file_trees (id, organization_id, name, status, is_session_default, files_version, size_bytes, entry_count)
      values (${id}, ${ORGANIZATION}, 'half-made', 'starting', true, 1, 0, 0)`;
    expect((await app.get(`/workspaces/${id}`)).status).toBe(404);
    expect((await app.get(`/workspaces/${id}/fs`)).status).toBe(404);
    expect(await named("?search=half-made&include_archived=true")).toEqual([]);
    expect((await app.post("/sessions", { workspace_id: id })).status).toBe(404);
  });
});
