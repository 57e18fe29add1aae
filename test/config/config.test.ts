import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { resolve } from "node:path";
import { UserError } from "../../src/base/errors.ts";
import { type Config, describeConfig, type Flags, maskUrl, parseConfig } from "../../src/config/config.ts";
import { isLoopbackHost } from "../../src/config/loopback.ts";

type Env = Record<string, string | undefined>;
const parse = (env: Env = {}, flags: Flags = {}, world: { isTty?: boolean; isRoot?: boolean } = {}): Config =>
  parseConfig(flags, { env, isTty: world.isTty ?? false, isRoot: world.isRoot ?? false });

function problemsOf(env: Env, flags: Flags = {}): string[] {
  try {
    parse(env, flags);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).code).toBe("config_invalid");
    return (error as UserError).message.split("\n");
  }
}

test("nothing said: everything has a default, and says so", () => {
  const config = parse({ HOME: "/home/ada" });
  expect(config).toMatchObject({
    host: "127.0.0.1",
    port: 9000,
    databaseUrl: null,
    dataDir: "/home/ada/.local/share/everruns",
    workers: 1,
    concurrency: 50,
    logFormat: "json",
    logLevel: "info",
    leaseMs: 30_000,
    authMode: "none",
    allowPrivateHosts: [],
    encryptionKey: null,
    openaiApiKey: null,
    apiUrl: "http://127.0.0.1:9000",
  });
  expect(new Set(Object.values(config.sources))).toEqual(new Set(["default"]));
  expect(Object.isFrozen(config)).toBe(true);
});

test("a flag wins over the environment, the environment over the default, and each says where it is from", () => {
  const config = parse({ PORT: "1000", HOST: "localhost", EVERRUNS_WORKERS: "0" }, { port: "0" });
  expect([config.port, config.sources.port]).toEqual([0, "flag --port"]);
  expect([config.host, config.sources.host]).toEqual(["localhost", "environment HOST"]);
  expect([config.workers, config.sources.workers]).toEqual([0, "environment EVERRUNS_WORKERS"]);
  expect(config.sources.concurrency).toBe("default");
});

test("an empty variable is an unset one", () => {
  const config = parse({ PORT: "", DATABASE_URL: "  ", OPENAI_API_KEY: "" });
  expect([config.port, config.databaseUrl, config.openaiApiKey]).toEqual([9000, null, null]);
});

test("the lease has a short name, too", () => {
  expect(parse({ LEASE_MS: "5000" }).sources.leaseMs).toBe("environment LEASE_MS");
  expect(parse({ LEASE_MS: "5000", EVERRUNS_LEASE_MS: "6000" }).leaseMs).toBe(6000);
});

const bad: [string, Env, Flags, string][] = [
  ["a port that is a word", { PORT: "http" }, {}, "PORT: a whole number from 0 to 65535"],
  ["a port that is too large", {}, { port: "65536" }, "--port: a whole number"],
  ["a port with a sign", {}, { port: "-1" }, "--port"],
  ["a port in hexadecimal", { PORT: "0x50" }, {}, "PORT"],
  ["an empty flag", {}, { dataDir: "" }, "--data-dir: a value is expected"],
  [
    "another database",
    { DATABASE_URL: "mysql://root:canary@db/x" },
    {},
    "DATABASE_URL: an address like postgres://",
  ],
  ["no URL at all", {}, { databaseUrl: "canary" }, "--database-url: an address like"],
  ["no workers at all", {}, { workers: "none" }, "--workers"],
  ["a slot too few", {}, { concurrency: "0" }, "--concurrency: a whole number from 1"],
  ["an unknown format", { EVERRUNS_LOG_FORMAT: "xml" }, {}, "one of pretty, json"],
  ["an unknown level", {}, { logLevel: "trace" }, "one of debug, info, warn, error"],
  ["a lease too short", { LEASE_MS: "10" }, {}, "LEASE_MS: a whole number from 1000"],
  ["an unknown way to authenticate", { AUTH_MODE: "open" }, {}, "AUTH_MODE: one of none, admin, full"],
  ["the world as a host", {}, { host: "0.0.0.0" }, "without authentication"],
  ["the world over IPv6", { HOST: "::" }, {}, "without authentication"],
  [
    "a name that only begins like this machine",
    { HOST: "localhost.example.com" },
    {},
    "without authentication",
  ],
  [
    "a private host that is none",
    { EVERRUNS_ALLOW_PRIVATE_HOSTS: "localhost, http://x" },
    {},
    '"http://x" is no host',
  ],
  ["a base URL that is none", { OPENAI_BASE_URL: "localhost:11434" }, {}, "OPENAI_BASE_URL: an address like"],
  ["a typing error", { EVERRUNS_DATA_DRI: "/x" }, {}, "did you mean EVERRUNS_DATA_DIR?"],
];
for (const [name, env, flags, expected] of bad) {
  test(`refused: ${name}`, () => {
    const problems = problemsOf(env, flags);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(expected);
    expect(problems[0]).not.toContain("canary");
  });
}

