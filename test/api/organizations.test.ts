/** Organizations and the people in them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser, tokenOf } from "../support/callers.ts";

const PASSWORD = "correct horse battery";
let app: TestApp;
let passwordHash: string;
beforeAll(async () => {
  app = await testApp({ access: {} });
  passwordHash = await app.access.passwords.hash(PASSWORD);
});
afterAll(() => app.close());

const as = (token: string, method: string, path: string, body?: unknown, org?: string) =>
  app.call(method, path, body, bearer(token, org === undefined ? {} : { "x-org-id": org }));
/** Somebody who signed in. */
async function person(role: "owner" | "admin" | "member" | "viewer") {
  const user = await makeUser(app.db, { role, passwordHash });
  const { body } = await app.call("POST", "/auth/login", { email: user.email, password: PASSWORD });
  return { ...user, token: body.access_token as string };
}

describe("/v1/orgs", () => {
  test("lists, makes, reads and changes the caller's own", async () => {
    const { token } = await person("owner");
    expect((await as(token, "GET", "/orgs")).body.data.map(({ id }: { id: string }) => id)).toEqual([
      ORGANIZATION,
    ]);
    const made = await as(token, "POST", "/orgs", { name: "Second" });
    expect([made.status, made.body.name, made.body.default_provider_per_service]).toEqual([
      201,
      "Second",
      {},
    ]);
    const org = made.body.id;
    expect((await as(token, "GET", "/orgs")).body.total).toBe(2);
    expect((await as(token, "GET", `/orgs/${org}`)).body).toEqual(made.body);
    const renamed = await as(token, "PATCH", `/orgs/${org}`, { name: "Renamed" });
    expect([renamed.status, renamed.body.name]).toEqual([200, "Renamed"]);
    // It can be worked in at once.
    expect((await as(token, "POST", "/sessions", {}, org)).status).toBe(201);
    expect(made.body.default_model_id).toMatch(/^model_/);
  });

  test("another's is 404, and so is one that the token does not open", async () => {
    const [mine, theirs] = [await person("owner"), await person("owner")];
    const org = (await as(theirs.token, "POST", "/orgs", { name: "Theirs" })).body.id;
    for (const [method, path] of [
      ["GET", `/orgs/${org}`],
      ["PATCH", `/orgs/${org}`],
      ["POST", `/orgs/${org}/onboarding/complete`],
      ["GET", `/resolve-org?id=${org}`],
      ["GET", `/orgs/${newId("org")}`],
    ] as const) {
      const body = method === "PATCH" ? { name: "Stolen" } : undefined;
      expect([method, path, (await as(mine.token, method, path, body)).status]).toEqual([method, path, 404]);
    }
    const { token } = await makeToken(app.db, theirs.id);
    expect((await as(token, "GET", `/orgs/${org}`)).status).toBe(404);
    expect((await as(token, "GET", "/orgs")).body.total).toBe(1);
    // One that was made for both opens it, whichever the request is for.
    const both = await makeToken(app.db, theirs.id, { organizationIds: [ORGANIZATION, org] });
    expect((await as(both.token, "GET", `/orgs/${org}`, undefined, ORGANIZATION)).status).toBe(200);
    expect((await as(mine.token, "GET", "/orgs/nonsense")).body.code).toBe("invalid_id");
  });

  test("five owned by one user", async () => {
    const { token } = await person("member");
    for (let count = 1; count <= 5; count += 1) {
      expect((await as(token, "POST", "/orgs", { name: `No. ${count}` })).status).toBe(201);
    }
    expect((await as(token, "POST", "/orgs", { name: "No. 6" })).status).toBe(409);
  });

  test("are changed by their admins, whichever organization the request is for", async () => {
    for (const [role, status] of [
      ["owner", 200],
      ["admin", 200],
      ["member", 403],
      ["viewer", 403],
    ] as const) {
      const { token } = await person(role);
      const changed = await as(token, "PATCH", `/orgs/${ORGANIZATION}`, { name: `By ${role}` });
      const done = await as(token, "POST", `/orgs/${ORGANIZATION}/onboarding/complete`);
      expect([role, changed.status, done.status]).toEqual([role, status, status]);
      // In one of their own they may.
      const own = (await as(token, "POST", "/orgs", { name: "Own" })).body.id;
      expect((await as(token, "PATCH", `/orgs/${own}`, { name: "x" })).status).toBe(200);
    }
    const writer = await tokenOf(app.db, "owner", { scopes: ["read", "write"] });
    expect((await as(writer, "PATCH", `/orgs/${ORGANIZATION}`, { name: "x" })).status).toBe(403);
    expect((await as(writer, "POST", "/orgs", { name: "x" })).status).toBe(403);
  });

  test("onboarding is complete from the first time on", async () => {
    const { token } = await person("owner");
    const org = (await as(token, "POST", "/orgs", { name: "New" })).body;
    expect("onboarding_completed_at" in org).toBe(false);
    const path = `/orgs/${org.id}/onboarding/complete`;
    const first = (await as(token, "POST", path)).body.onboarding_completed_at;
    expect(first).toMatch(/Z$/);
    expect((await as(token, "POST", path)).body.onboarding_completed_at).toBe(first);
  });

  test("the chosen harness and model are those of who names none", async () => {
    const { token } = await person("owner");
    const org = (await as(token, "POST", "/orgs", { name: "Choosy" })).body;
    const at = (method: string, path: string, body?: unknown) => as(token, method, path, body, org.id);
    const base = (await at("GET", "/harnesses/base")).body.id;
    const changed = await at("PATCH", `/orgs/${org.id}`, {
      default_harness_name: "base",
      default_model_id: null,
    });
    expect([changed.status, changed.body.default_harness_id, changed.body.default_model_id]).toEqual([
      200,
      base,
      undefined,
    ]);
    expect((await at("GET", "/harnesses/default")).body.id).toBe(base);
    expect((await at("POST", "/sessions", {})).body.harness_id).toBe(base);
    await at("PATCH", `/orgs/${org.id}`, { default_harness_id: null });
    expect((await at("GET", "/harnesses/default")).body.name).toBe("generic");
  });

  test("settings name what is there", async () => {
    const { token } = await person("owner");
    const org = (await as(token, "POST", "/orgs", { name: "Strict" })).body.id;
    const provider = (await as(token, "GET", "/providers", undefined, org)).body.data[0].id;
    const foreign = (await as(token, "GET", "/providers", undefined, ORGANIZATION)).body.data[0].id;
    const model = (await as(token, "GET", "/models", undefined, ORGANIZATION)).body.data[0].id;
    const cases: [body: object, status: number][] = [
      [{ default_provider_per_service: { search: provider } }, 200],
      [{ default_provider_per_service: { search: foreign } }, 400],
      [{ default_provider_per_service: { search: "x" } }, 400],
      [{ default_provider_per_service: null }, 200],
      [{ default_model_id: model }, 400],
      [{ default_model_id: "gpt" }, 400],
      [{ default_harness_id: newId("harness") }, 400],
      [{ default_harness_name: "nothing" }, 400],
      [{ base_harness_id: newId("harness") }, 400],
      [{ name: "" }, 400],
      [{}, 200],
    ];
    for (const [body, status] of cases) {
      expect([body, (await as(token, "PATCH", `/orgs/${org}`, body)).status]).toEqual([body, status]);
    }
  });
});

