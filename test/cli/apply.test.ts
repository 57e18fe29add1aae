/** Agents kept as files in a folder. */
import { beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const at = cliFixture();
beforeAll(async () => {
  mkdirSync(join(at.directory, "team/more"), { recursive: true });
  mkdirSync(join(at.directory, "team/.git"));
  const files = {
    "triage.md": '---\nname: triage\ntags: ["b"]\ncapabilities: [current_time]\n---\nYou sort.\n',
    "more/reviewer.yaml": "name: reviewer\nsystem_prompt: |\n  You review.\nmax_iterations: 3\n",
    "writer.json": '{"name": "writer", "system_prompt": "You write."}',
    "README.md": "# Our agents",
    "notes.txt": "not an agent",
    ".git/x.md": "not an agent",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(at.directory, "team", name), text);
});
const cli = (...args: string[]) => runCli(["agents", ...args], { env: at.env });
const team = () => join(at.directory, "team");

test("a folder is applied, and a second time changes nothing and says so", async () => {
  expect(await cli("apply", "-f", team())).toEqual({
    code: 0,
    stdout: "reviewer created\ntriage created\nwriter created\n",
    stderr: "3 created, 0 changed, 0 unchanged\n",
  });
  const before = (await cli("-o", "json")).stdout;
  expect(await cli("apply", "-f", team())).toEqual({
    code: 0,
    stdout: "reviewer unchanged\ntriage unchanged\nwriter unchanged\n",
    stderr: "0 created, 0 changed, 3 unchanged\n",
  });
  expect((await cli("-o", "json")).stdout).toBe(before);
});

test("a file without a name is no agent, whatever slip made it so", async () => {
  const odd = join(at.directory, "odd");
  mkdirSync(odd);
  const files = {
    "notes.md": "Just words.",
    "slip.yaml": "nam: x\nsystem_prompt: y\n",
    "torn.json": '{"name": "x"',
    "torn.yml": "x: [",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(odd, name), text);
  const { code, stdout, stderr } = await cli("apply", "-f", odd);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  for (const name of Object.keys(files)) expect(stderr).toContain(`${join(odd, name)}: name: is missing`);
  expect(stderr).toEndWith("0 created, 0 changed, 0 unchanged, 4 failed\n");
});

test("one change is one change", async () => {
  const path = join(team(), "triage.md");
  writeFileSync(path, readFileSync(path, "utf8").replace("You sort.", "You sort well."));
  expect((await cli("apply", "-f", team())).stderr).toBe("0 created, 1 changed, 2 unchanged\n");
  expect(JSON.parse((await cli("get", "triage", "-o", "json")).stdout).system_prompt).toBe(
    "You sort well.\n",
  );
});

test("a dry run names the fields that would change, and changes nothing", async () => {
  expect((await cli("apply", "-f", team(), "--dry-run")).stderr).toBe(
    "0 would be created, 0 would change, 3 unchanged\n",
  );
  const path = join(team(), "writer.json");
  const text = readFileSync(path, "utf8");
  writeFileSync(
    path,
    '{"name": "writer", "system_prompt": "You write.", "max_iterations": 4, "tags": ["a"]}',
  );
  expect(await cli("apply", "-f", path, "--dry-run")).toEqual({
    code: 0,
    stdout: "writer would change: max_iterations, tags\n",
    stderr: "0 would be created, 1 would change, 0 unchanged\n",
  });
  writeFileSync(path, text);
  expect((await cli("apply", "-f", path)).stdout).toBe("writer unchanged\n");
});

test("a file that is wrong is told with its name, and does not keep the others", async () => {
  const path = join(team(), "bad.md");
  writeFileSync(path, "---\nname: bad\nmax_iterations: many\n---\nx");
  const applied = await cli("apply", "-f", team());
  expect({ code: applied.code, stderr: applied.stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(
      /^everruns: .*bad\.md: max_iterations: .*\n0 created, 0 changed, 3 unchanged, 1 failed\n$/,
    ),
  });
  rmSync(path);
});

test("an export can be applied again, from a pipe or a folder", async () => {
  const { stdout } = await cli("export", "triage");
  expect(stdout).toStartWith('---\nname: "triage"\n');
  const piped = await runCli(["agents", "apply", "-f", "-"], { env: at.env, stdin: stdout });
  expect(piped.stdout).toBe("triage unchanged\n");
  const out = join(at.directory, "out");
  await cli("export", "-d", out, "--format", "yaml");
  expect(readdirSync(out).sort()).toEqual(["reviewer.yaml", "triage.yaml", "writer.yaml"]);
  expect((await cli("apply", "-f", out)).stderr).toBe("0 created, 0 changed, 3 unchanged\n");
});

test("where nobody answers, that is said once and not for every file", async () => {
  const { code, stdout, stderr } = await runCli(["agents", "apply", "-f", team()], {
    env: { EVERRUNS_API_URL: "http://127.0.0.1:1" },
  });
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: "",
    stderr: "everruns: no server at http://127.0.0.1:1; start one with `everruns serve`\n",
  });
});

test.each([
  [["apply"], 2, "which files?"],
  [["apply", "-f", "/nowhere"], 1, "/nowhere is not there"],
  [["apply", "-f", "bunfig.toml"], 1, "bunfig.toml: files end in .md"],
  [
    ["export", "triage", "-d", "bunfig.toml"],
    1,
    "bunfig.toml cannot be written: a file of this name is there",
  ],
  [["export"], 2, "several agents need a folder"],
  [["export", "nobody"], 1, "Agent not found"],
])("%j is refused", async (args, code, expected) => {
  const refused = await cli(...args);
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code, stdout: "" });
  expect(refused.stderr).toContain(expected);
});

test("a field that is none is told, and nothing of its file is applied", async () => {
  const path = join(at.directory, "slip.yaml");
  writeFileSync(path, "name: slip\nsystem_promt: x\ndescripton: y\n");
  expect(await cli("apply", "-f", path)).toEqual({
    code: 1,
    stdout: "",
    stderr:
      `everruns: ${path}: system_promt: no field of agents; did you mean system_prompt?\n` +
      `everruns: ${path}: descripton: no field of agents; did you mean description?\n` +
      "0 created, 0 changed, 0 unchanged, 1 failed\n",
  });
  expect((await cli("get", "slip")).code).toBe(1);
});

test("two files of one name are refused before anything is applied", async () => {
  const folder = join(at.directory, "twins");
  mkdirSync(folder);
  writeFileSync(join(folder, "a.md"), "---\nname: twin\n---\nOne.\n");
  writeFileSync(join(folder, "b.yaml"), "name: twin\nsystem_prompt: Two.\n");
  expect(await cli("apply", "-f", folder)).toEqual({
    code: 2,
    stdout: "",
    stderr: `everruns: 2 files have the name twin: ${join(folder, "a.md")}, ${join(folder, "b.yaml")}; agents are found by it\n`,
  });
  expect((await cli("get", "twin")).code).toBe(1);
});
