/** Names and ids of a server in a real bash: those that fit, harmless ones, and nothing where nobody answers. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const at = cliFixture();
let session: string;
beforeAll(async () => {
  at.env.EVERRUNS_CONFIG = join(at.directory, "config.json");
  for (const name of ["triage", "translator", "writer"]) {
    await runCli(["agents", "create", "--set", `name=${name}`, "--set", "system_prompt=x"], { env: at.env });
  }
  writeFileSync(
    join(at.directory, "config.json"),
    JSON.stringify({
      current: null,
      contexts: { prod: { api_url: "http://x", token: "secret" }, test: { api_url: "http://y" } },
    }),
  );
  session = (await runCli(["sessions", "create", "--set", "title=Mine"], { env: at.env })).stdout.trim();
});

/** What Tab offers behind a line, in a bash that has read the printed script. */
async function offered(line: readonly string[], more: Record<string, string> = {}): Promise<string[]> {
  const { stdout } = await runCli(["completion", "bash"]);
  const words = ["everruns", ...line].map((word) => `'${word}'`).join(" ");
  const program = `everruns() { "${process.execPath}" --no-env-file cli/everruns.ts "$@"; }
${stdout}
COMP_WORDS=(${words}); COMP_CWORD=${line.length}; _everruns; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const ended = Bun.spawn(["bash", "-c", program], {
    cwd: `${import.meta.dir}/../..`,
    env: { PATH: process.env.PATH ?? "", HOME: at.directory, ...at.env, ...more },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [words_, errors] = [await ended.stdout.text(), await ended.stderr.text()];
  expect(errors).toBe("");
  return words_.split("\n").filter((word) => word !== "");
}

test("agents by name, in every place where one is named", async () => {
  expect((await offered(["agents", "get", ""])).sort()).toEqual(["translator", "triage", "writer"]);
  expect(await offered(["agents", "delete", "triage", "tra"])).toEqual(["translator"]);
  expect(await offered(["chat", "--agent", "wr"])).toEqual(["writer"]);
  expect(await offered(["run", "--agent=wr"])).toEqual(["--agent=writer"]);
  expect(await offered(["agents", "get", "agent_"])).toHaveLength(3);
});

test("an agent that is far down the list is found by the beginning of its name", async () => {
  const many = Array.from({ length: 101 }, (_, at) => `{"name": "many-${at}", "system_prompt": "x"}`);
  const folder = join(at.directory, "many");
  mkdirSync(folder);
  for (const [at, text] of many.entries()) writeFileSync(join(folder, `${at}.json`), text);
  expect((await runCli(["agents", "apply", "-f", folder], { env: at.env })).stderr).toStartWith(
    "101 created",
  );
  expect(await offered(["agents", "get", "tria"])).toEqual(["triage"]);
  const { stdout } = await runCli(["__complete", "agents", "get", "tria"], { env: at.env });
  expect(stdout).toMatch(/^triage\tactive · \d+s\n$/);
});

test("sessions by id, in every place where one is named", async () => {
  for (const line of [
    ["sessions", "get"],
    ["events", "tail"],
    ["chat"],
    ["run", "-s"],
    ["logs"],
    ["runs", "--session"],
  ]) {
    expect([line, await offered([...line, "session_"])]).toEqual([line, [session]]);
  }
});

test("files of a session, types of events, contexts", async () => {
  await runCli(["files", "put", session, "/notes/today.md"], { env: at.env, stdin: "x" });
  expect(await offered(["files", "get", session, "/notes/t"])).toEqual(["/notes/today.md"]);
  expect(await offered(["events", "tail", session, "-t", "input.m"])).toEqual(["input.message"]);
  expect(await offered(["contexts", "use", ""])).toEqual(["prod", "test"]);
  expect(await offered(["agents", "--context", "p"])).toEqual(["prod"]);
});

test("what each is stands beside it, for shells that show that, and never a token", async () => {
  const { stdout } = await runCli(["__complete", "sessions", "get", ""], { env: at.env });
  expect(stdout).toMatch(new RegExp(`^${session}\\t[a-z]+ · \\d+s .* Mine\n$`));
  const names = await runCli(["__complete", "contexts", "use", ""], { env: at.env });
  expect(names.stdout).toBe("prod\thttp://x\ntest\thttp://y\n");
});

test("a name that a shell might run is not offered", async () => {
  const api_url = "http://x";
  writeFileSync(
    join(at.directory, "config.json"),
    JSON.stringify({
      current: null,
      contexts: { "$(touch pwned)": { api_url }, "a;b": { api_url }, "`x`": { api_url }, fine: { api_url } },
    }),
  );
  expect(await offered(["contexts", "use", ""])).toEqual(["fine"]);
});

test("without a server, or with one that hangs, nothing is offered and nothing said", async () => {
  expect(await offered(["agents", "get", ""], { EVERRUNS_API_URL: "http://127.0.0.1:1" })).toEqual([]);
  const hanging = Bun.serve({ port: 0, fetch: () => new Promise<Response>(() => {}) });
  const url = `http://127.0.0.1:${hanging.port}`;
  expect(await runCli(["__complete", "agents", "get", "", ""], { env: { EVERRUNS_API_URL: url } })).toEqual({
    code: 0,
    stdout: "",
    stderr: "",
  });
  await hanging.stop(true);
});
