/** Servers by name, the tokens for them, and who is who. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverOf } from "../../cli/contexts.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { makeToken, makeUser } from "../support/callers.ts";
import { hasTmux, openTerminal } from "../tui/support/tmux.ts";
import { runCli } from "./support.ts";

let app: TestApp;
let server: Bun.Server<undefined>;
let url: string;
let token: string;
let directory: string;
let env: Record<string, string>;
beforeAll(async () => {
  app = await testApp({ access: {} });
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => app.app.fetch(request) });
  url = `http://127.0.0.1:${server.port}`;
  const user = await makeUser(app.db, { role: "member", email: "ada@example.com" });
  token = (await makeToken(app.db, user.id, { scopes: ["read", "write"] })).token;
});
afterAll(async () => {
  await server.stop(true);
  await app.close();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "everruns-test-"));
  env = { EVERRUNS_CONFIG: join(directory, "deep/config.json") };
});
afterEach(() => rmSync(directory, { recursive: true }));
const login = (...args: string[]) =>
  runCli(["login", "--api-url", url, ...args], { env, stdin: `${token}\n` });

describe("everruns login", () => {
  test("takes a token from stdin, keeps it for its owner alone, and makes the server the current one", async () => {
    const before = await runCli(["agents", "--api-url", url], { env });
    expect({ code: before.code, stderr: before.stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining(
        "set EVERRUNS_API_KEY to a key of this server, or sign in with everruns login",
      ),
    });
    const done = await login("--name", "test");
    expect({ code: done.code, stdout: done.stdout }).toEqual({ code: 0, stdout: "" });
    expect(done.stderr).toStartWith(`signed in to ${url} as ada@example.com\n`);
    expect(done.stderr).not.toContain(token);
    const path = env.EVERRUNS_CONFIG ?? "";
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "deep")).mode & 0o777).toBe(0o700);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({
      current: "test",
      contexts: { test: { api_url: url, token } },
    });
    expect((await runCli(["agents"], { env })).stderr).toBe("there are no agents yet\n");
    const who = await runCli(["whoami", "--json"], { env });
    expect(JSON.parse(who.stdout)).toMatchObject({
      email: "ada@example.com",
      role: "member",
      context: "test",
      api_url: url,
    });
    expect(
      (await runCli(["contexts"], { env })).stdout.split("\n").map((line) => line.split(/ {2,}/)),
    ).toEqual([["", "NAME", "SERVER", "TOKEN"], ["*", "test", url, "yes"], [""]]);
  });

  test("stores nothing when the token opens nothing", async () => {
    const refused = await runCli(["login", "--api-url", url], { env, stdin: "evr_pat_wrong" });
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 1,
      stderr: `everruns: ${url} does not accept the token; everruns login takes another\n`,
    });
    expect(existsSync(env.EVERRUNS_CONFIG ?? "")).toBe(false);
    expect((await runCli(["login", "--api-url", url], { env, stdin: "" })).code).toBe(2);
  });

  test.skipIf(!hasTmux)(
    "with a password the token may do what its owner may, or what --scopes says",
    async () => {
      const passwordHash = await Bun.password.hash("correct horse", {
        algorithm: "argon2id",
        memoryCost: 8,
        timeCost: 1,
      });
      await makeUser(app.db, { role: "owner", email: "grace@example.com", passwordHash });
      const signIn = async (...args: string[]) => {
        const program = [process.execPath, "--no-env-file", "cli/everruns.ts", "login", "--api-url", url];
        const terminal = openTerminal([...program, "--email", "grace@example.com", ...args], {
          columns: 120,
          env,
        });
        await terminal.until("Password of grace@example.com:");
        terminal.type("correct horse", "Enter");
        const screen = await terminal.until(/exit code \d/);
        terminal.close();
        return screen;
      };
      const may = async () => /^may +(.*)$/m.exec((await runCli(["whoami"], { env })).stdout)?.[1];
      expect(await signIn()).toContain("signed in to");
      expect(await may()).toBe("read, write, admin");
      expect((await runCli(["workers"], { env })).code).toBe(0);
      await signIn("--scopes", "read");
      expect(await may()).toBe("read");
      const refused = await runCli(["keys", "create", "x"], { env });
      expect(refused.code).not.toBe(0);
      expect(await signIn("--scopes", "everything")).toContain("--scopes takes read, write, admin");
    },
  );

  test("who has no token is told so", async () => {
    expect(await runCli(["whoami", "--api-url", url], { env })).toEqual({
      code: 1,
      stdout: "",
      stderr: `everruns: there is no token for ${url}; everruns login takes one\n`,
    });
  });

  test("a password is asked for in a terminal only", async () => {
    const refused = await runCli(["login", "--api-url", url, "--email", "ada@example.com"], {
      env,
      stdin: "secret",
    });
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining("typed in a terminal"),
    });
  });

  test("logout forgets the token, remove the server", async () => {
    await login("--name", "test");
    await runCli(["logout"], { env });
    expect(readFileSync(env.EVERRUNS_CONFIG ?? "", "utf8")).not.toContain(token);
    expect((await runCli(["whoami"], { env })).code).toBe(1);
    await runCli(["contexts", "remove", "test"], { env });
    expect((await runCli(["contexts"], { env })).stderr).toContain("there are no contexts yet");
    expect((await runCli(["contexts", "use", "test"], { env })).stderr).toContain("there is no context test");
  });
});

describe("which server", () => {
  const file = {
    current: "one",
    contexts: {
      one: { api_url: "http://one", token: "T1" },
      two: { api_url: "http://two", token: "T2", organization_id: "org_2" },
    },
  };
  const of = async (more: Record<string, string>, flags: { apiUrl?: string; context?: string } = {}) => {
    const path = join(directory, "config.json");
    await Bun.write(path, JSON.stringify(file));
    const { baseUrl, apiKey, organizationId } = serverOf({ EVERRUNS_CONFIG: path, ...more }, flags);
    return [baseUrl, apiKey, organizationId];
  };

  test("flags go before the environment, the environment before the file", async () => {
    expect(await of({})).toEqual(["http://one", "T1", null]);
    expect(await of({ EVERRUNS_CONTEXT: "two" })).toEqual(["http://two", "T2", "org_2"]);
    expect(await of({ EVERRUNS_API_URL: "http://three" }, { context: "two" })).toEqual([
      "http://two",
      "T2",
      "org_2",
    ]);
    expect(await of({ EVERRUNS_API_KEY: "mine", EVERRUNS_ORG_ID: "org_3" })).toEqual([
      "http://one",
      "mine",
      "org_3",
    ]);
  });

  test("a stored token goes to its own server and to no other", async () => {
    expect(await of({ EVERRUNS_API_URL: "http://three" })).toEqual(["http://three", null, null]);
    expect(await of({}, { apiUrl: "http://two" })).toEqual(["http://two", null, null]);
    // Its own, however it is named.
    expect(await of({}, { apiUrl: "http://one/" })).toEqual(["http://one", "T1", null]);
    expect(await of({ EVERRUNS_API_URL: "http://two", EVERRUNS_CONTEXT: "two" })).toEqual([
      "http://two",
      "T2",
      "org_2",
    ]);
    expect(await of({ EVERRUNS_API_KEY: "mine" }, { apiUrl: "http://one" })).toEqual([
      "http://one",
      "mine",
      null,
    ]);
  });

  test("a name that is not there is told with those that are", async () => {
    await expect(of({}, { context: "zwei" })).rejects.toThrow("there is no context zwei; there are one, two");
    await expect(of({}, { context: "constructor" })).rejects.toThrow("there is no context constructor");
  });

  test("a file that cannot be read says where it is", async () => {
    const path = join(directory, "broken.json");
    await Bun.write(path, "{");
    expect(() => serverOf({ EVERRUNS_CONFIG: path }, {})).toThrow(`${path} cannot be read`);
  });
});