describe("authentication", () => {
  const full = { AUTH_MODE: "full" };
  const oidc = {
    ...full,
    AUTH_OIDC_ISSUER: "https://accounts.example.com",
    AUTH_OIDC_CLIENT_ID: "client",
    AUTH_OIDC_CLIENT_SECRET: "canary",
    EVERRUNS_PUBLIC_URL: "https://everruns.example.com",
  };
  const cases: [what: string, env: Env, problems: string[]][] = [
    ["users with passwords need nothing more", full, []],
    ["one admin needs to be named", { AUTH_MODE: "admin" }, ["AUTH_ADMIN_EMAIL", "AUTH_ADMIN_PASSWORD"]],
    ["whole", { AUTH_MODE: "admin", AUTH_ADMIN_EMAIL: "A@b.c", AUTH_ADMIN_PASSWORD: "canary-canary" }, []],
    [
      "a short password and no address",
      { AUTH_MODE: "admin", AUTH_ADMIN_EMAIL: "admin", AUTH_ADMIN_PASSWORD: "canary" },
      ["AUTH_ADMIN_EMAIL", "AUTH_ADMIN_PASSWORD"],
    ],
    [
      "an admin whom nobody asks for a password",
      { AUTH_ADMIN_EMAIL: "a@b.c", AUTH_ADMIN_PASSWORD: "canary-canary" },
      ["AUTH_ADMIN_EMAIL"],
    ],
    ["a short secret", { ...full, AUTH_JWT_SECRET: "canary" }, ["AUTH_JWT_SECRET"]],
    ["sign-up beside one admin", { AUTH_SIGNUP: "open" }, ["AUTH_SIGNUP"]],
    ["an OpenID provider", oidc, []],
    [
      "an OpenID provider by halves",
      { ...full, AUTH_OIDC_CLIENT_ID: "x" },
      ["AUTH_OIDC_ISSUER", "AUTH_OIDC_CLIENT_SECRET", "EVERRUNS_PUBLIC_URL"],
    ],
    ["an OpenID provider for nobody", { ...oidc, AUTH_MODE: "none" }, ["AUTH_OIDC_ISSUER"]],
    [
      "an OpenID provider without https",
      { ...oidc, AUTH_OIDC_ISSUER: "http://accounts.example.com" },
      ["AUTH_OIDC_ISSUER"],
    ],
    [
      "an OpenID provider on this machine",
      { ...oidc, AUTH_OIDC_ISSUER: "http://localhost:8080/realms/x" },
      [],
    ],
    ["a typing error", { ...full, AUTH_SINGUP: "open" }, ["AUTH_SINGUP"]],
  ];
  for (const [what, env, problems] of cases) {
    test(what, () => {
      const told = problemsOf(env);
      expect(told.map((problem) => problem.split(":")[0])).toEqual(problems);
      expect(told.join()).not.toContain("canary");
    });
  }

  test("lets the server listen to others than this machine", () => {
    expect(parse({ AUTH_MODE: "full", HOST: "0.0.0.0" }).host).toBe("0.0.0.0");
  });

  test("is the server's: a worker needs no admin", () => {
    const world = { env: { AUTH_MODE: "admin" }, isTty: false, isRoot: false };
    expect(parseConfig({}, world, "other").authMode).toBe("admin");
    expect(() => parseConfig({}, world)).toThrow("AUTH_ADMIN_EMAIL");
  });
});

test("every problem is told at once", () => {
  const problems = problemsOf({ PORT: "x", AUTH_MODE: "some" }, { workers: "-1", logLevel: "loud" });
  expect(problems.map((problem) => problem.split(":")[0])).toEqual([
    "PORT",
    "--workers",
    "--log-level",
    "AUTH_MODE",
  ]);
});

test("what Kubernetes sets for a service called everruns is not taken for a typing error", () => {
  const env = {
    EVERRUNS_SERVICE_HOST: "10.0.0.1",
    EVERRUNS_PORT: "tcp://10.0.0.1:9000",
    EVERRUNS_PORT_9000_TCP_ADDR: "10.0.0.1",
  };
  expect(parse(env).port).toBe(9000);
});

