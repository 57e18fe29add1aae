/** Signing in at an OpenID provider: there, back, and what does not come back right. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Access } from "../../src/api/access/access.ts";
import { type Answer, ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeUser } from "../support/callers.ts";
import { OPENID_CLIENT, type OpenIdProvider, startOpenIdProvider } from "../support/openid.ts";

let provider: OpenIdProvider;
let app: TestApp;
beforeAll(async () => {
  provider = await startOpenIdProvider();
  app = await appWith("member");
});
afterAll(async () => {
  provider.stop();
  await app.close();
});
beforeEach(() => {
  Object.assign(provider, { isForged: false, isTerse: false });
  provider.person = somebody();
});

let people = 0;
const somebody = (more: Record<string, unknown> = {}) => {
  people += 1;
  return {
    sub: `sub-${people}`,
    email: `p${people}@example.com`,
    email_verified: true,
    name: `P ${people}`,
    ...more,
  };
};
const appWith = (role: "member" | null, more: Partial<Access> = {}) =>
  testApp({
    access: {
      publicUrl: "https://runs.example.com",
      oidc: {
        name: "corp",
        issuer: provider.issuer,
        clientId: OPENID_CLIENT.id,
        clientSecret: OPENID_CLIENT.secret,
        role,
      },
      ...more,
    },
  });
const cookiesOf = (answer: Answer) =>
  answer.headers
    .getSetCookie()
    .map((cookie) => cookie.split(";")[0])
    .join("; ");

/** The browser's way to the provider and back. */
async function travel(
  at: TestApp = app,
  options: { returnTo?: string; change?: (back: URL) => void; cookie?: string } = {},
): Promise<Answer> {
  const query = options.returnTo === undefined ? "" : `?return_to=${encodeURIComponent(options.returnTo)}`;
  const there = await at.get(`/auth/oauth/corp${query}`);
  expect(there.status).toBe(302);
  const back = await provider.consent(there.headers.get("location") ?? "");
  expect(back.origin + back.pathname).toBe("https://runs.example.com/v1/auth/callback/corp");
  options.change?.(back);
  const cookie = options.cookie ?? cookiesOf(there);
  return at.call("GET", `/auth/callback/corp${back.search}`, undefined, { cookie });
}
const me = async (answer: Answer, at: TestApp = app) =>
  (await at.call("GET", "/auth/me", undefined, { cookie: cookiesOf(answer) })).body;

test("leads to the provider and back, and the browser is signed in", async () => {
  const answer = await travel(app, { returnTo: "/sessions?x=1#y" });
  expect([answer.status, answer.headers.get("location")]).toEqual([302, "/sessions?x=1#y"]);
  expect(
    answer.headers.getSetCookie().every((cookie) => /HttpOnly; SameSite=\w+; Secure$/.test(cookie)),
  ).toBe(true);
  expect(answer.headers.getSetCookie().join()).toContain("everruns_oidc=; Path=/; Max-Age=0");
  expect(await me(answer)).toMatchObject({
    email: provider.person.email,
    name: provider.person.name,
    auth_provider: "corp",
    organization_id: ORGANIZATION,
    role: "member",
  });
  expect((await app.get("/auth/config")).body.oauth_providers).toEqual(["corp"]);
});

test("the same person is the same user, whatever their address is now", async () => {
  const first = await me(await travel());
  provider.person = { ...provider.person, email: "moved@example.com", email_verified: false };
  expect((await me(await travel())).id).toBe(first.id);
});

test("what the ID token leaves out is asked for", async () => {
  provider.isTerse = true;
  expect((await me(await travel())).email).toBe(provider.person.email);
});

describe("where the browser ends up", () => {
  for (const [said, expected] of [
    ["//evil.com", "/"],
    ["/\\evil.com", "/"],
    ["https://evil.com", "/"],
    ["javascript:alert(1)", "/"],
    ["/a/../b", "/b"],
    ["/.//evil.com/login", "/"],
    ["/..//evil.com", "/"],
    ["/%2e//evil.com", "/"],
    ["/\r\nset-cookie: x=1", "/set-cookie:%20x=1"],
  ] as const) {
    test(`${JSON.stringify(said)} leads to ${expected}`, async () => {
      expect((await travel(app, { returnTo: said })).headers.get("location")).toBe(expected);
    });
  }
});

