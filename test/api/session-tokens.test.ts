/** A token that opens one session: that session's routes, as far as its rights go, and nothing else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser, tokenOf } from "../support/callers.ts";
import { DOCUMENTS, routesOf } from "../support/routes.ts";

let app: TestApp;
let owner: { id: string; token: string };
let session: string;
let other: string;
beforeAll(async () => {
  app = await testApp({ access: {} });
  owner = await makeToken(app.db, (await makeUser(app.db)).id);
  session = (await as(owner.token, "POST", "/sessions", {})).body.id;
  other = (await as(owner.token, "POST", "/sessions", {})).body.id;
});
afterAll(() => app.close());

const as = (token: string, method: string, path: string, body?: unknown) =>
  app.call(method, path, body, bearer(token));
const mint = async (rights: object | undefined, by = owner.token): Promise<string> => {
  const answer = await as(by, "POST", `/sessions/${session}/tokens`, rights);
  expect([rights, answer.status]).toEqual([rights, 201]);
  return answer.body.token;
};
const hello = { message: { content: [{ type: "text", text: "hi" }] } };

describe("what it opens", () => {
  // Status 400 and 409: the caller is let in, and the rest of the request is not right.
  const routes: [method: string, path: string, right: string, open: number, body?: unknown][] = [
    ["GET", "", "read", 200],
    ["GET", "/events", "read", 200],
    ["GET", "/messages", "read", 200],
    ["GET", "/queue", "read", 200],
    ["GET", "/runs", "read", 200],
    ["POST", "/messages", "write", 400, {}],
    ["POST", "/cancel", "write", 200],
    ["POST", "/tool-results", "write", 400, {}],
    ["POST", "/tool-approvals", "approve", 400, {}],
  ];
  for (const right of ["read", "write", "approve"]) {
    test(`with the right to ${right}`, async () => {
      const token = await mint({ [right]: true });
      for (const [method, path, needs, open, body] of routes) {
        const answer = await as(token, method, `/sessions/${session}${path}`, body);
        expect([method, path, answer.status]).toEqual([method, path, needs === right ? open : 403]);
        if (needs === right) {
          expect((await as(token, method, `/sessions/${other}${path}`, body)).status).toBe(404);
        }
      }
    });
  }

  test("who may only write sends messages, and is not shown the answer to them", async () => {
    const token = await mint({ write: true });
    const messages = `/sessions/${session}/messages`;
    expect((await as(token, "POST", messages, hello)).status).toBe(201);
    const sent = async () => (await as(owner.token, "GET", messages)).body.data.length;
    const before = await sent();
    expect((await as(token, "POST", `${messages}?wait=true`, hello)).status).toBe(403);
    const accept = { ...bearer(token), accept: "text/event-stream" };
    expect((await app.call("POST", messages, hello, accept)).status).toBe(403);
    expect(await sent()).toBe(before);
  });

  test("reads when nothing is said, and all three when all are", async () => {
    const made = await as(owner.token, "POST", `/sessions/${session}/tokens`);
    expect(made.body).toMatchObject({ session_id: session, read: true, write: false, approve: false });
    const token = await mint({ read: true, write: true, approve: true });
    expect((await as(token, "POST", `/sessions/${session}/messages`, hello)).status).toBe(201);
    expect((await as(token, "GET", `/sessions/${session}/messages`)).body.data.length).toBeGreaterThan(0);
  });

  test("in the organization of its session alone", async () => {
    const token = await mint({ read: true });
    const read = async (org: string) =>
      (await app.call("GET", `/sessions/${session}`, undefined, bearer(token, { "x-org-id": org }))).status;
    expect([await read(ORGANIZATION), await read(OTHER_ORGANIZATION)]).toEqual([200, 404]);
  });

  test("no route beside those of its session, whatever the method", async () => {
    const token = await mint({ read: true, write: true, approve: true });
    const wrong: unknown[] = [];
    let tried = 0;
    const ask = async (method: string, path: string, id: string) => {
      const address = path.replace(":session_id", id).replace(/:(\w+)/g, () => newId("agent"));
      const { status, body } = await app.call(method, `/${address}`, undefined, bearer(token));
      return `${status} ${body?.code}`;
    };
    for (const { method, path, route } of routesOf(app)) {
      if (DOCUMENTS.includes(path) || path.startsWith("/api/") || route?.access === "public") continue;
      const isOpened = route?.sessionRight !== undefined || EVENTS.includes(path);
      if (isOpened && !path.startsWith("/v1/sessions/:session_id")) wrong.push([method, path]);
      // Opened are routes of one session: another's is not there.
      const answer = await ask(method, path, isOpened ? other : session);
      if (answer !== (isOpened ? "404 not_found" : "403 forbidden")) wrong.push([method, path, answer]);
      tried += 1;
    }
    expect(wrong).toEqual([]);
    expect(tried).toBeGreaterThan(100);
  });
});

const EVENTS = ["/v1/sessions/:session_id/events", "/v1/sessions/:session_id/sse"];

describe("how long it lives", () => {
  test("as long as it says, and as the credential that it was made with", async () => {
    const made = await as(owner.token, "POST", `/sessions/${session}/tokens`, { ttl_seconds: 60 });
    expect(Date.parse(made.body.expires_at) - Date.now()).toBeWithin(50_000, 60_001);
    const user = await makeUser(app.db, { role: "member" });
    const by = await makeToken(app.db, user.id, { scopes: ["read", "write"] });
    const token = await mint({ read: true, write: true }, by.token);
    const read = () => as(token, "GET", `/sessions/${session}/messages`);
    expect((await read()).status).toBe(200);
    await app.db.sql`update memberships set role = 'viewer' where user_id = ${user.id}`;
    expect((await as(token, "POST", `/sessions/${session}/messages`, hello)).status).toBe(403);
    expect((await read()).status).toBe(200);
    await app.db.sql`update access_tokens set revoked_at = now() where id = ${by.id}`;
    expect((await read()).status).toBe(401);
  });
});

describe("who makes it", () => {
  test("must see the session, and cannot give what they have not", async () => {
    const viewer = await tokenOf(app.db, "viewer");
    await mint({ read: true }, viewer);
    const path = `/sessions/${session}/tokens`;
    expect((await as(viewer, "POST", path, { write: true })).status).toBe(403);
    expect((await as(viewer, "POST", path, { approve: true })).status).toBe(403);
    const reader = await tokenOf(app.db, "owner", { scopes: ["read"] });
    expect((await as(reader, "POST", path, { approve: true })).status).toBe(403);
    expect((await as(owner.token, "POST", `/sessions/${newId("session")}/tokens`)).status).toBe(404);
    expect((await as(owner.token, "POST", "/sessions/x/tokens")).status).toBe(400);
    expect((await as(owner.token, "POST", path, { ttl_seconds: 86_400 })).status).toBe(400);
    const none = { read: false, write: false, approve: false };
    expect((await as(owner.token, "POST", path, none)).status).toBe(400);
  });
});

test("keys of MCP servers are for who may change what they stand in, in every answer", async () => {
  const canary = "Bearer sk-live-canary";
  const mcpServers = { crm: { url: "https://crm.example.com/mcp", headers: { Authorization: canary } } };
  const agent = (
    await as(owner.token, "POST", "/agents", { name: "with-mcp", system_prompt: "x", mcpServers })
  ).body.id;
  const own = (await as(owner.token, "POST", "/sessions", { agent_id: agent, mcpServers })).body.id;
  const viewer = await tokenOf(app.db, "viewer");
  const paths = [
    `/agents/${agent}`,
    `/agents/${agent}/export`,
    `/agents/${agent}/export?format=json`,
    `/agents/${agent}/versions`,
    "/agents?search=with-mcp",
    `/sessions/${own}`,
    "/sessions",
  ];
  for (const path of paths) {
    const theirs = await app.call("GET", path, undefined, bearer(viewer));
    expect([path, theirs.status, JSON.stringify(theirs.body).includes("canary")]).toEqual([path, 200, false]);
  }
  expect((await as(viewer, "GET", `/agents/${agent}`)).body.mcpServers.crm).toEqual({
    ...mcpServers.crm,
    headers: { Authorization: "********" },
  });
  expect((await as(owner.token, "GET", `/agents/${agent}`)).body.mcpServers).toEqual(mcpServers);
  const { token } = (await as(owner.token, "POST", `/sessions/${own}/tokens`, { read: true, write: true }))
    .body;
  const seen = (await as(token, "GET", `/sessions/${own}`)).body;
  expect(seen.mcpServers.crm.headers).toEqual({ Authorization: "********" });
});
