/** The verbs of the resource commands, as a script would use them, against the real API. */
import { describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { newSession, send } from "../support/sessions.ts";
import { hasTmux, openTerminal } from "../tui/support/tmux.ts";
import { cliFixture } from "./fixture.ts";
import { runCli, startCli } from "./support.ts";

const at = cliFixture();
const agentOf = async (name: string) =>
  JSON.parse((await at.cli("agents", "get", name, "-o", "json")).stdout);

describe("create and update", () => {
  test("take fields from a file and from --set, and print the id alone", async () => {
    const path = join(at.directory, "agent.yaml");
    writeFileSync(path, "name: from-file\nsystem_prompt: |\n  You sort: things.\ntags: [a, b]\n");
    const made = await at.cli(
      "agents",
      "create",
      "-f",
      path,
      "--set",
      "description=b: c",
      "--set",
      "max_iterations=7",
    );
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(/^agent_[0-9a-f]{32}\n$/);
    expect(await agentOf("from-file")).toMatchObject({
      id: made.stdout.trim(),
      system_prompt: "You sort: things.\n",
      description: "b: c",
      max_iterations: 7,
      tags: ["a", "b"],
    });
    const changed = await at.cli("agents", "update", "from-file", "--set", "description=null", "-o", "json");
    expect(JSON.parse(changed.stdout).description).toBeUndefined();
  });

  test("read stdin as JSON, too", async () => {
    const { code } = await runCli(["agents", "create", "-f", "-"], {
      env: at.env,
      stdin: JSON.stringify({ name: "from-stdin", system_prompt: "x" }),
    });
    expect(code).toBe(0);
    expect((await agentOf("from-stdin")).system_prompt).toBe("x");
  });

  test.each([
    [["create"], 2, "nothing to send"],
    [["create", "--set", "name"], 2, "--set takes name=value"],
    [["create", "-f", "/nowhere/x.yaml"], 1, "/nowhere/x.yaml cannot be read"],
    [["create", "--set", "name=Bad Name", "--set", "system_prompt=x"], 1, "is not made of lowercase words"],
    [["update", "--set", "name=x"], 2, "missing required argument 'id'"],
    [["edit", "from-file"], 2, "edit needs a terminal"],
    [
      ["create", "--set", "name=a", "--set", "system_promt=x"],
      2,
      "system_promt: no field of agents; did you mean system_prompt?",
    ],
    [
      ["update", "from-file", "--set", "zzzzzzz=1"],
      2,
      "zzzzzzz: no field of agents; there are name, system_prompt,",
    ],
    [["update", "from-file", "--set", "id=agent_1"], 2, "id: no field of agents"],
  ])("%j is refused with one line", async (args, code, expected) => {
    const refused = await at.cli("agents", ...args);
    expect(refused.stderr).toContain(expected);
    expect(refused.stderr.split("\n")).toHaveLength(2);
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code, stdout: "" });
  });

  test("a field may be spelled as in either of the API's ways", async () => {
    const made = await at.cli(
      "agents",
      "create",
      "--set",
      "name=both",
      "--set",
      "systemPrompt=x",
      "--set",
      "max_iterations=3",
    );
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
    expect(await agentOf("both")).toMatchObject({ system_prompt: "x", max_iterations: 3 });
  });

  test("a session is made without a word", async () => {
    const made = await at.cli("sessions", "create");
    expect({ code: made.code, stderr: made.stderr }).toEqual({ code: 0, stderr: "" });
    expect(made.stdout).toMatch(/^session_[0-9a-f]{32}\n$/);
  });

  test("a value that a filter does not take is told as its flag", async () => {
    expect(await at.cli("runs", "--status", "nope")).toEqual({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(/^everruns: --status must be one of queued, running, [^\n]+\n$/),
    });
  });

  test("an export of several goes on after one that is not there", async () => {
    const [one, two] = [await newSession(at.database.db), await newSession(at.database.db)];
    const gone = `session_${"0".repeat(32)}`;
    const folder = join(at.directory, "exports");
    const done = await at.cli("sessions", "export", one, gone, two, "-d", folder);
    expect(done).toEqual({
      code: 1,
      stdout: `${join(folder, `${one}.jsonl`)}\n${join(folder, `${two}.jsonl`)}\n`,
      stderr: `everruns: ${gone}: Session not found\n`,
    });
  });

  test("a file that is a list is no object", async () => {
    const path = join(at.directory, "list.yaml");
    writeFileSync(path, "- a\n");
    expect((await at.cli("agents", "create", "-f", path)).stderr).toContain(
      "an object with fields is expected",
    );
  });
});

