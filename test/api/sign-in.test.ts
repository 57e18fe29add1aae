/** Signing in, staying signed in and signing out: by tokens in bodies, and by cookies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createJwts } from "../../src/api/access/jwts.ts";
import { manualClock, systemClock } from "../../src/base/clock.ts";
import { type Answer, ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { bearer, makeToken, makeUser } from "../support/callers.ts";

const PASSWORD = "correct horse battery";

let app: TestApp;
let user: { id: string; email: string };
beforeAll(async () => {
  app = await testApp({ access: { isSignupOpen: true } });
  user = await makeUser(app.db, {
    role: "member",
    email: "ada@example.com",
    passwordHash: await app.access.passwords.hash(PASSWORD),
  });
});
afterAll(() => app.close());

const post = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
  app.call("POST", path, body, headers);
const login = async (): Promise<{ access_token: string; refresh_token: string; answer: Answer }> => {
  const answer = await post("/auth/login", { email: user.email, password: PASSWORD });
  expect(answer.status).toBe(200);
  return { ...answer.body, answer };
};
const me = (token: string) => app.call("GET", "/auth/me", undefined, bearer(token));
/** `name=value` of every cookie that an answer sets. */
const cookiesOf = (answer: Answer) =>
  answer.headers
    .getSetCookie()
    .map((cookie) => cookie.split(";")[0])
    .join("; ");

describe("POST /v1/auth/login", () => {
  test("gives an access token that opens what the role allows", async () => {
    const { access_token, answer } = await login();
    expect(answer.body).toMatchObject({
      token_type: "Bearer",
      expires_in: 900,
      user: {
        id: user.id,
        email: user.email,
        organization_id: ORGANIZATION,
        role: "member",
        roles: ["member"],
      },
    });
    expect(answer.headers.get("cache-control")).toBe("no-store");
    expect((await me(access_token)).body).toEqual(answer.body.user);
    const agent = { name: "by-login", system_prompt: "x" };
    expect((await app.call("POST", "/agents", agent, bearer(access_token))).status).toBe(201);
    expect((await app.call("POST", "/providers", {}, bearer(access_token))).status).toBe(403);
    expect((await app.call("GET", "/agents", undefined, { authorization: access_token })).status).toBe(401);
  });

  test("takes the address in any case, and says no more than that something is wrong", async () => {
    expect((await post("/auth/login", { email: " ADA@Example.com", password: PASSWORD })).status).toBe(200);
    const wrong = await post("/auth/login", { email: user.email, password: "wrong" });
    const nobody = await post("/auth/login", { email: "nobody@example.com", password: PASSWORD });
    const anonymous = await post("/auth/login", { email: "anonymous@localhost", password: PASSWORD });
    const without = await makeUser(app.db);
    const passwordless = await post("/auth/login", { email: without.email, password: "" });
    for (const answer of [wrong, nobody, anonymous, passwordless]) {
      expect([answer.status, answer.body.code, answer.body.detail]).toEqual([
        401,
        "unauthorized",
        "the e-mail address or the password is wrong",
      ]);
    }
  });

  test("a token is refused when it is another's, another kind's, unsigned, or too old", async () => {
    const { access_token, refresh_token } = await login();
    const login_id = JSON.parse(atob(access_token.split(".")[1] ?? "")).login;
    const claims = { sub: user.id, login: login_id };
    const key = new Uint8Array(32).fill(9);
    const past = manualClock(new Date(Date.now() - 16 * 60_000));
    const unsigned = `${btoa('{"alg":"none"}')}.${access_token.split(".")[1]}.`.replaceAll("=", "");
    const tokens = {
      own: await createJwts(key, systemClock).sign("access", claims, 60),
      other: await createJwts(new Uint8Array(32).fill(8), systemClock).sign("access", claims, 60),
      old: await createJwts(key, past).sign("access", claims, 900),
      unsigned,
      refresh: refresh_token,
    };
    const statuses = await Promise.all(Object.values(tokens).map(async (token) => (await me(token)).status));
    expect(statuses).toEqual([200, 401, 401, 401, 401]);
  });
});

