/** `everruns doctor` beside a server that runs: models that are asked, and a pooler that is in the way. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Finding } from "../../cli/doctor/finding.ts";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { type RunningServer, runExecutable, serveExecutable } from "../support/executable.ts";
import { type ModelServer, startModelServer } from "../support/model-server.ts";
import { testDatabase } from "../support/postgres.ts";
import { type Api, apiOf } from "./support/api.ts";
import { databaseUrl } from "./support/database-url.ts";

const KEY = "sk-e2e-doctor-0123456789";
const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let models: ModelServer;
let server: RunningServer;
let api: Api;

beforeAll(async () => {
  models = await startModelServer({ apiKeys: [KEY] });
  server = await serveExecutable(["--data-dir", dataDir], { cwd });
  api = apiOf(() => server.url);
});
afterAll(async () => {
  await server?.stop();
  await models?.stop();
  killCluster(dataDir);
  work.remove();
});

async function examine(args: readonly string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await runExecutable(["doctor", "--json", ...args], {
    cwd,
    env: { EVERRUNS_API_URL: server.url, EVERRUNS_DATA_DIR: dataDir, ...env },
  });
  if (stdout === "") return { code, stderr, ok: false, next: "", of: () => undefined };
  const { ok, next, findings } = JSON.parse(stdout) as { ok: boolean; next: string; findings: Finding[] };
  const of = (what: string) => findings.find((finding) => finding.what === what);
  return { code, stderr, ok, next, of };
}

/** A model named `name` of a provider of its own. */
async function addModel(name: string, key = KEY) {
  const provider = await api.post("/providers", {
    name,
    provider_type: "openai_completions",
    base_url: models.openaiUrl,
    api_key: key,
  });
  await api.post(`/providers/${provider.id}/models`, { model_id: name, display_name: name });
}

describe("a probe", () => {
  const PROBE = /This is a test of the connection/;
  const call = (name: string, number: number) => ({ name, arguments: { number } });
  const words =
    "Rain falls on the roof and on the road. It stops when it stops, and then the sun comes out again.";

  test("of the simulated model sees streaming, tools, two at once, usage; nothing stays behind", async () => {
    const { code, of } = await examine(["--probe"]);
    expect(code).toBe(0);
    expect(of("model llmsim")).toMatchObject({
      state: "ok",
      found: expect.stringMatching(
        /^of Simulated: answers in \d+ ms; first words after \d+ ms in \d+ pieces; calls tools, two at once; \d+ tokens in, \d+ out$/,
      ),
    });
    expect((await api.get("/sessions")).data).toEqual([]);
  });

  test("tells a model that calls one tool at a time from one that calls none", async () => {
    const usage = { prompt_tokens: 50, completion_tokens: 20 };
    await addModel("steady");
    models.script(PROBE, [
      { text: words, toolCalls: [call("probe_a", 1)], usage },
      { text: words, toolCalls: [call("probe_b", 2)], usage },
      { text: "done.", usage },
    ]);
    const one = (await examine(["--probe", "steady"])).of("model steady");
    expect(one).toMatchObject({
      state: "ok",
      found: expect.stringContaining("calls tools, one at a time; 150 tokens in, 60 out"),
    });
    models.mock.clearFixtures();
    models.text(PROBE, words, { usage });
    const none = await examine(["--probe", "steady"]);
    expect(none.code).toBe(0);
    expect(none.of("model steady")).toMatchObject({
      state: "warn",
      found: expect.stringContaining("called no tool"),
    });
  });

  test("says what the provider said, and never the key", async () => {
    await addModel("locked-out", "sk-e2e-wrong-9876543210");
    const { code, of, stderr } = await examine(["--probe", "locked-out"]);
    expect(code).toBe(1);
    expect(of("model locked-out")).toMatchObject({
      state: "bad",
      next: expect.stringContaining("everruns providers edit prov_"),
    });
    expect(JSON.stringify(of("model locked-out")) + stderr).not.toContain("9876543210");
    expect((await api.get("/sessions")).data).toEqual([]);
  });

  test("of a model that is not there is a wrong use", async () => {
    const { code, stderr } = await examine(["--probe", "nobody"]);
    expect(code).toBe(2);
    expect(stderr).toContain("there is no enabled model nobody");
  });
});

describe("the connections to the database", () => {
  test("are looked at where everruns runs", async () => {
    const { of } = await examine([]);
    expect(of("disk")?.found).toMatch(/^\d+\.\d GiB free/);
    expect(of("connections")).toMatchObject({
      state: "ok",
      found: expect.stringMatching(
        /^\d+ of 197 in use, [1-9]\d* by everruns; a server of these settings holds 12$/,
      ),
    });
    expect(of("notifications")?.state).toBe("ok");
  });

  test("through a pooler that lends them out are found out", async () => {
    const database = await testDatabase();
    const [straight, pooled] = [
      await databaseUrl(database.address),
      await databaseUrl(database.address, { losesNotifications: true }),
    ];
    try {
      expect((await examine([], { DATABASE_URL: straight.url })).of("notifications")?.state).toBe("ok");
      const { code, of } = await examine([], { DATABASE_URL: pooled.url });
      expect(code).toBe(1);
      expect(of("notifications")).toMatchObject({
        state: "bad",
        found: expect.stringContaining("there is a pooler in between"),
        next: expect.stringContaining("session mode"),
      });
    } finally {
      await straight.stop();
      await pooled.stop();
      await database.drop();
    }
  });
});