const dataDirs: [string, Env, boolean, string][] = [
  ["root", { HOME: "/root", XDG_DATA_HOME: "/x" }, true, "/var/lib/everruns"],
  ["XDG", { HOME: "/home/ada", XDG_DATA_HOME: "/data" }, false, "/data/everruns"],
  [
    "a relative XDG, which the specification says to ignore",
    { HOME: "/home/ada", XDG_DATA_HOME: "data" },
    false,
    "/home/ada/.local/share/everruns",
  ],
  ["said with a relative path", { EVERRUNS_DATA_DIR: "here" }, false, resolve("here")],
];
for (const [name, env, isRoot, expected] of dataDirs) {
  test(`the data directory: ${name}`, () => expect(parse(env, {}, { isRoot }).dataDir).toBe(expected));
}

test("without a home the data directory is one's own among the temporary files", () => {
  const { dataDir } = parse({ HOME: "/" });
  expect(dataDir).toBe(`${tmpdir()}/everruns-${process.getuid?.()}`);
});

test("the log is for people on a terminal, for machines elsewhere", () => {
  expect(parse({}, {}, { isTty: true }).logFormat).toBe("pretty");
  expect(parse({}, { logFormat: "json" }, { isTty: true }).logFormat).toBe("json");
});

test("the description names every setting and hides every secret (I9)", () => {
  const env = {
    DATABASE_URL: "postgres://ada:canary1@db/x?sslpassword=canary2&sslmode=require",
    OPENAI_API_KEY: "sk-canary3-long-enough-abcd",
    ANTHROPIC_API_KEY: "canary4",
    EVERRUNS_API_KEY: "evr_pat_canary5_wxyz",
    EVERRUNS_ENCRYPTION_KEY: `canary6${"0".repeat(57)}`,
    OPENAI_BASE_URL: "https://user:canary7@proxy.example.com/v1",
    EVERRUNS_ALLOW_PRIVATE_HOSTS: "localhost:11434,10.0.0.0/8",
  };
  const rows = describeConfig(parse(env, { port: "1" }));
  const text = JSON.stringify(rows);
  expect(text).not.toContain("canary");
  const rowOf = (name: string) => rows.find((row) => row.name === name);
  expect(rowOf("OPENAI_API_KEY")).toEqual({
    name: "OPENAI_API_KEY",
    value: "(set, ends in …abcd)",
    source: "environment OPENAI_API_KEY",
  });
  expect(rowOf("ANTHROPIC_API_KEY")?.value).toBe("(set)");
  expect(rowOf("port")).toEqual({ name: "port", value: "1", source: "flag --port" });
  expect(rowOf("EVERRUNS_ALLOW_PRIVATE_HOSTS")?.value).toBe("localhost:11434, 10.0.0.0/8");
  expect(rowOf("database-url")?.value).toContain("ada:***@db");
});

test("passwords are masked wherever a URL carries them", () => {
  expect(maskUrl("postgres://a:b@h/d")).toBe("postgres://a:***@h/d");
  expect(maskUrl("postgres://h/d?user=a&password=b")).toBe("postgres://h/d?user=a&password=***");
  expect(maskUrl("postgres://h/d")).toBe("postgres://h/d");
  expect(maskUrl("not a url with b")).toBe("(not an address)");
});

test("what is this machine", () => {
  for (const host of ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
    expect(isLoopbackHost(host)).toBe(true);
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.nip.io", "example.com", ""]) {
    expect(isLoopbackHost(host)).toBe(false);
  }
});

test("lists of origins and proxies are read letter by letter, and each wrong one is told", () => {
  const config = parse({
    EVERRUNS_CORS_ORIGINS: "https://app.example.com/, http://localhost:5173",
    EVERRUNS_TRUSTED_PROXIES: "127.0.0.1,10.0.0.0/8, ::1",
    EVERRUNS_REQUESTS_PER_MINUTE: "0",
  });
  expect(config.corsOrigins).toEqual(["https://app.example.com", "http://localhost:5173"]);
  expect(config.trustedProxies).toEqual(["127.0.0.1", "10.0.0.0/8", "::1"]);
  expect(config.requestsPerMinute).toBe(0);
  const problems = problemsOf({
    EVERRUNS_CORS_ORIGINS: "*,https://a.b/c",
    EVERRUNS_TRUSTED_PROXIES: "10.1,proxy",
  });
  expect(problems).toHaveLength(2);
  for (const part of ['"*"', '"https://a.b/c"']) expect(problems[0]).toContain(part);
  for (const part of ['"10.1"', '"proxy"']) expect(problems[1]).toContain(part);
});