describe("POST /v1/auth/refresh", () => {
  const refresh = (refresh_token: string) => post("/auth/refresh", { refresh_token });

  test("gives new tokens; the new one goes on", async () => {
    const first = await login();
    const second = await refresh(first.refresh_token);
    expect(second.status).toBe(200);
    expect((await me(second.body.access_token)).status).toBe(200);
    expect((await refresh(second.body.refresh_token)).status).toBe(200);
  });

  test("twice at the same moment is two tabs; later it is a thief, and the sign-in ends", async () => {
    const first = await login();
    const second = await refresh(first.refresh_token);
    expect((await refresh(first.refresh_token)).status).toBe(200);
    await app.db.sql`update logins set rotated_at = rotated_at - interval '11 seconds'`;
    expect((await refresh(first.refresh_token)).status).toBe(401);
    // Whoever has the newer one is out, too.
    expect((await refresh(second.body.refresh_token)).status).toBe(401);
    expect((await me(second.body.access_token)).status).toBe(401);
  });

  test("with a token from long ago ends the sign-in even within the grace of the newest", async () => {
    const first = await login();
    const second = await refresh(first.refresh_token);
    const third = await refresh(second.body.refresh_token);
    expect((await refresh(first.refresh_token)).status).toBe(401);
    expect((await me(third.body.access_token)).status).toBe(401);
  });

  test("many at once renew once and none is taken for a thief", async () => {
    const { refresh_token } = await login();
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(refresh_token)));
    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200));
    const newest = new Set(
      answers.map(({ body }) => JSON.parse(atob(body.refresh_token.split(".")[1])).generation),
    );
    expect([...newest]).toEqual([2]);
  });

  test("refuses an access token, rubbish, nothing, and what is over", async () => {
    const { access_token, refresh_token } = await login();
    await app.db.sql`update logins set expires_at = now()`;
    for (const body of [
      { refresh_token: access_token },
      { refresh_token: "x" },
      {},
      undefined,
      { refresh_token },
    ]) {
      expect([body, (await post("/auth/refresh", body)).status]).toEqual([body, 401]);
    }
  });
});

describe("POST /v1/auth/logout", () => {
  test("ends the sign-in at once, by either token; twice is no error", async () => {
    const [one, two] = [await login(), await login()];
    expect((await post("/auth/logout", { refresh_token: one.refresh_token })).body).toEqual({
      success: true,
    });
    expect((await me(one.access_token)).status).toBe(401);
    expect((await me(two.access_token)).status).toBe(200);
    expect((await post("/auth/logout", undefined, bearer(two.access_token))).status).toBe(200);
    expect((await me(two.access_token)).status).toBe(401);
    expect((await post("/auth/refresh", { refresh_token: two.refresh_token })).status).toBe(401);
    expect((await post("/auth/logout", undefined, bearer(two.access_token))).status).toBe(200);
    expect((await post("/auth/logout")).status).toBe(200);
  });
});

describe("POST /v1/auth/password", () => {
  const change = (token: string, current_password: string | undefined, new_password: string) =>
    post("/auth/password", { current_password, new_password }, bearer(token));
  const signIn = (email: string, password: string) => post("/auth/login", { email, password });
  const person = async () => {
    const made = await makeUser(app.db, { passwordHash: await app.access.passwords.hash(PASSWORD) });
    return { ...made, token: (await signIn(made.email, PASSWORD)).body.access_token as string };
  };

  test("ends every other sign-in and goes on with a new one; access tokens stay", async () => {
    const { id, email, token } = await person();
    const program = await makeToken(app.db, id);
    const changed = await change(token, PASSWORD, "another password");
    expect(changed.status).toBe(200);
    expect((await me(token)).status).toBe(401);
    expect((await me(changed.body.access_token)).status).toBe(200);
    expect((await me(program.token)).status).toBe(200);
    expect((await signIn(email, PASSWORD)).status).toBe(401);
    expect((await signIn(email, "another password")).status).toBe(200);
  });

  test("needs the one that was, a sign-in, and one that is long enough", async () => {
    const { id, token } = await person();
    expect((await change(token, "wrong", "another password")).status).toBe(403);
    expect((await change(token, undefined, "another password")).status).toBe(403);
    expect((await change(token, PASSWORD, "short")).status).toBe(400);
    expect((await change((await makeToken(app.db, id)).token, PASSWORD, "another password")).status).toBe(
      403,
    );
    expect((await me(token)).status).toBe(200);
  });

  test("may be the first for who signs in at an OpenID provider", async () => {
    const { id, email, token } = await person();
    await app.db
      .sql`update users set password_hash = null, auth_provider = 'corp', auth_subject = ${id} where id = ${id}`;
    expect((await change(token, undefined, "a first password")).status).toBe(200);
    expect((await signIn(email, "a first password")).status).toBe(200);
    const { auth_provider } = (await me((await signIn(email, "a first password")).body.access_token)).body;
    expect(auth_provider).toBe("corp");
  });
});

