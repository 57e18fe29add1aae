/** `everruns logs` and `everruns api`, against a server and a worker. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";
import { runCli, startCli } from "./support.ts";

let database: TestDatabase;
let server: LiveServer;
let engine: TestEngine;
let session: string;
beforeAll(async () => {
  database = await testDatabase();
  await seedModel(database.db);
  server = await startServer(database);
  engine = await startEngine(database);
  session = await newSession(database.db, null, { capabilities: [{ ref: "current_time" }] });
  const text = script([
    { text: "Let me look.", tool_calls: [{ name: "get_current_time", arguments: { timezone: "Mars" } }] },
    { text: "No idea.\nNone at all." },
  ]);
  await ask(`What time is it?\n${text}`);
});
afterAll(async () => {
  await engine.stop();
  await server.stop();
  await database.drop();
});

async function ask(text: string): Promise<void> {
  await send(database.db, session, text);
  engine.hint();
  await logOnce(database.db, session, isIdle);
}
const env = () => ({ EVERRUNS_API_URL: server.url });
const masked = (text: string) => text.replace(/^\d\d:\d\d:\d\d\.\d{3}Z/gm, "…").replace(/ \d+ ms/g, " n ms");

describe("everruns logs", () => {
  test("prints what happened, a line each, further lines of a text below it", async () => {
    const { code, stdout } = await runCli(["logs", session], { env: env() });
    expect(code).toBe(0);
    const lines = masked(stdout).split("\n");
    expect(lines[0]).toBe("…  user    What time is it?");
    expect(lines[1]).toBe(`${" ".repeat(23)}\`\`\`llmsim`);
    const rest = lines.slice(
      lines.findIndex((line) => line.includes("Let me look.", 10) && line.startsWith("…")),
    );
    expect(rest.slice(0, 5)).toEqual([
      "…  agent   Let me look.",
      '…  tool    → get_current_time {"timezone":"Mars"}',
      expect.stringMatching(/^… {2}tool {4}✗ get_current_time n ms: .*Mars/),
      "…  agent   No idea.",
      `${" ".repeat(23)}None at all.`,
    ]);
    expect(rest[5]).toMatch(/^… {2}turn {4}completed, 2 steps, \d+ tokens in, \d+ out$/);
    expect(rest.slice(6)).toEqual([""]);
  });

  test("from a time on, or the last lines alone", async () => {
    const last = await runCli(["logs", session, "--tail", "1"], { env: env() });
    expect(masked(last.stdout)).toMatch(/^… {2}turn {4}completed[^\n]*\n$/);
    expect((await runCli(["logs", session, "--since", "1h"], { env: env() })).stdout).toContain(
      "Let me look.",
    );
    const later = new Date(Date.now() + 60_000).toISOString();
    expect((await runCli(["logs", session, "--since", later], { env: env() })).stdout).toBe("");
    const wrong = await runCli(["logs", session, "--since", "yesterday"], { env: env() });
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("90s, 10m, 2h, 3d")]);
  });

  test("goes on with what comes, until it is told to stop", async () => {
    const following = startCli(["logs", session, "--follow", "--tail", "1"], { env: env() });
    await following.shown("completed, 2 steps");
    await ask("And now?");
    await following.shown("And now?");
    await following.shown("completed, 1 step");
    following.process.kill("SIGINT");
    expect((await following.finished).code).toBe(0);
  });

  test("whoever reads slowly gets all of it: the program waits", async () => {
    const large = await newSession(database.db, null, {});
    await send(database.db, large, "x".repeat(400_000));
    const shell = Bun.spawn(
      [
        "bash",
        "-c",
        `"$0" --no-env-file cli/everruns.ts messages list ${large} -o json | (sleep 0.3; wc -c); echo "\${PIPESTATUS[0]}"`,
        process.execPath,
      ],
      { env: { ...process.env, ...env() }, stdout: "pipe" },
    );
    const [bytes, code] = (await shell.stdout.text()).trim().split("\n").map(Number);
    expect(bytes).toBeGreaterThan(400_000);
    expect(code).toBe(0);
  });

  test("whoever reads no more ends it without a word", async () => {
    const shell = Bun.spawn(
      [
        "bash",
        "-c",
        `"$0" --no-env-file cli/everruns.ts logs ${session} | head -1; echo "\${PIPESTATUS[0]}"`,
        process.execPath,
      ],
      { env: { ...process.env, ...env() }, stdout: "pipe", stderr: "pipe" },
    );
    const [out, err] = [await new Response(shell.stdout).text(), await new Response(shell.stderr).text()];
    expect(masked(out)).toBe("…  user    What time is it?\n0\n");
    expect(err).toBe("");
  });
});

describe("everruns api", () => {
  test("prints what the server answers, letter by letter", async () => {
    const answer = await fetch(`${server.url}/v1/sessions/${session}`);
    for (const path of [`/v1/sessions/${session}`, `/api/v1/sessions/${session}`, `sessions/${session}`]) {
      const { code, stdout } = await runCli(["api", "get", path], { env: env() });
      expect([code, JSON.parse(stdout).id]).toEqual([0, session]);
    }
    expect(answer.status).toBe(200);
  });

  test("sends a body from the command line, a file or stdin", async () => {
    const made = await runCli(
      ["api", "POST", "/agents", "-d", '{"name": "from-flag", "system_prompt": "x"}'],
      { env: env() },
    );
    expect([made.code, JSON.parse(made.stdout).name]).toEqual([0, "from-flag"]);
    const imported = await runCli(
      ["api", "POST", "/agents/import", "-d", "-", "--content-type", "text/markdown"],
      {
        env: env(),
        stdin: "---\nname: from-stdin\n---\nYou are it.",
      },
    );
    expect([imported.code, JSON.parse(imported.stdout).name]).toEqual([0, "from-stdin"]);
  });

  test("a refusal is its body, one line, and 1", async () => {
    const { code, stdout, stderr } = await runCli(["api", "GET", "/agents/nobody"], { env: env() });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ status: 404, code: "not_found" });
    expect(stderr).toBe("everruns: Agent not found\n");
  });

  test("methods and bodies that go with nothing are wrong use", async () => {
    expect((await runCli(["api", "FETCH", "/agents"], { env: env() })).code).toBe(2);
    expect((await runCli(["api", "GET", "/agents", "-d", "{}"], { env: env() })).code).toBe(2);
  });
});
