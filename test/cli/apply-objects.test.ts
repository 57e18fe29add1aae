/** Harnesses, providers and MCP servers kept as files: what is in them, and what never is. */
import { beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliFixture } from "./fixture.ts";
import { runCli } from "./support.ts";

const at = cliFixture();
const folder = (name: string, files: Record<string, string>) => {
  const path = join(at.directory, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
};

describe("harnesses", () => {
  let path: string;
  beforeAll(() => {
    path = folder("harnesses", {
      // Read before its parent.
      "a-child.yaml": "name: child\nparent_harness_id: house\nsystem_prompt: x\n",
      "house.md":
        "---\nname: house\nparent_harness_id: generic\ncapabilities: [current_time]\ntags: [b]\n---\nBe short.\n",
    });
  });

  test("a dry run says what would be made and makes nothing", async () => {
    const before = (await at.cli("harnesses", "-o", "json")).stdout;
    expect(await at.cli("harnesses", "apply", "-f", path, "--dry-run")).toEqual({
      code: 0,
      stdout: "child would be created\nhouse would be created\n",
      stderr: "2 would be created, 0 would change, 0 unchanged\n",
    });
    expect((await at.cli("harnesses", "-o", "json")).stdout).toBe(before);
  });

  test("a folder is applied, parents first; a second time changes nothing and says so", async () => {
    expect(await at.cli("harnesses", "apply", "-f", path)).toEqual({
      code: 0,
      stdout: "house created\nchild created\n",
      stderr: "2 created, 0 changed, 0 unchanged\n",
    });
    const before = (await at.cli("harnesses", "-o", "json")).stdout;
    expect(await at.cli("harnesses", "apply", "-f", path)).toEqual({
      code: 0,
      stdout: "child unchanged\nhouse unchanged\n",
      stderr: "0 created, 0 changed, 2 unchanged\n",
    });
    expect((await at.cli("harnesses", "-o", "json")).stdout).toBe(before);
  });

  test.each(["markdown", "yaml", "json"])("an export as %s is what is there", async (format) => {
    const out = join(at.directory, `out-${format}`);
    await at.cli("harnesses", "export", "-d", out, "--format", format);
    expect(readdirSync(out)).toHaveLength(2);
    expect((await at.cli("harnesses", "apply", "-f", out)).stderr).toBe(
      "0 created, 0 changed, 2 unchanged\n",
    );
    const { stdout } = await at.cli("harnesses", "export", "child", "--format", format);
    expect(stdout).toContain("house");
    expect((await runCli(["harnesses", "apply", "-f", "-"], { env: at.env, stdin: stdout })).stdout).toBe(
      "child unchanged\n",
    );
  });

  test("what would change is named; a field that a file leaves out is emptied", async () => {
    writeFileSync(join(path, "house.md"), "---\nname: house\nparent_harness_id: generic\n---\nBe long.\n");
    const dry = await at.cli("harnesses", "apply", "-f", path, "--dry-run");
    expect(dry.stdout).toBe("child unchanged\nhouse would change: capabilities, tags, system_prompt\n");
    expect((await at.cli("harnesses", "apply", "-f", path)).stderr).toBe(
      "0 created, 1 changed, 1 unchanged\n",
    );
    const house = JSON.parse((await at.cli("harnesses", "get", "house", "-o", "json")).stdout);
    expect(house).toMatchObject({ system_prompt: "Be long.\n", capabilities: [], tags: [] });
  });

  test("everything that is wrong with every file is told, and the others are applied", async () => {
    const bad = folder("bad", {
      "fields.yaml": "nam: q\nsytem_prompt: a\n",
      "good.yaml": "name: good\n",
      "list.yaml": "- a\n",
      "refused.yaml": "name: Not A Slug\n",
      "torn.json": '{"name": "x",\n "tags": [}',
    });
    const { code, stdout, stderr } = await at.cli("harnesses", "apply", "-f", bad);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "good created\n" });
    expect(stderr.split("\n").map((line) => line.replace(`everruns: ${bad}/`, ""))).toEqual([
      "fields.yaml: nam: no field of harnesses; did you mean name?",
      "fields.yaml: sytem_prompt: no field of harnesses; did you mean system_prompt?",
      "fields.yaml: name: is missing",
      "list.yaml: an object with fields is expected",
      expect.stringMatching(/^refused\.yaml: .*lowercase/),
      expect.stringMatching(/^torn\.json: .* at line 2, column \d+$/),
      "1 created, 0 changed, 0 unchanged, 4 failed",
      "",
    ]);
  });

  test("the built-in ones are not exported, and nothing is told as unchanged that is not ours", async () => {
    expect(await at.cli("harnesses", "export", "generic")).toEqual({
      code: 1,
      stdout: "",
      stderr: "everruns: no harness of this organization is called generic\n",
    });
  });
});

