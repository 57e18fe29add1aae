/** What is configured ends the same way everywhere: active → archived → deleted (contract, section 3). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const skill = "---\nname: greeting\ndescription: Says hello.\n---\nSay hello.\n";
/** Where it is made is said when it is another place. */
const RESOURCES: [path: string, body: Record<string, unknown>, makes?: string][] = [
  ["/agents", { name: "life", system_prompt: "x" }],
  ["/harnesses", { name: "life", display_name: "Life" }],
  ["/mcp-servers", { name: "life", url: "https://mcp.example.com/", headers: { "x-key": "secret" } }],
  ["/skills", { skill_md: skill }],
  ["/workspaces", { name: "life" }],
  ["/memories", { name: "life" }],
  [
    "/capabilities/declarative",
    { definition: { name: "life", display_name: "Life", description: "Of all things." } },
    "/capabilities",
  ],
];

describe.each(RESOURCES)("%s", (path, body, makes = path) => {
  test("are archived, taken back, and deleted for good only when they are archived", async () => {
    const made = await app.post(makes, body);
    expect(made.status).toBe(201);
    const own = `${path}/${made.body.id}`;
    const destroy = () => app.post(`${own}/delete`);
    expect((await destroy()).body).toMatchObject({
      status: 409,
      code: "conflict",
      allowed_actions: [{ rel: "delete", method: "DELETE", href: `/v1${own}` }],
    });
    expect((await app.call("DELETE", own)).status).toBeOneOf([200, 204]);
    expect((await app.get(own)).body.status).toBe("archived");
    expect((await app.call("PATCH", own, { status: "active" })).body.status).toBe("active");
    expect((await app.call("DELETE", own)).status).toBeOneOf([200, 204]);
    // With a body: clients parse every answer to a POST.
    const gone = await destroy();
    expect([gone.status, gone.body.id, gone.body.status]).toEqual([200, made.body.id, "deleted"]);
    expect(gone.body.allowed_actions?.map(({ rel }: { rel: string }) => rel) ?? []).not.toContain(
      "unarchive",
    );
    expect((await app.get(own)).status).toBe(404);
    expect((await destroy()).status).toBe(404);
    expect((await app.post(makes, body)).status).toBe(201);
  });
});

test("a workspace that a session has is kept", async () => {
  const { id } = (await app.post("/workspaces", { name: "shared" })).body;
  const session = (await app.post("/sessions", { workspace_id: id })).body.id;
  await app.call("DELETE", `/workspaces/${id}`);
  expect((await app.post(`/workspaces/${id}/delete`)).body).toMatchObject({ status: 409, code: "conflict" });
  await app.call("DELETE", `/sessions/${session}`);
  expect((await app.post(`/workspaces/${id}/delete`)).status).toBe(200);
});
