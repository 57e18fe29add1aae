import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Finding } from "../../cli/doctor/finding.ts";
import packageJson from "../../package.json" with { type: "json" };
import { type ContractServer, startContractServer } from "../client/support/server.ts";
import { runCli } from "./support.ts";

const PASSWORD = "not-to-be-shown";
const { EVERRUNS_TEST_SOCKET } = process.env;

let server: ContractServer;
let dataDir: string;
let env: Record<string, string>;
beforeEach(() => {
  server = startContractServer();
  dataDir = mkdtempSync(join(tmpdir(), "everruns-doctor-"));
  env = { EVERRUNS_API_URL: server.url, EVERRUNS_DATA_DIR: dataDir };
  server.intercept((request) =>
    request.url.endsWith("/health")
      ? Response.json({ status: "ok", version: packageJson.version, auth_mode: "None" })
      : null,
  );
  server.installation.providers.push({
    name: "Simulated",
    provider_type: "llmsim",
    status: "active",
    api_key_set: false,
  });
});
afterEach(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

async function examine(more: Record<string, string> = {}) {
  const { code, stdout, stderr } = await runCli(["doctor", "--json"], { env: { ...env, ...more } });
  const { ok, findings } = JSON.parse(stdout) as { ok: boolean; findings: Finding[] };
  const of = (what: string) => findings.find((finding) => finding.what === what);
  return { code, ok, stderr, findings, of };
}

describe("everruns doctor", () => {
  test("is content with a server that works", async () => {
    const { code, ok, findings } = await examine();
    expect({ code, ok }).toEqual({ code: 0, ok: true });
    const states = Object.fromEntries(findings.map(({ what, state }) => [what, state]));
    expect(states).toEqual({
      configuration: "ok",
      "data directory": "ok",
      disk: "ok",
      "encryption key": "ok",
      database: "ok",
      server: "ok",
      workers: "ok",
      providers: "ok",
    });
  });

  test("prints a mark, what it found, and what to type next", async () => {
    const { stdout, code } = await runCli(["doctor"], { env });
    expect(code).toBe(0);
    expect(stdout).toContain(`✓ server         ${server.url}, version ${packageJson.version}\n`);
    expect(stdout).toContain("✓ database       none runs here; the server has one elsewhere\n");
  });

  test("starts no database and makes no file", async () => {
    await examine();
    expect([...new Bun.Glob("**").scanSync({ cwd: dataDir, dot: true })]).toEqual([]);
  });

  test("says what to start when nothing answers", async () => {
    await server.stop();
    const { code, of } = await examine();
    expect(code).toBe(1);
    expect(of("server")).toMatchObject({
      state: "bad",
      found: `nothing answers at ${server.url}`,
      next: expect.stringContaining("everruns serve"),
    });
    expect(of("database")).toMatchObject({ state: "warn", found: "embedded, not made yet" });
  });

  const changes: [string, (server: ContractServer) => void, string, Partial<Finding>][] = [
    [
      "no worker is alive",
      ({ installation }) => {
        installation.workers = 0;
      },
      "workers",
      { state: "bad", found: "none is alive", next: "everruns worker" },
    ],
    [
      "no provider can be used",
      ({ installation }) => installation.providers.splice(0),
      "providers",
      { state: "bad", found: "none can be used" },
    ],
    [
      "a provider has no key",
      ({ installation }) =>
        installation.providers.push({
          name: "OpenAI",
          provider_type: "openai",
          status: "active",
          api_key_set: false,
        }),
      "providers",
      { state: "warn", found: "Simulated; no key for OpenAI" },
    ],
    [
      "a breaker is open",
      ({ intercept }) =>
        intercept((request) =>
          request.url.endsWith("/durable/circuit-breakers")
            ? Response.json({
                data: [
                  { key: "OpenAI:gpt-5", state: "open" },
                  { key: "Anthropic:claude", state: "closed" },
                ],
                total: 2,
              })
            : null,
        ),
      "providers",
      { state: "warn", found: expect.stringContaining("OpenAI:gpt-5 open") as never },
    ],
    [
      "the caller may not see the workers",
      ({ intercept }) =>
        intercept((request) =>
          request.url.includes("/durable/workers")
            ? Response.json({ detail: "only an admin", code: "forbidden" }, { status: 403 })
            : null,
        ),
      "workers",
      { state: "warn", next: expect.stringContaining("everruns whoami") as never },
    ],
    [
      "the server is of another version",
      ({ intercept }) =>
        intercept((request) =>
          request.url.endsWith("/health")
            ? Response.json({ status: "ok", version: "9.9.9", auth_mode: "None" })
            : null,
        ),
      "server",
      { state: "warn", next: "run the same version on both sides" },
    ],
    [
      "the server is not ready",
      ({ intercept }) =>
        intercept((request) =>
          request.url.endsWith("/ready")
            ? Response.json(
                { detail: "the database cannot be reached", code: "unavailable" },
                { status: 503 },
              )
            : null,
        ),
      "server",
      { state: "bad", found: expect.stringContaining("not ready: the database cannot be reached") as never },
    ],
    [
      "something else answers",
      ({ intercept }) => intercept(() => new Response("<h1>hello</h1>")),
      "server",
      { state: "bad", found: expect.stringContaining("is not an everruns server") as never },
    ],
  ];
  for (const [name, change, what, expected] of changes) {
    test(`sees that ${name}`, async () => {
      change(server);
      expect((await examine()).of(what)).toMatchObject(expected as object);
    });
  }

  test("sees a key file that others can read", async () => {
    const path = join(dataDir, "encryption.key");
    writeFileSync(path, `${Buffer.alloc(32).toString("base64")}\n`);
    chmodSync(path, 0o644);
    const { code, of } = await examine();
    expect(code).toBe(1);
    expect(of("encryption key")).toMatchObject({ state: "bad", found: expect.stringContaining("chmod 600") });
  });

  test("tells every wrong setting, and still looks at the server", async () => {
    const { code, of } = await examine({ PORT: "x", EVERRUNS_CONCURRENCY: "0" });
    expect(code).toBe(1);
    expect(of("configuration")?.found).toMatch(/PORT[\s\S]*EVERRUNS_CONCURRENCY/);
    expect(of("server")?.state).toBe("ok");
  });

  test("sees a database that cannot be reached, without showing its password", async () => {
    const result = await examine({ DATABASE_URL: `postgres://u:${PASSWORD}@127.0.0.1:1/db` });
    expect(result.code).toBe(1);
    expect(result.of("database")).toMatchObject({
      state: "bad",
      found: expect.stringContaining("127.0.0.1:1"),
    });
    expect(JSON.stringify(result)).not.toContain(PASSWORD);
  });

  // The run's own database is an embedded one; on a server of the caller's there is no directory to look into.
  test.skipIf(!EVERRUNS_TEST_SOCKET)("looks into a running embedded database", async () => {
    const running = dirname(dirname(dirname(EVERRUNS_TEST_SOCKET as string)));
    const { of } = await examine({ EVERRUNS_DATA_DIR: running });
    expect(of("database")).toMatchObject({
      state: "ok",
      found: expect.stringMatching(/^PostgreSQL 18.*process \d+$/),
    });
    expect(of("clocks")?.state).toBe("ok");
    expect(of("schema")).toMatchObject({ state: "bad", next: "everruns migrate" });
  });
});
