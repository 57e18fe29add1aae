/** Agents as files: what goes out comes in again, letter by letter. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { formatAgentFile, parseAgentFile } from "../../src/contract/agent-file.ts";
import { type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const TEXT = { "content-type": "text/plain" };
const importText = (text: string, query = "") => app.call("POST", `/agents/import${query}`, text, TEXT);

/** Texts that break files which are put together carelessly. */
const NASTY = [
  "plain",
  "two\n---\nparts",
  "---\nname: x\n---\n",
  "\r\nlines of Windows\r\n",
  "  spaces in front\n\n\n",
  '{"a": 1}',
  "- a\n- b",
  "key: value # no comment",
  "quotes \" and ' and \\ and `",
  "\t\u2028 é 日本 🙂",
  "&anchor *alias !tag %",
  "true",
];

const PROMPTS = NASTY.map((prompt) => [JSON.stringify(prompt), prompt] as const);

describe("a file and back", () => {
  test.each(PROMPTS)("%s is the same in every form and field", (_name, text) => {
    const fields = {
      name: "a-b",
      description: text,
      tags: [text, "1"],
      capabilities: [{ ref: "web_fetch", config: { list: [1, { deep: text }] } }],
      tools: [{ type: "client_side", name: "t", description: text, parameters: { type: "object" } }],
      initial_files: [{ path: "/a", content: text }],
      parallel_tool_calls: false,
      max_iterations: 3,
      system_prompt: text,
    };
    for (const format of ["markdown", "yaml", "json"] as const) {
      const written = formatAgentFile(fields, format);
      const read = parseAgentFile(written, "unused");
      expect([format, read]).toEqual([format, fields]);
      expect(formatAgentFile(read, format)).toBe(written);
    }
  });

  test("Markdown has the contract's form", () => {
    const fields = {
      name: "customer-support",
      description: "Handles tickets",
      default_model_id: "model_1",
      tags: ["prod"],
      capabilities: [{ ref: "current_time" }, { ref: "web_fetch" }],
      tools: [],
      system_prompt: "You are a support agent…",
    };
    expect(formatAgentFile(fields, "markdown")).toBe(`---
name: "customer-support"
description: "Handles tickets"
default_model_id: "model_1"
tags:
  - "prod"
capabilities:
  - current_time
  - web_fetch
---
You are a support agent…`);
  });

  test.each([
    [
      "a bare prompt",
      "Note: be kind\nand short",
      { name: "unused", system_prompt: "Note: be kind\nand short" },
    ],
    ["YAML", "name: x\nsystem_prompt: hi\n", { name: "x", system_prompt: "hi" }],
    ["JSON", '{"name": "j"}', { name: "j", system_prompt: "" }],
    ["fields of Windows", "---\r\nname: w\r\n---\r\nhi\r\n", { name: "w", system_prompt: "hi\r\n" }],
    ["a byte order mark", "\uFEFF---\nname: b\n---\nhi", { name: "b", system_prompt: "hi" }],
    [
      "a prompt among the fields",
      "---\nname: p\nsystem_prompt: in\n---\n",
      { name: "p", system_prompt: "in" },
    ],
    ["no fields at all", "---\n---\nonly", { name: "unused", system_prompt: "only" }],
    ["a list", "- a\n- b", { name: "unused", system_prompt: "- a\n- b" }],
  ])("%s is understood", (_what, text, fields) => {
    expect(parseAgentFile(text, "unused")).toEqual(fields);
  });

  test.each([
    ["no end of the fields", "---\nname: x", "a line --- is missing"],
    ["a list for fields", "---\n- a\n---\n", "stand fields"],
    ["an alias", "---\na: &x [1]\nb: *x\n---\n", "aliases"],
    ["broken YAML", "---\nname: [\n---\nhi", "line 2"],
  ])("%s is refused", (_what, text, expected) => {
    expect(() => parseAgentFile(text, "unused")).toThrow(expected);
  });
});

