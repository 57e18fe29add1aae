/** Who belongs to an organization, as what, and who may say so. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Role } from "../../src/contract/access.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser } from "../support/callers.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp({ access: {} });
});
afterAll(() => app.close());

const as = (token: string, method: string, path: string, body?: unknown) =>
  app.call(method, path, body, bearer(token));

interface Person {
  id: string;
  email: string;
  token: string;
}
/** An organization with one member of each role. */
async function organization(): Promise<{ path: string; org: string } & Record<Role, Person>> {
  const org = newId("org");
  await app.db.sql`insert into organizations (id, name) values (${org}, 'Test')`;
  const people: Record<string, Person> = {};
  for (const role of ["owner", "admin", "member", "viewer"] as const) {
    const user = await makeUser(app.db, { role, organizationId: org });
    const { token } = await makeToken(app.db, user.id, { organizationIds: [org] });
    people[role] = { ...user, token };
  }
  return { org, path: `/orgs/${org}/members`, ...(people as Record<Role, Person>) };
}
const rolesOf = async (path: string, { token }: Person) =>
  Object.fromEntries(
    (await as(token, "GET", path)).body.data.map((each: { user_id: string; role: Role }) => [
      each.user_id,
      each.role,
    ]),
  );

test("members see each other; strangers see nothing", async () => {
  const { path, owner, viewer } = await organization();
  expect(Object.values(await rolesOf(path, viewer)).sort()).toEqual(["admin", "member", "owner", "viewer"]);
  const stranger = await organization();
  for (const [method, address, body] of [
    ["GET", path, undefined],
    ["POST", path, { email: viewer.email, role: "viewer" }],
    ["PATCH", `${path}/${viewer.id}`, { role: "owner" }],
    ["DELETE", `${path}/${viewer.id}`, undefined],
  ] as const) {
    expect([method, (await as(stranger.owner.token, method, address, body)).status]).toEqual([method, 404]);
  }
  expect((await as(owner.token, "PATCH", `${path}/${stranger.viewer.id}`, { role: "admin" })).status).toBe(
    404,
  );
  expect((await as(owner.token, "DELETE", `${path}/${newId("user")}`)).status).toBe(404);
});

test("somebody with an account is let in, once, and can work at once", async () => {
  const { path, org, admin } = await organization();
  const other = await organization();
  const added = await as(admin.token, "POST", path, {
    email: other.member.email.toUpperCase(),
    role: "member",
  });
  expect([added.status, added.body]).toEqual([
    201,
    expect.objectContaining({ user_id: other.member.id, organization_id: org, role: "member" }),
  ]);
  const { token } = await makeToken(app.db, other.member.id, { organizationIds: [org] });
  expect((await as(token, "POST", "/agents", { name: "new-here", system_prompt: "x" })).status).toBe(201);
  const again = await as(admin.token, "POST", path, { email: other.member.email, role: "viewer" });
  expect(again.status).toBe(409);
  expect((await rolesOf(path, admin))[other.member.id]).toBe("member");
  const nobody = await as(admin.token, "POST", path, { email: "nobody@example.com", role: "viewer" });
  expect([nobody.status, nobody.body.code]).toEqual([404, "not_found"]);
  const anonymous = await as(admin.token, "POST", path, { email: "anonymous@localhost", role: "viewer" });
  expect(anonymous.status).toBe(404);
  expect((await as(admin.token, "POST", path, { email: other.owner.email, role: "king" })).status).toBe(400);
});

test("an address that nobody has proved lets nobody in; the id of the account does", async () => {
  const { path, owner, admin } = await organization();
  const squatter = await makeUser(app.db, {
    email: "carol@corp.example",
    organizationId: (await organization()).org,
  });
  await app.db.sql`update users set is_email_verified = false where id = ${squatter.id}`;
  const refused = await as(admin.token, "POST", path, { email: squatter.email, role: "admin" });
  expect([refused.status, refused.body.code]).toEqual([409, "conflict"]);
  expect(refused.body.detail).toContain("user_id");
  expect(await rolesOf(path, owner)).not.toHaveProperty(squatter.id);
  const added = await as(admin.token, "POST", path, { user_id: squatter.id, role: "viewer" });
  expect([added.status, added.body.user_id]).toEqual([201, squatter.id]);
  for (const body of [{}, { email: squatter.email, user_id: squatter.id }, { user_id: "carol" }]) {
    expect((await as(admin.token, "POST", path, { ...body, role: "viewer" })).status).toBe(400);
  }
});

test("an organization has 50 members", async () => {
  const { path, org, owner } = await organization();
  for (let count = 5; count <= 50; count += 1)
    await makeUser(app.db, { organizationId: org, role: "viewer" });
  const other = await organization();
  expect((await as(owner.token, "POST", path, { email: other.owner.email, role: "viewer" })).status).toBe(
    409,
  );
});