describe("cookies", () => {
  const here = { host: "runs.example.com", origin: "https://runs.example.com" };

  test("are hidden from scripts, stay on this site, and are secure when the page is", async () => {
    const answer = await post("/auth/login", { email: user.email, password: PASSWORD }, here);
    expect(answer.headers.getSetCookie().map((cookie) => cookie.replace(/=[^;]+/, "=…"))).toEqual([
      "access_token=…; Path=/; Max-Age=900; HttpOnly; SameSite=Lax; Secure",
      "refresh_token=…; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
    ]);
    const plain = (await login()).answer.headers.getSetCookie();
    expect(plain.some((cookie) => cookie.includes("Secure"))).toBe(false);
  });

  test("read from anywhere, and change only from a page of ours", async () => {
    const cookie = cookiesOf((await login()).answer);
    let made = 0;
    const create = (headers: Record<string, string>) => {
      made += 1;
      return post("/agents", { name: `cookie-${made}`, system_prompt: "x" }, { cookie, ...headers });
    };
    const cases: [headers: Record<string, string>, status: number][] = [
      [here, 201],
      [{ host: "runs.example.com", "sec-fetch-site": "same-origin" }, 201],
      [{ host: "runs.example.com" }, 403],
      [{ host: "runs.example.com", origin: "https://evil.example.com" }, 403],
      [{ host: "runs.example.com", origin: "https://runs.example.com.evil.com" }, 403],
      [{ host: "runs.example.com", origin: "https://runs.example.com:444" }, 403],
      [{ host: "runs.example.com", origin: "null" }, 403],
      [{ host: "runs.example.com", "sec-fetch-site": "same-site" }, 403],
      [{ host: "runs.example.com", "sec-fetch-site": "none" }, 403],
    ];
    for (const [headers, status] of cases) {
      expect([headers, (await create(headers)).status]).toEqual([headers, status]);
      const read = await app.call("GET", "/agents", undefined, { cookie, ...headers });
      expect([headers, read.status]).toEqual([headers, 200]);
    }
  });

  test("are renewed by a page of ours alone, and the answer keeps the refresh token from scripts", async () => {
    const cookie = cookiesOf((await login()).answer);
    expect(
      (await post("/auth/refresh", undefined, { cookie, ...here, origin: "https://evil.com" })).status,
    ).toBe(403);
    const renewed = await post("/auth/refresh", undefined, { cookie, ...here });
    expect([renewed.status, "refresh_token" in renewed.body]).toEqual([200, false]);
    expect(cookiesOf(renewed)).toContain("refresh_token=ey");
  });

  test("go away with signing out", async () => {
    const { answer, access_token } = await login();
    const cookie = cookiesOf(answer);
    const out = await post("/auth/logout", undefined, { cookie, ...here });
    expect(cookiesOf(out)).toBe("access_token=; refresh_token=");
    expect((await me(access_token)).status).toBe(401);
    expect((await app.call("GET", "/agents", undefined, { cookie })).status).toBe(401);
  });
});