describe("delete", () => {
  test("archives without asking, and restore takes it back", async () => {
    await at.cli("agents", "create", "--set", "name=kept", "--set", "system_prompt=x");
    expect((await at.cli("agents", "delete", "kept")).stderr).toBe("archived kept\n");
    expect((await at.cli("agents", "-o", "id", "--search", "kept")).stdout).toBe("");
    expect((await at.cli("agents", "--include-archived", "true", "--search", "kept")).stdout).toContain(
      "archived",
    );
    await at.cli("agents", "restore", "kept");
    expect((await agentOf("kept")).status).toBe("active");
  });

  test("of several, what fails is named, and the others are done", async () => {
    for (const name of ["first-of-two", "second-of-two"]) {
      await at.cli("agents", "create", "--set", `name=${name}`, "--set", "system_prompt=x");
    }
    const { code, stderr } = await at.cli("agents", "delete", "first-of-two", "nobody", "second-of-two");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "archived first-of-two\neverruns: nobody: Agent not found\narchived second-of-two\n",
    });
    const back = await at.cli("agents", "restore", "nobody", "second-of-two");
    expect([back.code, back.stdout]).toEqual([1, "restore: second-of-two\n"]);
  });

  test.if(hasTmux)("an edit that is refused keeps the text, and is not told as done", async () => {
    await at.cli("agents", "create", "--set", "name=edited", "--set", "system_prompt=x");
    for (const [change, said] of [
      ["s/^name:/nmae:/", "nmae: no field that can be edited; there are "],
      ["s/^harness_id:.*/harness_id: harness_zzz/", '"harness_zzz" is not an id'],
    ]) {
      const program = [process.execPath, "--no-env-file", "cli/everruns.ts", "agents", "edit", "edited"];
      const terminal = openTerminal(program, {
        columns: 200,
        env: { ...at.env, EDITOR: `sed -i '${change}'`, TMPDIR: at.directory },
      });
      const screen = await terminal.until("exit code 1");
      terminal.close();
      expect(screen).toContain(said as string);
      const [, path = ""] = /your text is kept in (\S+)/.exec(screen) ?? [];
      expect(readFileSync(path, "utf8")).toContain("system_prompt: x");
    }
    expect((await agentOf("edited")).name).toBe("edited");
  });

  test("what cannot be taken back asks, and a script says --yes", async () => {
    const id = await newSession(at.database.db);
    const refused = await at.cli("sessions", "delete", id);
    expect(refused).toEqual({
      code: 2,
      stdout: "",
      stderr: `everruns: delete the session ${id}? Nobody can be asked here: add --yes\n`,
    });
    expect((await at.cli("sessions", "delete", id, "--yes")).code).toBe(0);
    expect((await at.cli("sessions", "get", id)).stderr).toContain("Session not found");
  });
});