describe("who may", () => {
  // [who, what they do to whom, to which role (null: out), the status]
  const cases: [who: Role, whom: Role, role: Role | null, status: number][] = [
    ["owner", "admin", "owner", 200],
    ["owner", "viewer", null, 204],
    ["admin", "viewer", "member", 200],
    ["admin", "member", "admin", 200],
    ["admin", "member", null, 204],
    ["admin", "member", "owner", 403],
    ["admin", "owner", "member", 403],
    ["admin", "owner", null, 403],
    ["member", "viewer", "member", 403],
    ["member", "member", "admin", 403],
    ["member", "viewer", null, 403],
    ["member", "member", null, 204],
    ["viewer", "viewer", "owner", 403],
    ["viewer", "viewer", null, 204],
    ["owner", "owner", "member", 409],
    ["owner", "owner", null, 409],
  ];
  for (const [who, whom, role, status] of cases) {
    test(`${who}: ${role === null ? `take out ${whom}` : `make ${whom} ${role}`} → ${status}`, async () => {
      const there = await organization();
      const path = `${there.path}/${there[whom].id}`;
      const answer =
        role === null
          ? await as(there[who].token, "DELETE", path)
          : await as(there[who].token, "PATCH", path, { role });
      expect([answer.status, answer.body?.code ?? null]).toEqual([
        status,
        { 403: "forbidden", 409: "conflict" }[status] ?? null,
      ]);
      const now = (await rolesOf(there.path, there[whom === "owner" ? "admin" : "owner"]))[there[whom].id];
      expect(now).toBe(status < 300 ? (role ?? undefined) : whom);
    });
  }

  test("an owner's token without the scope admin manages nobody", async () => {
    const { path, owner, org, viewer } = await organization();
    const { token } = await makeToken(app.db, owner.id, {
      scopes: ["read", "write"],
      organizationIds: [org],
    });
    expect((await as(token, "PATCH", `${path}/${viewer.id}`, { role: "member" })).status).toBe(403);
  });
});

test("a role holds from the next request on; who is out is out", async () => {
  const { path, owner, member } = await organization();
  const create = (name: string) => as(member.token, "POST", "/agents", { name, system_prompt: "x" });
  expect((await create("one")).status).toBe(201);
  await as(owner.token, "PATCH", `${path}/${member.id}`, { role: "viewer" });
  expect((await create("two")).status).toBe(403);
  await as(owner.token, "DELETE", `${path}/${member.id}`);
  expect((await as(member.token, "GET", "/agents")).status).toBe(403);
});

test("of two owners who leave at the same moment one stays", async () => {
  for (let round = 0; round < 5; round += 1) {
    const { path, owner, admin } = await organization();
    await as(owner.token, "PATCH", `${path}/${admin.id}`, { role: "owner" });
    const left = await Promise.all([
      as(owner.token, "DELETE", `${path}/${owner.id}`),
      as(admin.token, "DELETE", `${path}/${admin.id}`),
    ]);
    expect(left.map(({ status }) => status).sort()).toEqual([204, 409]);
  }
});

test("budgets of users and of the organization are an admin's, those of sessions everybody's", async () => {
  const { org, owner, member } = await organization();
  const budget = (subject_type: string, subject_id: string) => ({
    subject_type,
    subject_id,
    currency: "usd",
    limit: 5,
  });
  const session = (await as(member.token, "POST", "/sessions", {})).body.id;
  expect((await as(member.token, "POST", "/budgets", budget("session", session))).status).toBe(201);
  expect((await as(member.token, "POST", "/budgets", budget("org", org))).status).toBe(403);
  const { id } = (await as(owner.token, "POST", "/budgets", budget("org", org))).body;
  // Of a member who has done nothing yet, by the id of the user or of the principal.
  for (const user of [member.id, member.id.replace("user_", "principal_")]) {
    expect((await as(member.token, "POST", "/budgets", budget("user", user))).status).toBe(403);
    const made = await as(owner.token, "POST", "/budgets", budget("user", user));
    expect([made.status, made.body.subject_id]).toEqual([201, member.id.replace("user_", "principal_")]);
  }
  expect((await as(owner.token, "POST", "/budgets", budget("user", newId("user")))).status).toBe(404);
  const theirs = await as(owner.token, "GET", `/budgets?subject_type=user&subject_id=${member.id}`);
  expect(theirs.body).toHaveLength(2);
  expect((await as(member.token, "POST", `/budgets/${id}/top-up`, { amount: 1 })).status).toBe(403);
  expect((await as(member.token, "PATCH", `/budgets/${id}`, { limit: 9 })).status).toBe(403);
  expect((await as(member.token, "DELETE", `/budgets/${id}`)).status).toBe(403);
  expect((await as(member.token, "GET", `/budgets/${id}`)).body.limit).toBe(5);
  expect((await as(owner.token, "POST", `/budgets/${id}/top-up`, { amount: 1 })).status).toBe(200);
  // What an admin has paused, nobody else resumes by their session.
  await as(owner.token, "PATCH", `/budgets/${id}`, { status: "paused" });
  const resume = async (token: string) =>
    (await as(token, "POST", `/sessions/${session}/resume`)).body.resumed_budgets;
  expect(await resume(member.token)).toBe(0);
  expect((await as(owner.token, "GET", `/budgets/${id}`)).body.status).toBe("paused");
  expect(await resume(owner.token)).toBe(1);
  expect((await as(owner.token, "GET", `/budgets/${id}`)).body.status).toBe("active");
});
