/** The executable with authentication: it listens to others, the configured admin gets in, and what they carry lasts. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { workDirectory } from "../embedded/support/clusters.ts";
import { makeUser } from "../support/callers.ts";
import { type RunningServer, runExecutable, serveExecutable } from "../support/executable.ts";
import { OPENID_CLIENT, startOpenIdProvider } from "../support/openid.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { type DatabaseUrl, databaseUrl } from "./support/database-url.ts";

const EMAIL = "root@example.com";
const work = workDirectory();
const cwd = work.fresh("empty");
let database: TestDatabase;
let address: DatabaseUrl;
let server: RunningServer | null = null;
beforeAll(async () => {
  database = await testDatabase();
  address = await databaseUrl(database.address);
});
afterEach(async () => {
  await server?.kill();
  server = null;
});
afterAll(async () => {
  await address.stop();
  await database.drop();
  work.remove();
});

const envOf = (more: Record<string, string>) => ({
  DATABASE_URL: address.url,
  EVERRUNS_DATA_DIR: `${cwd}/data`,
  ...more,
});
const adminWith = (password: string) =>
  envOf({ AUTH_MODE: "admin", AUTH_ADMIN_EMAIL: EMAIL, AUTH_ADMIN_PASSWORD: password });

/** Listens on every address of the machine. @returns how to call it */
async function serve(env: Record<string, string>) {
  server = await serveExecutable(["--host", "0.0.0.0", "--workers", "1"], { cwd, env });
  const url = server.url.replace("0.0.0.0", "127.0.0.1");
  const call = async (method: string, path: string, token: string | null, body?: unknown) => {
    const answer = await fetch(`${url}/v1${path}`, {
      method,
      redirect: "manual",
      headers: {
        "content-type": "application/json",
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text === "" ? null : JSON.parse(text) };
  };
  const login = (password: string) => call("POST", "/auth/login", null, { email: EMAIL, password });
  return { url, call, login };
}

describe("one admin", () => {
  test("signs in, makes a token, and the command line works with it; what they carry outlives a restart", async () => {
    const first = await serve(adminWith("first password"));
    expect(server?.output()).toContain(`access    ${EMAIL} alone`);
    expect((await first.call("GET", "/agents", null)).status).toBe(401);
    const signedIn = (await first.login("first password")).body;
    const made = await first.call("POST", "/auth/personal-access-tokens", signedIn.access_token, {
      name: "cli",
    });
    const env = { EVERRUNS_API_URL: first.url, EVERRUNS_API_KEY: made.body.token };
    const ran = await runExecutable(["run", "hello"], { cwd, env });
    expect([ran.code, ran.stdout.trim() !== ""]).toEqual([0, true]);
    const refused = await runExecutable(["run", "hello"], { cwd, env: { EVERRUNS_API_URL: first.url } });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("EVERRUNS_API_KEY")]);
    expect(server?.output()).not.toContain(made.body.token);
    expect(server?.output()).not.toContain("first password");
    expect(await server?.stop()).toBe(0);

    const second = await serve(adminWith("first password"));
    expect((await second.call("GET", "/auth/me", signedIn.access_token)).body.email).toBe(EMAIL);
    expect((await second.call("GET", "/auth/me", made.body.token)).status).toBe(200);
  });

  test("looks after their tokens from the command line, over the API", async () => {
    const { url, call, login } = await serve(adminWith("first password"));
    const { access_token: signedIn } = (await login("first password")).body;
    const { body: first } = await call("POST", "/auth/personal-access-tokens", signedIn, {
      name: "first",
      scopes: ["read", "write", "admin"],
    });
    const env = { EVERRUNS_API_URL: url, EVERRUNS_API_KEY: first.token };
    const keys = (...args: string[]) => runExecutable(["keys", ...args], { cwd, env });
    const made = await keys("create", "--name", "reader", "--scopes", "read", "--expires-days", "7");
    expect([made.code, made.stdout, made.stderr]).toEqual([
      0,
      expect.stringMatching(/^evr_pat_\w{49}\n$/),
      expect.stringContaining("not shown again"),
    ]);
    expect(made.stderr).toContain(`at ${url}, read, until 2`);
    const reader = made.stdout.trim();
    expect((await call("GET", "/agents", reader)).status).toBe(200);
    expect((await call("POST", "/agents", reader, { name: "x", system_prompt: "x" })).status).toBe(403);

    const listed = await keys("list", "--json");
    const found = JSON.parse(listed.stdout) as { id: string; name: string; scopes: string[] }[];
    expect(found.map(({ name }) => name)).toEqual(expect.arrayContaining(["reader", "first"]));
    expect(listed.stdout).not.toContain(reader);
    const { id = "" } = found.find(({ name }) => name === "reader") ?? {};
    expect((await keys("revoke", id, "--yes")).stdout).toBe(`revoked ${id} of ${url}\n`);
    expect((await call("GET", "/agents", reader)).status).toBe(401);
    expect((await keys("revoke", id, "--yes")).code).toBe(1);
    const both = await keys("list", "--api-url", url, "--user", EMAIL);
    expect([both.code, both.stderr]).toEqual([2, expect.stringContaining("one of them")]);
  });

  test("has the password of the configuration: another one ends what was signed in with the old", async () => {
    const first = await serve(adminWith("first password"));
    const token = (await first.login("first password")).body.access_token;
    await server?.stop();
    const second = await serve(adminWith("second password"));
    expect((await second.call("GET", "/auth/me", token)).status).toBe(401);
    expect((await second.login("first password")).status).toBe(401);
    expect((await second.login("second password")).status).toBe(200);
  });

  test("is nobody who registered with an address that may not be theirs", async () => {
    const squatter = await makeUser(database.db, { email: "boss@example.com", role: "viewer" });
    await database.db.sql`update users set is_email_verified = false where id = ${squatter.id}`;
    const env = { ...adminWith("first password"), AUTH_ADMIN_EMAIL: "boss@example.com" };
    const { code, stderr } = await runExecutable(["serve", "--port", "0"], { cwd, env });
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining("AUTH_ADMIN_EMAIL: the account boss@example.com"),
    ]);
    const [row] = await database.db.sql`select role from memberships where user_id = ${squatter.id}`;
    expect(row?.role).toBe("viewer");
  });
});