describe("POST /v1/auth/register", () => {
  const grace = { email: "Grace@example.com", password: PASSWORD, name: "Grace" };

  test("makes an account with an organization of its own, where everything works", async () => {
    const answer = await post("/auth/register", grace);
    expect(answer.status).toBe(201);
    const { access_token: token, user: made } = answer.body;
    expect(made).toMatchObject({ email: "grace@example.com", name: "Grace", role: "owner" });
    expect(made.scopes).toEqual(["read", "write", "admin"]);
    expect(made.organization_id).not.toBe(ORGANIZATION);
    const models = await app.call("GET", "/models", undefined, bearer(token));
    expect(models.body.data.length).toBeGreaterThan(0);
    expect((await app.call("POST", "/sessions", {}, bearer(token))).status).toBe(201);
    expect((await app.call("GET", "/agents", undefined, bearer(token))).body.total).toBe(0);
    const elsewhere = bearer(token, { "x-org-id": ORGANIZATION });
    expect((await app.call("GET", "/agents", undefined, elsewhere)).status).toBe(404);
    // The owner of an organization is not the one who looks after the installation.
    expect((await app.call("GET", "//metrics", undefined, bearer(token))).status).toBe(403);
  });

  test("refuses what it must", async () => {
    const cases: [object, number, string][] = [
      [{ ...grace, name: "Again" }, 409, "conflict"],
      [{ ...grace, email: "no address" }, 400, "invalid_request"],
      [{ ...grace, password: "short" }, 400, "invalid_request"],
      [{ email: "x@example.com", password: PASSWORD }, 400, "invalid_request"],
    ];
    for (const [body, status, code] of cases) {
      const answer = await post("/auth/register", body);
      expect([body, answer.status, answer.body.code]).toEqual([body, status, code]);
    }
  });

  test("is closed unless the operator opened it", async () => {
    const closed = await testApp({ access: {} });
    expect((await closed.call("POST", "/auth/register", grace)).status).toBe(403);
    expect((await closed.get("/auth/config")).body).toEqual({
      mode: "full",
      password_auth_enabled: true,
      oauth_providers: [],
      signup_enabled: false,
    });
    await closed.close();
  });
});

test("guessing is slow: 10 sign-ins, 5 registrations and 30 refreshes a minute from one address", async () => {
  // Time stands still, however long the passwords take.
  const other = await testApp({ access: { isSignupOpen: true }, clock: manualClock() });
  const flood = async (path: string, count: number) => {
    let answer: Response | null = null;
    for (let tries = 0; tries <= count; tries += 1) {
      const request = new Request(`http://localhost/v1${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ email: "nobody", password: "12345678", name: "", refresh_token: "x" }),
      });
      other.addresses.note(request, "192.0.2.7");
      answer = await other.app.handle(request);
      if (tries < count) expect([path, tries, answer.status === 429]).toEqual([path, tries, false]);
    }
    expect([path, answer?.status, Number(answer?.headers.get("retry-after"))]).toEqual([
      path,
      429,
      expect.any(Number),
    ]);
    expect(Number(answer?.headers.get("retry-after"))).toBeGreaterThan(0);
  };
  await flood("/auth/login", 10);
  await flood("/auth/refresh", 30);
  await other.close();
});

test("without authentication nobody signs in, and everybody is somebody", async () => {
  const open = await testApp();
  expect((await open.post("/auth/login", { email: user.email, password: PASSWORD })).status).toBe(403);
  expect((await open.get("/auth/config")).body.mode).toBe("none");
  expect((await open.get("/auth/me")).body).toMatchObject({ email: "anonymous@localhost", role: "owner" });
  await open.close();
});

test("with one admin nobody else signs in, or goes on being signed in from before", async () => {
  const { access_token, refresh_token } = await login();
  const only = async (adminEmail: string) => {
    const one = await testApp({ db: app.db, access: { mode: "admin", adminEmail } });
    const status = async (path: string, body: unknown) => (await one.call("POST", path, body)).status;
    const statuses = [
      await status("/auth/login", { email: user.email, password: PASSWORD }),
      (await one.call("GET", "/auth/me", undefined, bearer(access_token))).status,
      await status("/auth/refresh", { refresh_token }),
    ];
    await one.close();
    return statuses;
  };
  expect(await only("admin@example.com")).toEqual([401, 401, 401]);
  expect(await only(user.email)).toEqual([200, 200, 200]);
});