describe("what is printed", () => {
  test("ids, JSON and YAML carry what the API said; --verbose tells the calls without the key", async () => {
    const id = await newSession(at.database.db);
    expect((await at.cli("sessions", "-n", "1", "-o", "id")).stdout).toBe(`${id}\n`);
    expect(JSON.parse((await at.cli("sessions", "-n", "1", "-o", "json")).stdout)).toMatchObject([{ id }]);
    expect((await at.cli("sessions", "get", id, "-o", "yaml")).stdout).toContain(`id: ${id}\n`);
    const told = await runCli(["sessions", "get", id, "--verbose"], {
      env: { ...at.env, EVERRUNS_API_KEY: "evr_pat_secret" },
    });
    expect(told.stderr).toMatch(/^GET http:\/\/[^ ]+\/api\/v1\/sessions\/session_[0-9a-f]+ → 200, \d+ ms\n$/);
  });

  test("filters and offset go to the server", async () => {
    const id = await newSession(at.database.db);
    const sent = await send(at.database.db, id, "hi");
    if (!("turnId" in sent)) throw new Error("not sent");
    expect((await at.cli("runs", "--status", "queued", "--session", id, "-o", "id")).stdout).toBe(
      `${sent.turnId}\n`,
    );
    const none = await at.cli("runs", "--status", "sealed");
    expect(none).toEqual({ code: 0, stdout: "", stderr: "no runs match\n" });
    expect((await at.cli("runs", "--session", id, "--offset", "1", "-o", "id")).stdout).toBe("");
  });

  test("a verb that is nearly one is named", async () => {
    const { code, stderr } = await at.cli("agents", "lst");
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'everruns: agents has no "lst"; did you mean everruns agents list?\n',
    });
  });
});

describe("events and messages", () => {
  test("list shows what happened, one line each, a family by its star", async () => {
    const id = await newSession(at.database.db);
    await send(at.database.db, id, "first\u001b[2J line\nsecond");
    const { stdout } = await at.cli("events", "list", id);
    expect(stdout).toMatch(/^ {5}1 {2}[0-9:.]{12}Z {2}input\.message +first line second$/m);
    const family = await at.cli("events", "list", id, "-t", "session.*", "-o", "json");
    expect(JSON.parse(family.stdout).map((event: { type: string }) => event.type)).toEqual([
      "session.activated",
    ]);
    const refused = await at.cli("events", "list", id, "-t", "input.nothing");
    expect({ code: refused.code, stderr: refused.stderr }).toEqual({
      code: 2,
      stderr: expect.stringContaining("there are no events input.nothing; there are input.message"),
    });
    expect((await at.cli("messages", "list", id)).stdout).toBe(
      `user         first line\n${" ".repeat(13)}second\n`,
    );
  });

  test("send does not wait; tail prints what comes from then on, and Ctrl+C ends it", async () => {
    const id = await newSession(at.database.db);
    await send(at.database.db, id, "before");
    const tail = startCli(["events", "tail", id, "-o", "json", "--verbose"], { env: at.env });
    await tail.shown("/sse", "stderr");
    const sent = await at.cli("messages", "send", id, "after", "--delivery", "queue");
    expect(sent.stdout).toMatch(/^turn_[0-9a-f]{32}\n$/);
    expect(sent.stderr).toContain("queued");
    await at.cli("messages", "send", id, "steering");
    await tail.shown("steering");
    tail.process.kill("SIGINT");
    const { code, stdout } = await tail.finished;
    const types = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).type);
    expect({ code, types }).toEqual({ code: 0, types: ["input.message"] });
    expect((await runCli(["messages", "send", id], { env: at.env, stdin: "  " })).code).toBe(2);
  });
});

test("--watch prints the list and then a line for each object that is new", async () => {
  const first = await newSession(at.database.db);
  const watching = startCli(["sessions", "--watch", "-o", "id", "-n", "100"], { env: at.env });
  await watching.shown(first);
  const second = await newSession(at.database.db);
  await watching.shown(second);
  watching.process.kill("SIGINT");
  const { code, stdout } = await watching.finished;
  expect({ code, seconds: stdout.split(second).length, last: stdout.trim().endsWith(second) }).toEqual({
    code: 0,
    seconds: 2,
    last: true,
  });
});