test("the executable finds its OpenID provider, and a person comes back signed in", async () => {
  const provider = await startOpenIdProvider();
  provider.person = { sub: "1", email: "ada@example.com", email_verified: true, name: "Ada" };
  const { call, url } = await serve(
    envOf({
      AUTH_MODE: "full",
      AUTH_OIDC_ISSUER: provider.issuer,
      AUTH_OIDC_CLIENT_ID: OPENID_CLIENT.id,
      AUTH_OIDC_CLIENT_SECRET: OPENID_CLIENT.secret,
      AUTH_OIDC_ROLE: "member",
      EVERRUNS_PUBLIC_URL: "http://runs.example.com/",
    }),
  );
  const leave = await call("GET", "/auth/oauth/oidc", null);
  expect(leave.status).toBe(302);
  const back = await provider.consent(leave.headers.get("location") ?? "");
  expect(back.href).toStartWith("http://runs.example.com/v1/auth/callback/oidc?code=");
  const cookie = leave.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const come = await fetch(`${url}/v1/auth/callback/oidc${back.search}`, {
    redirect: "manual",
    headers: { cookie },
  });
  expect(come.status).toBe(302);
  const signedIn = come.headers
    .getSetCookie()
    .map((each) => each.split(";")[0])
    .join("; ");
  const me = await fetch(`${url}/v1/auth/me`, { headers: { cookie: signedIn } });
  expect(await me.json()).toMatchObject({ email: "ada@example.com", role: "member", auth_provider: "oidc" });
  provider.stop();
});
