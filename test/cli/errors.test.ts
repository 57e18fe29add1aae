/** What goes wrong is one line that says what to do, whatever the command; the key is in none of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newId } from "../../src/base/id.ts";
import { CATALOG, type Resource } from "../../src/client/resources.ts";
import { makeToken, makeUser } from "../support/callers.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { runCli } from "./support.ts";

let database: TestDatabase;
let server: LiveServer;
let guarded: LiveServer;
let token: string;
let directory: string;
beforeAll(async () => {
  database = await testDatabase();
  server = await startServer(database);
  const access = openAccess({ jwtKey: new Uint8Array(32), clock: systemClock });
  guarded = await startServer(database, { identify: (db) => identifyByCredential(db, access) });
  token = (await makeToken(database.db, (await makeUser(database.db)).id)).token;
  directory = mkdtempSync(join(tmpdir(), "everruns-cli-"));
});
afterAll(async () => {
  await server.stop();
  await guarded.stop();
  await database.drop();
  rmSync(directory, { recursive: true });
});

const run = (args: readonly string[], env: Record<string, string> = {}) =>
  runCli([...args], {
    env: { EVERRUNS_API_URL: server.url, EVERRUNS_CONFIG: join(directory, "config.json"), ...env },
  });
const session = newId("session");
/** Each way to call a server; of a resource its list stands for all verbs. */
const CALLS: string[][] = [
  ...CATALOG.map(({ name }) => [name]),
  ["events", "list", session],
  ["events", "tail", session],
  ["messages", "list", session],
  ["messages", "send", session, "hi"],
  ["logs", session],
  ["files", "list", session],
  ["sessions", "fork", session],
  ["agents", "export", "nobody"],
  ["api", "GET", "/agents"],
  ["run", "hi"],
  ["whoami"],
  ["keys", "list"],
];

/** One line on stderr that begins with our name, nothing on stdout. */
async function refusal(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await run(args, env);
  expect(stderr, args.join(" ")).toMatch(/^everruns: [^\n]+\n$/);
  expect(stdout, args.join(" ")).toBe("");
  return { code, stderr };
}

describe("no server", () => {
  for (const args of CALLS) {
    test(args.slice(0, 2).join(" "), async () => {
      const { code, stderr } = await refusal(args, { EVERRUNS_API_URL: "http://127.0.0.1:1" });
      expect(code).toBe(1);
      expect(stderr).toContain("start one with `everruns serve`");
    });
  }
});

describe("a key that opens nothing", () => {
  for (const args of CALLS) {
    test(args.slice(0, 2).join(" "), async () => {
      const wrong = `${token.slice(0, -4)}aaaa`;
      const env = { EVERRUNS_API_URL: guarded.url, EVERRUNS_API_KEY: wrong };
      const { code, stdout, stderr } = await run(args, env);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^everruns: [^\n]*(?:EVERRUNS_API_KEY|everruns login)[^\n]*\n$/);
      expect(stdout + stderr).not.toContain(wrong);
    });
  }

  test("none at all: how to sign in", async () => {
    const { stderr } = await refusal(["agents"], { EVERRUNS_API_URL: guarded.url });
    expect(stderr).toContain("everruns login");
  });
});

/** The id of what is not there, and one of another kind. */
const IDS: Record<string, string> = {
  agents: "agent",
  harnesses: "harness",
  sessions: "session",
  runs: "turn",
  approvals: "approval",
  models: "model",
  providers: "prov",
};
const readable = CATALOG.filter(({ name }) => name in IDS);

describe("one that is not there", () => {
  const verbsOf = (resource: Resource) => [
    ...(resource.isReadable || resource.actions === undefined ? [["get"]] : []),
    ...(resource.editable ? [["update", "--set", `${resource.editable[0]}=x`]] : []),
    ...(resource.deletes ? [["delete", "--yes"]] : []),
    ...Object.keys(resource.actions ?? {}).map((verb) => [verb, "--yes"]),
  ];
  for (const resource of readable) {
    const id = newId((IDS[resource.name] ?? "agent") as "agent");
    for (const [verb = "", ...flags] of verbsOf(resource)) {
      test(`${resource.name} ${verb}`, async () => {
        const { code, stdout, stderr } = await run([resource.name, verb, id, ...flags]);
        expect(code).toBe(1);
        expect(stdout).toBe("");
        expect(stderr).toMatch(/^everruns: [^\n]+\n$/);
      });
    }
    test(`${resource.name} get, of another kind`, async () => {
      const { code, stderr } = await run([resource.name, "get", newId("event")]);
      expect(code).toBe(resource.name === "approvals" ? code : 1);
      expect(stderr).toMatch(/^everruns: [^\n]+\n$/);
    });
  }
});

describe("bodies", () => {
  const creatable = CATALOG.filter(({ isCreatable }) => isCreatable).map(
    ({ name, textField }) =>
      [name, textField === undefined ? "list.json: an object with fields" : "this is no skill"] as const,
  );

  test.each(creatable)(
    "%s create: nothing given, a file that is not there, one that is no object",
    async (name, wrong) => {
      // A session can be made without a word.
      if (name !== "sessions") expect((await refusal([name, "create"])).code).toBe(2);
      const missing = await refusal([name, "create", "-f", join(directory, "none.json")]);
      expect([missing.code, missing.stderr.includes("none.json cannot be read")]).toEqual([1, true]);
      const list = join(directory, "list.json");
      writeFileSync(list, "[1]");
      expect((await refusal([name, "create", "-f", list])).stderr).toContain(wrong);
    },
  );

  test("a file that is broken: where", async () => {
    const path = join(directory, "broken.json");
    writeFileSync(path, '{\n  "name": "x",\n  "system_prompt": [\n}\n');
    const { code, stderr } = await run(["agents", "create", "-f", path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^everruns: \S*broken\.json: .*line 4/);
  });

  test("a field that the server refuses: which", async () => {
    const { stderr } = await refusal([
      "agents",
      "create",
      "--set",
      "name=Not a slug",
      "--set",
      "system_prompt=x",
    ]);
    expect(stderr).toContain("name");
  });
});

describe("missing arguments", () => {
  for (const args of [
    ...readable.map(({ name }) => [name, "get"]),
    ["logs"],
    ["api", "GET"],
    ["events", "tail"],
    ["messages", "send"],
    ["files", "get", session],
    ["agents", "apply"],
    ["keys", "revoke"],
  ]) {
    test(args.join(" "), async () => expect((await refusal(args)).code).toBe(2));
  }
});

describe("--verbose", () => {
  test("shows each call with its answer and time on stderr, and never the key", async () => {
    const env = { EVERRUNS_API_URL: guarded.url, EVERRUNS_API_KEY: token };
    const { code, stdout, stderr } = await run(["agents", "-o", "json", "--verbose"], env);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual([]);
    expect(stderr).toMatch(/GET http:\S+\/api\/v1\/agents\S* → 200, \d+ ms/);
    expect(stderr).not.toContain(token);
  });
});
