/** Access tokens: how they are sent, what they open, and that what ended is refused at once. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser, tokenOf } from "../support/callers.ts";

let app: TestApp;
let owner: { id: string; token: string };
let ownerId: string;
beforeAll(async () => {
  app = await testApp({ access: {} });
  await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
  const user = await makeUser(app.db);
  ownerId = user.id;
  owner = await makeToken(app.db, user.id);
});
afterAll(() => app.close());

const as = (token: string, method: string, path: string, body?: unknown, more: Record<string, string> = {}) =>
  app.call(method, path, body, bearer(token, more));

describe("a credential", () => {
  test("is taken raw, as Bearer and as ApiKey, whatever the case of the scheme", async () => {
    for (const header of [
      owner.token,
      `Bearer ${owner.token}`,
      `ApiKey ${owner.token}`,
      `bearer  ${owner.token}`,
    ]) {
      const { status } = await app.call("GET", "/agents", undefined, { authorization: header });
      expect([header.split(" ")[0], status]).toEqual([header.split(" ")[0], 200]);
    }
  });

  const flipped = (token: string) => token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
  const bad: [string, () => string | null][] = [
    ["none", () => null],
    ["an empty one", () => ""],
    ["one with a wrong checksum", () => flipped(owner.token)],
    ["one that was never made", () => "evr_something-old"],
    ["another scheme", () => `Basic ${btoa(`x:${owner.token}`)}`],
    ["two words too many", () => `Bearer ${owner.token} x`],
    ["no JWT", () => "Bearer a.b.c"],
    ["a very long one", () => `Bearer ${"x".repeat(10_000)}`],
  ];
  for (const [what, header] of bad) {
    test(`is refused: ${what}`, async () => {
      const said = header();
      const answer = await app.call(
        "GET",
        "/agents",
        undefined,
        said === null ? {} : { authorization: said },
      );
      expect([answer.status, answer.body.code, answer.body.error.code]).toEqual([
        401,
        "unauthorized",
        "unauthorized",
      ]);
      expect(answer.headers.get("www-authenticate")).toStartWith('Bearer realm="everruns"');
      expect(JSON.stringify(answer.body)).not.toContain(owner.token);
    });
  }

  test("that is not valid is not saved by a cookie", async () => {
    const cookie = `access_token=${owner.token}`;
    const answer = await app.call("GET", "/agents", undefined, { authorization: "Bearer x", cookie });
    expect(answer.status).toBe(401);
  });
});

describe("what ended", () => {
  test("is refused at the next request: revoked, expired, membership gone", async () => {
    const user = await makeUser(app.db);
    const [revoked, expired, left] = [
      await makeToken(app.db, user.id),
      await makeToken(app.db, user.id),
      await makeToken(app.db, user.id),
    ];
    for (const { token } of [revoked, expired, left])
      expect((await as(token, "GET", "/agents")).status).toBe(200);

    expect((await as(owner.token, "DELETE", `/auth/personal-access-tokens/${revoked.id}`)).status).toBe(204);
    expect((await as(revoked.token, "GET", "/agents")).status).toBe(401);
    await app.db.sql`update access_tokens set expires_at = now() where id = ${expired.id}`;
    expect((await as(expired.token, "GET", "/agents")).status).toBe(401);
    await app.db.sql`delete from memberships where user_id = ${user.id}`;
    expect((await as(left.token, "GET", "/agents")).status).toBe(403);
    await app.db.sql`delete from users where id = ${user.id}`;
    expect((await as(left.token, "GET", "/agents")).status).toBe(401);
  });
});

describe("the organization", () => {
  test("is that of the token; another is 404, by the token's choice or the user's", async () => {
    const user = await makeUser(app.db);
    await app.db.sql`insert into memberships (organization_id, user_id, role)
                     values (${OTHER_ORGANIZATION}, ${user.id}, 'member')`;
    const { token } = await makeToken(app.db, user.id);
    const at = (org: string) => as(token, "GET", "/agents", undefined, { "x-org-id": org });
    expect((await at(ORGANIZATION)).status).toBe(200);
    // The user belongs there, the token does not open it.
    expect((await at(OTHER_ORGANIZATION)).status).toBe(404);
    expect((await at("org_00000000000000000000000000000009")).status).toBe(404);
    expect((await at("somewhere")).status).toBe(400);
  });

  test("must be named when the token opens several", async () => {
    const user = await makeUser(app.db);
    await app.db.sql`insert into memberships (organization_id, user_id, role)
                     values (${OTHER_ORGANIZATION}, ${user.id}, 'viewer')`;
    const { token } = await makeToken(app.db, user.id, {
      organizationIds: [ORGANIZATION, OTHER_ORGANIZATION],
    });
    const unnamed = await as(token, "GET", "/agents");
    expect([unnamed.status, unnamed.body.code]).toEqual([400, "invalid_request"]);
    expect(unnamed.body.detail).toContain("X-Org-Id");
    const agent = { name: "made-by-many", system_prompt: "x" };
    expect((await as(token, "POST", "/agents", agent, { "x-org-id": ORGANIZATION })).status).toBe(201);
    // Owner there, viewer here.
    expect((await as(token, "POST", "/agents", agent, { "x-org-id": OTHER_ORGANIZATION })).status).toBe(403);
    const theirs = await as(token, "GET", "/agents", undefined, { "x-org-id": OTHER_ORGANIZATION });
    expect([theirs.status, theirs.body.total]).toEqual([200, 0]);
  });
});

describe("last use", () => {
  test("is noted once a minute at most", async () => {
    const user = await makeUser(app.db);
    const { id, token } = await makeToken(app.db, user.id);
    const lastUse = async () =>
      (
        await app.db.sql<
          { last_used_at: Date | null }[]
        >`select last_used_at from access_tokens where id = ${id}`
      )[0]?.last_used_at;
    expect(await lastUse()).toBeNull();
    await as(token, "GET", "/agents");
    const first = await lastUse();
    await as(token, "GET", "/agents");
    expect(await lastUse()).toEqual(first as Date);
    await app.db.sql`update access_tokens set last_used_at = now() - interval '61 seconds' where id = ${id}`;
    const old = await lastUse();
    await as(token, "GET", "/agents");
    expect((await lastUse())?.getTime()).toBeGreaterThan(old?.getTime() ?? Number.POSITIVE_INFINITY);
  });
});

test("who calls costs one statement", async () => {
  const { token } = await makeToken(app.db, (await makeUser(app.db)).id);
  const { options } = app.db.sql;
  const statements: string[] = [];
  await as(token, "GET", "/auth/config");
  await as(token, "GET", "/agents/config");
  options.debug = (_connection, text) => void statements.push(text);
  expect((await as(token, "GET", "/agents/config")).status).toBe(200);
  options.debug = false;
  expect(statements).toHaveLength(1);
  expect(statements[0]).toContain("from access_tokens");
});

describe("/v1/auth/personal-access-tokens", () => {
  const PATH = "/auth/personal-access-tokens";

  test("shows a token once and stores its hash alone", async () => {
    const made = await as(owner.token, "POST", PATH, { name: "ci", scopes: ["read"], expires_in_days: 7 });
    expect(made.status).toBe(201);
    const { token, ...rest } = made.body;
    expect(token).toMatch(/^evr_pat_[0-9A-Za-z]{49}$/);
    expect(rest).toMatchObject({
      name: "ci",
      scopes: ["read"],
      organization_ids: [ORGANIZATION],
      user_id: ownerId,
    });
    expect(Date.parse(rest.expires_at) - Date.parse(rest.created_at)).toBeCloseTo(7 * 86_400_000, -5);
    const listed = (await as(owner.token, "GET", PATH)).body.data;
    expect(listed.find(({ id }: { id: string }) => id === rest.id)).toEqual(rest);
    const { sql } = app.db;
    const stored = JSON.stringify(
      await sql`select t.*, encode(token_hash, 'escape') as e from access_tokens t`,
    );
    expect(stored).not.toContain(token);
    expect(app.logged.join("\n")).not.toContain(token);

    // It reads, and no more.
    expect((await as(token, "GET", "/agents")).status).toBe(200);
    const agent = { name: "by-reader", system_prompt: "x" };
    expect((await as(token, "POST", "/agents", agent)).status).toBe(403);
    expect((await as(token, "DELETE", `${PATH}/${rest.id}`)).status).toBe(403);
  });

  test("has an old name", async () => {
    const made = await as(owner.token, "POST", "/auth/api-keys", { name: "old" });
    expect([made.status, made.body.scopes]).toEqual([201, ["read", "write"]]);
    expect((await as(owner.token, "GET", "/auth/api-keys")).body).toEqual(
      (await as(owner.token, "GET", PATH)).body,
    );
    expect((await as(owner.token, "DELETE", `/auth/api-keys/${made.body.id}`)).status).toBe(204);
    expect((await as(made.body.token, "GET", "/agents")).status).toBe(401);
  });

  test("a token without the scope admin makes none, one with it none for elsewhere", async () => {
    const user = await makeUser(app.db);
    await app.db.sql`insert into memberships (organization_id, user_id, role)
                     values (${OTHER_ORGANIZATION}, ${user.id}, 'owner')`;
    const writer = await makeToken(app.db, user.id, { scopes: ["read", "write"] });
    expect((await as(writer.token, "POST", PATH, { name: "x" })).status).toBe(403);
    const admin = await makeToken(app.db, user.id);
    expect((await as(admin.token, "POST", PATH, { name: "x" })).status).toBe(201);
    const elsewhere = { name: "x", organization_ids: [OTHER_ORGANIZATION] };
    expect((await as(admin.token, "POST", PATH, elsewhere)).status).toBe(404);
  });

  test("a token makes none that outlives it, and takes along what it made", async () => {
    const user = await makeUser(app.db);
    const expiresAt = new Date(Date.now() + 86_400_000);
    const short = await makeToken(app.db, user.id, { expiresAt });
    expect((await as(short.token, "POST", PATH, { name: "x", expires_in_days: 2 })).status).toBe(403);
    const child = (await as(short.token, "POST", PATH, { name: "x", scopes: ["admin"] })).body;
    expect(child.expires_at).toBe(expiresAt.toISOString());
    const grandchild = (await as(child.token, "POST", PATH, { name: "y" })).body;
    const other = await makeToken(app.db, user.id);
    expect((await as(other.token, "DELETE", `${PATH}/${short.id}`)).status).toBe(204);
    for (const token of [short.token, child.token, grandchild.token]) {
      expect((await as(token, "GET", "/agents")).status).toBe(401);
    }
    expect((await as(other.token, "GET", "/agents")).status).toBe(200);
  });

  test("a token reaches no further than its organizations, and without the scope admin itself alone", async () => {
    const user = await makeUser(app.db);
    await app.db.sql`insert into memberships (organization_id, user_id, role)
                     values (${OTHER_ORGANIZATION}, ${user.id}, 'owner')`;
    const there = await makeToken(app.db, user.id, { organizationIds: [OTHER_ORGANIZATION] });
    const here = await makeToken(app.db, user.id);
    const writer = await makeToken(app.db, user.id, { scopes: ["write"] });
    const idsOf = async (token: string) =>
      (await as(token, "GET", PATH)).body.data.map(({ id }: { id: string }) => id).sort();
    expect(await idsOf(here.token)).toEqual([here.id, writer.id].sort());
    const all = (await as(writer.token, "GET", "/users/me/export")).body;
    expect(all.organizations.map((each: { public_id: string }) => each.public_id)).toEqual([ORGANIZATION]);
    expect(JSON.stringify(all)).not.toContain(there.id);
    expect((await as(here.token, "DELETE", `${PATH}/${there.id}`)).status).toBe(404);
    expect((await as(writer.token, "DELETE", `${PATH}/${here.id}`)).status).toBe(403);
    expect((await as(writer.token, "DELETE", "/users/me")).status).toBe(403);
    expect((await as(here.token, "DELETE", "/users/me")).status).toBe(403);
    expect((await as(writer.token, "DELETE", `${PATH}/${writer.id}`)).status).toBe(204);
    expect((await as(there.token, "GET", "/agents")).status).toBe(200);
  });

  test("refuses what makes no sense", async () => {
    const cases: [object, number, string][] = [
      [{}, 400, "invalid_request"],
      [{ name: "" }, 400, "invalid_request"],
      [{ name: "x", scopes: [] }, 400, "invalid_request"],
      [{ name: "x", scopes: ["everything"] }, 400, "invalid_request"],
      [{ name: "x", expires_at: "2001-01-01T00:00:00.000Z" }, 400, "invalid_request"],
      [{ name: "x", expires_at: "tomorrow" }, 400, "invalid_request"],
      [{ name: "x", organization_ids: ["nowhere"] }, 404, "not_found"],
      [{ name: "x", organization_ids: [OTHER_ORGANIZATION] }, 404, "not_found"],
    ];
    for (const [body, status, code] of cases) {
      const answer = await as(owner.token, "POST", PATH, body);
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code]);
    }
  });

  test("25 a user", async () => {
    const user = await makeUser(app.db);
    const { token } = await makeToken(app.db, user.id);
    for (let made = 1; made < 25; made += 1) await makeToken(app.db, user.id);
    const answer = await as(token, "POST", PATH, { name: "26" });
    expect([answer.status, answer.body.code]).toEqual([409, "conflict"]);
  });

  test("another's tokens are not there, but for an admin of the organization that they open", async () => {
    const [member, admin] = [
      await makeUser(app.db, { role: "member" }),
      await makeUser(app.db, { role: "admin" }),
    ];
    const theirs = await makeToken(app.db, member.id, { scopes: ["read", "write"] });
    const other = await tokenOf(app.db, "member");
    expect((await as(other, "DELETE", `${PATH}/${theirs.id}`)).status).toBe(404);
    expect((await as(other, "GET", `${PATH}?all=true`)).status).toBe(403);
    const stranger = await tokenOf(app.db, "owner", { organizationId: OTHER_ORGANIZATION });
    expect((await as(stranger, "DELETE", `${PATH}/${theirs.id}`)).status).toBe(404);
    const { token } = await makeToken(app.db, admin.id);
    await app.db
      .sql`update access_tokens set organization_ids = ${[ORGANIZATION, OTHER_ORGANIZATION]} where id = ${theirs.id}`;
    const all = (await as(token, "GET", `${PATH}?all=true`)).body.data;
    expect(all.find(({ id }: { id: string }) => id === theirs.id)?.organization_ids).toEqual([ORGANIZATION]);
    expect((await as(token, "GET", PATH)).body.data).toHaveLength(1);
    expect((await as(token, "DELETE", `${PATH}/${theirs.id}`)).status).toBe(204);
    expect((await as(theirs.token, "GET", "/agents")).status).toBe(401);
  });
});

test("without authentication a token would open nothing, and none is made", async () => {
  const open = await testApp();
  const statements: string[] = [];
  open.db.sql.options.debug = (_connection, text) => void statements.push(text);
  expect((await open.call("GET", "/agents/config", undefined, bearer("whatever"))).status).toBe(200);
  expect(statements).toEqual([]);
  const answer = await open.post("/auth/personal-access-tokens", { name: "x" });
  expect([answer.status, answer.body.code]).toEqual([409, "conflict"]);
  const { status } = await open.call("GET", "/agents", undefined, bearer("whatever"));
  expect(status).toBe(200);
  await open.close();
});

test("with one admin, who else has a token is refused", async () => {
  const user = await makeUser(app.db, { email: "admin@example.com" });
  const one = await testApp({ access: { mode: "admin", adminEmail: user.email }, db: app.db });
  const { token } = await makeToken(app.db, user.id);
  const get = (text: string) => one.call("GET", "/agents", undefined, bearer(text));
  expect([(await get(token)).status, (await get(owner.token)).status]).toEqual([200, 401]);
  expect((await one.get("//health")).body.auth_mode).toBe("Admin");
  await one.close();
});