describe("/v1/resolve-org", () => {
  test("says where something of the caller's is", async () => {
    const { token } = await person("owner");
    const org = (await as(token, "POST", "/orgs", { name: "Elsewhere" })).body.id;
    const session = (await as(token, "POST", "/sessions", {}, org)).body.id;
    for (const id of [org, session]) {
      expect((await as(token, "GET", `/resolve-org?id=${id}`)).body).toEqual({
        org_id: org,
        org_name: "Elsewhere",
      });
    }
    const stranger = (await person("owner")).token;
    for (const id of [session, newId("session"), "", "session_", "table_1; drop", newId("step")]) {
      const { status } = await as(stranger, "GET", `/resolve-org?id=${encodeURIComponent(id)}`);
      expect([id, status]).toEqual([id, id === "" ? 400 : 404]);
    }
  });
});

describe("/v1/users", () => {
  test("lists the members of the organization, and finds them", async () => {
    const { token, email } = await person("viewer");
    const all = (await as(token, "GET", "/users")).body.data;
    expect(all.some((user: { email: string }) => user.email === "anonymous@localhost")).toBe(false);
    const found = (await as(token, "GET", `/users?search=${encodeURIComponent(email.toUpperCase())}`)).body
      .data;
    expect(found.map((user: { email: string; roles: string[] }) => [user.email, user.roles])).toEqual([
      [email, ["viewer"]],
    ]);
    const org = (await as(token, "POST", "/orgs", { name: "Alone" })).body.id;
    expect((await as(token, "GET", "/users", undefined, org)).body.total).toBe(1);
  });

  test("a profile is its owner's to change, a viewer's too", async () => {
    const { token, id, email } = await person("viewer");
    const changed = await as(token, "PATCH", "/users/me", { name: "New Name" });
    expect([changed.status, changed.body]).toEqual([200, { id, email, name: "New Name" }]);
    expect((await as(token, "GET", "/auth/me")).body.name).toBe("New Name");
    expect((await as(token, "PATCH", "/users/me", { name: "" })).status).toBe(400);
  });

  test("an export has all and no secret", async () => {
    const { token, id, email } = await person("member");
    const made = await as(token, "POST", "/auth/personal-access-tokens", { name: "mine" });
    const { body } = await as(token, "GET", "/users/me/export");
    expect(body).toMatchObject({
      user: { id, email, email_verified: true },
      organizations: [{ public_id: ORGANIZATION, role: "member" }],
      personal_access_tokens: [{ id: made.body.id, name: "mine", scopes: ["read", "write"] }],
    });
    expect(JSON.stringify(body)).not.toContain(made.body.token);
    expect(JSON.stringify(body)).not.toContain("argon2");
  });

  test("switching decides where requests go that name no organization", async () => {
    const { token } = await person("member");
    const org = (await as(token, "POST", "/orgs", { name: "Other" })).body.id;
    const switched = await as(token, "POST", "/users/me/switch-org", { org_id: org });
    expect(switched.body).toEqual({ success: true, org_id: org });
    expect((await as(token, "GET", "/auth/me")).body).toMatchObject({ organization_id: org, role: "owner" });
    expect((await as(token, "GET", "/users")).body.total).toBe(1);
    for (const [id, status] of [
      [newId("org"), 404],
      ["x", 400],
    ] as const) {
      expect((await as(token, "POST", "/users/me/switch-org", { org_id: id })).status).toBe(status);
    }
    const program = await tokenOf(app.db, "member");
    expect((await as(program, "POST", "/users/me/switch-org", { org_id: ORGANIZATION })).status).toBe(400);
  });

  test("an account goes with its tokens and sign-ins, and leaves what it made", async () => {
    const { token, id } = await person("member");
    const program = await makeToken(app.db, id);
    const session = (await as(token, "POST", "/sessions", {})).body.id;
    expect((await as(token, "DELETE", "/users/me")).body).toEqual({ deleted: true });
    for (const each of [token, program.token]) expect((await as(each, "GET", "/agents")).status).toBe(401);
    const owner = await person("owner");
    expect((await as(owner.token, "GET", `/sessions/${session}`)).status).toBe(200);
  });

  test("the only owner of others' organization stays", async () => {
    const { token, id } = await person("member");
    const org = (await as(token, "POST", "/orgs", { name: "Shared" })).body.id;
    const member = await makeUser(app.db, { organizationId: org, role: "admin" });
    expect((await as(token, "DELETE", "/users/me")).status).toBe(409);
    await app.db.sql`update memberships set role = 'owner' where user_id = ${member.id}`;
    expect((await as(token, "DELETE", "/users/me")).status).toBe(200);
    expect(await app.db.sql`select from users where id = ${id}`).toHaveLength(0);
  });
});

test("without authentication there is one organization and one user, who stay", async () => {
  const open = await testApp();
  expect((await open.get("/orgs")).body.data).toMatchObject([{ id: ORGANIZATION, name: "Default" }]);
  expect((await open.call("PATCH", `/orgs/${ORGANIZATION}`, { name: "Mine" })).body.name).toBe("Mine");
  expect((await open.get("/users")).body.data).toEqual([]);
  expect((await open.post("/orgs", { name: "x" })).status).toBe(409);
  expect((await open.call("DELETE", "/users/me")).status).toBe(409);
  expect((await open.post("/users/me/switch-org", { org_id: ORGANIZATION })).status).toBe(200);
  await open.close();
});