describe("providers and MCP servers", () => {
  const PROVIDER =
    "name: local\nprovider_type: openai_completions\nbase_url: http://127.0.0.1:1/v1\napi_key: {env: LOCAL_KEY}\n";
  const piped = (
    kind: string,
    stdin: string,
    more: { env?: Record<string, string>; flags?: string[] } = {},
  ) => runCli([kind, "apply", "-f", "-", ...(more.flags ?? [])], { env: { ...at.env, ...more.env }, stdin });

  test("a key comes from the environment, or is told to be missing from it", async () => {
    expect(await piped("providers", PROVIDER)).toEqual({
      code: 1,
      stdout: "",
      stderr:
        "everruns: stdin: api_key: comes from LOCAL_KEY, which is not set in the environment\n" +
        "0 created, 0 changed, 0 unchanged, 1 failed\n",
    });
    const made = await piped("providers", PROVIDER, { env: { LOCAL_KEY: "sk-first-secret" } });
    expect(made).toEqual({
      code: 0,
      stdout: "local created\n",
      stderr: "1 created, 0 changed, 0 unchanged\n",
    });
    expect((await at.cli("providers")).stdout).toMatch(/local +openai_completions +active +set/);
  });

  test("the server's key is left alone without the variable; --secrets sends it again", async () => {
    expect((await piped("providers", PROVIDER)).stdout).toBe("local unchanged\n");
    const flags = ["--secrets", "--verbose"];
    const sent = await piped("providers", PROVIDER, { env: { LOCAL_KEY: "sk-second-secret" }, flags });
    expect(sent.stdout).toBe("local changed\n");
    expect(sent.stderr).toContain("PATCH ");
    expect(sent.stdout + sent.stderr).not.toContain("sk-");
  });

  test("with another address the key is sent again: the server keeps it to the one that it was for", async () => {
    const moved = PROVIDER.replace("127.0.0.1:1", "127.0.0.1:2");
    const without = await piped("providers", moved);
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining("comes from LOCAL_KEY")]);
    const sent = await piped("providers", moved, { env: { LOCAL_KEY: "sk-second-secret" } });
    expect([sent.code, sent.stdout]).toEqual([0, "local changed\n"]);
    expect((await piped("providers", moved)).stdout).toBe("local unchanged\n");
    expect((await piped("providers", PROVIDER, { env: { LOCAL_KEY: "sk-second-secret" } })).code).toBe(0);
  });

  test("a key in the file itself is refused", async () => {
    const { code, stderr } = await piped("providers", PROVIDER.replace("{env: LOCAL_KEY}", "sk-plain"));
    expect(code).toBe(1);
    expect(stderr).toContain("api_key: a secret does not belong into a file");
    expect(stderr).not.toContain("sk-plain");
  });

  test("an export names a variable and never the key, and is what is there", async () => {
    const { stdout } = await at.cli("providers", "export", "local");
    expect(stdout).toBe(
      "name: local\nprovider_type: openai_completions\nbase_url: http://127.0.0.1:1/v1\napi_key:\n  env: LOCAL_API_KEY\n",
    );
    expect((await piped("providers", stdout)).stdout).toBe("local unchanged\n");
    const out = join(at.directory, "providers-out");
    await at.cli("providers", "export", "-d", out, "--format", "json");
    for (const file of readdirSync(out)) expect(readFileSync(join(out, file), "utf8")).not.toContain("sk-");
    expect((await at.cli("providers", "apply", "-f", out)).code).toBe(0);
  });

  test("headers of an MCP server are secrets, too; one that is gone from the file is taken away", async () => {
    const file =
      "name: search\nurl: https://mcp.example.com/\nheaders:\n  X-Team: {env: TEAM}\n  X-Key: {env: KEY}\n";
    const secrets = { TEAM: "blue", KEY: "mcp-secret" };
    expect((await piped("mcp-servers", file, { env: secrets })).stdout).toBe("search created\n");
    expect((await piped("mcp-servers", file)).stdout).toBe("search unchanged\n");
    const fewer = file.replace("  X-Team: {env: TEAM}\n", "");
    expect((await piped("mcp-servers", fewer, { flags: ["--dry-run"] })).stdout).toBe(
      "search would change: headers\n",
    );
    expect((await piped("mcp-servers", fewer)).stdout).toBe("search changed\n");
    const { stdout } = await at.cli("mcp-servers", "export", "search");
    expect(stdout).toBe(
      "name: search\nurl: https://mcp.example.com/\nheaders:\n  X-Key:\n    env: SEARCH_X_KEY\n",
    );
    expect((await piped("mcp-servers", stdout)).stdout).toBe("search unchanged\n");
    expect((await piped("mcp-servers", file.replace("{env: KEY}", "plain"))).stderr).toContain(
      "headers.X-Key: a secret does not belong into a file",
    );
  });
});