describe("export and import over the wire", () => {
  test.each(PROMPTS)("an agent whose texts are %s comes back the same", async (_name, text) => {
    const name = `round-${Bun.hash(text).toString(36)}`;
    await app.post("/agents", {
      name,
      system_prompt: text,
      display_name: text,
      description: text,
      capabilities: ["current_time", { ref: "web_fetch", config: {} }],
      initial_files: [{ path: "/a.txt", content: text, is_readonly: true }],
      mcpServers: { docs: { type: "http", url: "https://mcp.example.com", headers: { a: text } } },
      network_access: { allowed: ["*.example.com"] },
      max_iterations: 7,
      tags: ["1"],
    });
    const before = (await app.get(`/agents/${name}`)).body;
    for (const format of ["markdown", "yaml", "json"]) {
      const exported = await app.get(`/agents/${name}/export?format=${format}`);
      const file = typeof exported.body === "string" ? exported.body : JSON.stringify(exported.body);
      const { status } = await importText(file);
      expect([format, status]).toEqual([format, 200]);
      // Not even its time of change is another: the file changed nothing.
      expect((await app.get(`/agents/${name}`)).body).toEqual(before);
    }
    await app.call("PATCH", `/agents/${name}`, { status: "deleted" });
  });

  test("the download has a name and a type", async () => {
    await app.post("/agents", { name: "named", system_prompt: "x" });
    const answer = await app.get("/agents/named/export");
    expect(answer.headers.get("content-type")).toBe("text/markdown; charset=utf-8");
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="named.md"');
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.body).toBe('---\nname: "named"\nharness_name: "generic"\n---\nx');
  });

  test("a change is a change, and makes an archived agent active", async () => {
    const made = await importText("---\nname: changing\n---\none");
    expect([made.status, made.headers.get("location")]).toEqual([201, `/v1/agents/${made.body.id}`]);
    // Times on the wire are in milliseconds, and this takes less than one.
    await app.db
      .sql`update agents set updated_at = updated_at - interval '1 second' where id = ${made.body.id}`;
    const changed = await importText("---\nname: changing\n---\ntwo");
    expect([
      changed.status,
      changed.body.system_prompt,
      changed.body.updated_at >= made.body.updated_at,
    ]).toEqual([200, "two", true]);
    await app.call("DELETE", "/agents/changing");
    expect((await importText("---\nname: changing\n---\ntwo")).body.status).toBe("active");
  });

  test("an id finds the agent whatever it is called, and may be a new one", async () => {
    const { body } = await importText("---\nname: first-name\n---\nx");
    const renamed = await importText(`---\nid: ${body.id}\nname: second-name\n---\nx`);
    expect([renamed.status, renamed.body.id, renamed.body.name]).toEqual([200, body.id, "second-name"]);
    const fresh = `agent_${"a".repeat(32)}`;
    expect((await importText(`id: ${fresh}\nname: third-name\nsystem_prompt: x`)).status).toBe(201);
  });

  test("a bare prompt gets a name from the time", async () => {
    const { status, body } = await importText("You are brief.");
    expect([status, body.system_prompt]).toEqual([201, "You are brief."]);
    expect(body.name).toMatch(/^agent-\d{8}-\d{6}$/);
  });

  test("every example can be imported, again and again", async () => {
    const refused = await importText("", "?from-example=nothing");
    expect([refused.status, refused.body.detail]).toEqual([404, expect.stringContaining("dad-jokes-agent")]);
    const names = /there are (.*)$/.exec(refused.body.detail)?.[1]?.split(", ") ?? [];
    expect(names.length).toBeGreaterThan(2);
    for (const name of names) {
      const first = await app.call("POST", `/agents/import?from-example=${name}`);
      expect([name, first.status]).toEqual([name, 201]);
      expect((await app.call("POST", `/agents/import?from-example=${name}`)).status).toBe(200);
    }
  });

  test.each([
    ["", 400, "invalid_request"],
    ["---\nname: Not A Slug\n---\nx", 400, "invalid_name"],
    ["---\nname: x\nmax_iterations: many\n---\nx", 400, "invalid_request"],
    ["---\nname: x\ncapabilities: [no_such]\n---\nx", 400, "invalid_request"],
    ["---\nname: x\nid: nope\n---\nx", 400, "invalid_id"],
    [`---\nname: x\ndefault_model_id: model_${"0".repeat(32)}\n---\nx`, 400, "invalid_request"],
    ["---\nname: x\n---\n".padEnd(3 * 1024 * 1024 + 1, "x"), 413, "payload_too_large"],
  ])("%.40s is %d %s", async (text, status, code) => {
    const answer = await importText(text);
    expect([answer.status, answer.body.code]).toEqual([status, code]);
  });
});

test("a starter file with a NUL is refused, not changed; as base64 it is kept", async () => {
  const file = { path: "/a.bin", content: "a\0b" };
  for (const [path, body] of [
    ["/agents", { name: "nul", system_prompt: "x", initial_files: [file] }],
    ["/sessions", { initial_files: [file] }],
    ["/harnesses", { name: "nul", initialFiles: [file] }],
  ] as const) {
    const refused = await app.post(path, body);
    expect([path, refused.status, refused.body.detail]).toEqual([
      path,
      400,
      expect.stringContaining("base64"),
    ]);
  }
  const asFile = formatAgentFile({ name: "nul", system_prompt: "x", initial_files: [file] }, "json");
  expect((await importText(asFile)).status).toBe(400);
  const content = Buffer.from(file.content).toString("base64");
  const session = await app.post("/sessions", {
    initial_files: [{ path: "/a.bin", content, encoding: "base64" }],
  });
  expect((await app.get(`/sessions/${session.body.id}/fs/a.bin`)).body.content).toBe(content);
});