describe("what comes back wrong", () => {
  const wrong: [what: string, act: () => Promise<Answer>][] = [
    ["another state", () => travel(app, { change: (back) => back.searchParams.set("state", "x") })],
    ["no state", () => travel(app, { change: (back) => back.searchParams.delete("state") })],
    [
      "another issuer in the answer",
      () => travel(app, { change: (back) => back.searchParams.set("iss", "https://evil.com") }),
    ],
    ["no issuer in the answer", () => travel(app, { change: (back) => back.searchParams.delete("iss") })],
    ["another code", () => travel(app, { change: (back) => back.searchParams.set("code", "x") })],
    ["a refusal", () => travel(app, { change: (back) => back.searchParams.set("error", "access_denied") })],
    ["no cookie", () => travel(app, { cookie: "" })],
    ["a cookie that we did not make", () => travel(app, { cookie: "everruns_oidc=a.b.c" })],
    ["a token of another issuer", () => travelAs({ iss: "https://evil.example.com" })],
    ["a token for another client", () => travelAs({ aud: "another" })],
    ["a token for two clients", () => travelAs({ aud: ["everruns", "another"] })],
    ["a token of another sign-in", () => travelAs({ nonce: "another" })],
    ["a token that is over", () => travelAs({ exp: Math.floor(Date.now() / 1_000) - 3_600 })],
    ["a token without a subject", () => travelAs({ sub: undefined })],
    [
      "a forged token",
      () => {
        provider.isForged = true;
        return travel();
      },
    ],
  ];
  const travelAs = (claims: object) => {
    provider.person = { ...provider.person, ...claims };
    return travel();
  };
  for (const [what, act] of wrong) {
    test(`${what} is 401, and nobody is signed in`, async () => {
      const answer = await act();
      expect([answer.status, answer.body.code]).toEqual([401, "unauthorized"]);
      expect(answer.headers.getSetCookie()).toEqual([]);
      const { email } = provider.person as { email: string };
      expect(await app.db.sql`select from users where email = ${email}`).toHaveLength(0);
    });
  }

  test("the same answer twice is good for one sign-in", async () => {
    const there = await app.get("/auth/oauth/corp");
    const back = await provider.consent(there.headers.get("location") ?? "");
    const come = () =>
      app.call("GET", `/auth/callback/corp${back.search}`, undefined, { cookie: cookiesOf(there) });
    expect([(await come()).status, (await come()).status]).toEqual([302, 401]);
  });
});

describe("who gets in", () => {
  test("a user whom an admin made, by the address that both sides know to be theirs", async () => {
    const user = await makeUser(app.db, { role: "admin" });
    provider.person = somebody({ email: user.email.toUpperCase() });
    expect(await me(await travel())).toMatchObject({ id: user.id, role: "admin", auth_provider: "corp" });
    // Another person of the provider with the same address is not them.
    provider.person = somebody({ email: user.email });
    expect((await travel()).status).toBe(409);
  });

  test("not with an address that nobody proved", async () => {
    for (const claims of [
      { email_verified: false },
      { email_verified: "true" },
      { email_verified: undefined },
    ]) {
      provider.person = somebody(claims);
      expect([claims, (await travel()).status]).toEqual([claims, 403]);
    }
    const squatter = await makeUser(app.db, { email: "victim@example.com" });
    await app.db.sql`update users set is_email_verified = false where id = ${squatter.id}`;
    provider.person = somebody({ email: "victim@example.com" });
    expect((await travel()).status).toBe(409);
  });

  test("without a role for new people nobody new, unless one may sign up", async () => {
    const strict = await appWith(null);
    expect((await travel(strict)).status).toBe(403);
    await strict.close();
    const open = await appWith(null, { isSignupOpen: true });
    const user = await me(await travel(open), open);
    expect(user).toMatchObject({ email: provider.person.email, role: "owner" });
    expect(user.organization_id).not.toBe(ORGANIZATION);
    await open.close();
  });
});

test("another provider, or none, is 404; one that does not answer is 503", async () => {
  expect((await app.get("/auth/oauth/other")).status).toBe(404);
  const none = await testApp({ access: {} });
  expect((await none.get("/auth/oauth/corp")).status).toBe(404);
  await none.close();
  const away = await appWith("member", {
    oidc: { name: "corp", issuer: "http://127.0.0.1:1", clientId: "x", clientSecret: "x", role: null },
  });
  const answer = await away.get("/auth/oauth/corp");
  expect([answer.status, answer.body.code]).toEqual([503, "unavailable"]);
  await away.close();
});

test("no secret of the provider reaches the log", async () => {
  await travel(app, { change: (back) => back.searchParams.set("code", "wrong") });
  expect(app.logged.join("\n")).not.toContain(OPENID_CLIENT.secret);
  expect(app.logged.some((line) => line.includes("sign-in at the OpenID provider failed"))).toBe(true);
  expect((await app.call("GET", "/agents", undefined, bearer("x"))).status).toBe(401);
});
