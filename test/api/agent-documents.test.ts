/** Agents as documents: what is exported and imported again is the same agent, whatever its texts are. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readChanges } from "../../src/api/agents/agent-input.ts";
import { identifyAnonymous } from "../../src/api/http/identify.ts";
import { newId } from "../../src/base/id.ts";
import { type CapabilityEntry, createCapabilities } from "../../src/capabilities/registry.ts";
import { limits } from "../../src/contract/limits.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { expectProblem, long } from "../support/bad-requests.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const imported = (text: string, type = "text/plain", query = "") =>
  app.call("POST", `/agents/import${query}`, text, { "content-type": type });
const FORMATS = [
  ["markdown", "text/plain"],
  ["yaml", "application/yaml"],
  ["json", "application/json"],
] as const;

/** What a caller decides: everything but what the server knows by itself. */
function decided(agent: Record<string, unknown>): object {
  const { id: _i, created_at: _c, updated_at: _u, self_url: _s, view_url: _v, ui_link: _l, ...rest } = agent;
  const { allowed_actions: _a, forked_from_agent_id: _f, ...fields } = rest;
  return fields;
}

const NASTY: [what: string, text: string][] = [
  ["quotes and backslashes", `"it's" \\ "\\n" 'x'`],
  ["colons and comments", "key: value # no comment\nname: other"],
  ["a line of dashes", "above\n---\nbelow\n---\n"],
  ["a prompt that begins with front matter", "---\nname: evil\n---\nbody"],
  ["carriage returns", "a\r\nb\rc\r\n"],
  ["empty lines and spaces around", "\n\n  x  \n\n"],
  ["other scripts, marks and faces", "Привіт 你好 e\u0301 👩‍👩‍👧 \u202e\u2028\u2029\u0085\ufeff\u007f"],
  ["control characters", "\x01\x02\t\x1b[31m"],
  ["what YAML takes for something else", "null"],
  ["a number", "012"],
  ["a tag, an anchor, an alias", "!!js/function &a *a"],
  ["JSON", '{"name": "x", "system_prompt": "y"}'],
  ["a merge key", "<<"],
  ["a merge key in a map", '{"<<": {"a": 1}}'],
  ["lines of nothing but spaces", "a\n  \n\n \n b\n\t\n"],
  ["a long line", "a b ".repeat(5_000)],
];

describe("export and import again", () => {
  for (const [format, contentType] of FORMATS) {
    for (const [what, text] of NASTY) {
      test(`${format}: ${what}`, async () => {
        const tool = {
          type: "client_side",
          name: "ask",
          description: text.slice(0, 1_000),
          parameters: {
            type: "object",
            properties: { [text.slice(0, 50)]: { description: text.slice(0, 1_000) } },
          },
          hints: { readonly: true },
        };
        const agent = (
          await app.post("/agents", {
            name: "travels",
            display_name: text.slice(0, 200),
            description: text.slice(0, 5_000),
            system_prompt: text,
            harness_name: "base",
            capabilities: [
              "current_time",
              { ref: "web_fetch", config: {} },
              {
                ref: "tool_approval",
                config: { mode: "normal", [text.slice(0, 50)]: { "<<": { a: text } } },
              },
            ],
            tags: [text.slice(0, 100), "b"],
            tools: [tool],
            initial_files: [{ path: "/a b.txt", content: text, is_readonly: true }],
            mcpServers: {
              [`s ${text.slice(0, 20)}`]: { url: "https://a.example.com", headers: { a: text.slice(0, 50) } },
            },
            network_access: { allowed: ["*.example.com"] },
            parallel_tool_calls: false,
            default_delivery: "queue",
            max_iterations: 3,
          })
        ).body;
        const sent = (await app.get(`/agents/travels/export?format=${format}`)).body;
        const document = typeof sent === "string" ? sent : JSON.stringify(sent);
        await app.call("PATCH", `/agents/${agent.id}`, { name: newId("agent").replace("_", "-") });
        const back = await imported(document, contentType);
        expect([back.status, decided(back.body)]).toEqual([201, decided(agent)]);
        const again = (await app.get(`/agents/travels/export?format=${format}`)).body;
        expect(again).toEqual(sent);
      });
    }
  }
});

describe("import", () => {
  test("front matter written by hand, with Windows line ends, comments and flow lists", async () => {
    const { status, body } = await imported(
      "---\r\n# mine\r\nname: by-hand\r\ntags: [a, 'b c']\r\ncapabilities:\r\n- current_time\r\n- ref: web_fetch\r\n---\r\nHi\r\n",
      "text/markdown",
    );
    expect([status, body.name, body.tags, body.capabilities, body.system_prompt]).toEqual([
      201,
      "by-hand",
      ["a", "b c"],
      [{ ref: "current_time" }, { ref: "web_fetch" }],
      "Hi\r\n",
    ]);
  });

  test("JSON and YAML are seen as such in plain text", async () => {
    const json = await imported('{"name": "as-json", "systemPrompt": "p", "maxIterations": 4}');
    expect([json.status, json.body.max_iterations]).toEqual([201, 4]);
    const yaml = await imported("name: as-yaml\nsystem_prompt: |\n  one\n  two\n");
    expect([yaml.status, yaml.body.system_prompt]).toEqual([201, "one\ntwo\n"]);
  });

  test("other text is the prompt of a new agent, however often it comes in one second", async () => {
    const answers = await Promise.all(Array.from({ length: 5 }, () => imported("Be kind.\nAlways: yes\n")));
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201, 201, 201]);
    expect(new Set(answers.map(({ body }) => body.name)).size).toBe(5);
    for (const { body } of answers) {
      expect(body.name).toMatch(/^agent-\d{8}-\d{6}(-\d)?$/);
      expect(body.system_prompt).toBe("Be kind.\nAlways: yes\n");
    }
  });

  test("an id replaces the agent of that id, or makes it; a name replaces the agent of that name", async () => {
    const id = newId("agent");
    const document = (name: string, extra = "") => `---\nname: ${name}\n${extra}---\nx`;
    const statuses = [
      await imported(document("known", `id: ${id}\n`)),
      await imported(document("known-better", `id: ${id}\n`)),
      await imported(document("known-better")),
    ];
    expect(statuses.map(({ status, body }) => [status, body.id])).toEqual([
      [201, id],
      [200, id],
      [200, id],
    ]);
    await imported(document("somebody-else"));
    expectProblem(await imported(document("somebody-else", `id: ${id}\n`)), "name_taken", /somebody-else/);
  });

  const refused: [
    what: string,
    text: string,
    type: string,
    code: Parameters<typeof expectProblem>[1],
    detail: RegExp,
  ][] = [
    ["broken JSON that says it is JSON", "{", "application/json", "invalid_request", /no JSON/],
    ["JSON that is no object", "[1]", "application/json", "invalid_request", /no JSON/],
    ["broken YAML that says it is YAML", "a: [", "application/yaml", "invalid_request", /YAML/],
    ["two YAML documents", "name: a\n---\nname: b", "text/yaml", "invalid_request", /YAML/],
    [
      "a field that is there twice",
      "---\nname: a\nname: b\n---\nx",
      "text/plain",
      "invalid_request",
      /twice/,
    ],
    ["a name that is a number", "---\nname: 5\n---\nx", "text/plain", "invalid_request", /^name/],
    ["a document too large", long(limits.importBytesMax + 1), "text/plain", "payload_too_large", /3145728/],
    ["another content type", "x", "image/png", "unsupported_media_type", /image\/png/],
    [
      "references",
      "---\nname: a\ntags: &a [x]\ntools: *a\n---\nx",
      "text/plain",
      "invalid_request",
      /aliases/,
    ],
    [
      "more values than an agent has",
      `---\nname: a\n${Array.from({ length: 100_001 }, (_, i) => `k${i}: 1`).join("\n")}\n---\nx`,
      "text/plain",
      "invalid_request",
      /more than 100000 values/,
    ],
    [
      "values within values without end",
      `---\nname: a\nx: ${"[".repeat(50_000)}${"]".repeat(50_000)}\n---\nx`,
      "text/plain",
      "invalid_request",
      /nested|deep|stack/i,
    ],
  ];
  for (const [what, text, type, code, detail] of refused) {
    test(`refuses ${what}`, async () => expectProblem(await imported(text, type), code, detail));
  }

  test("a key that would become a prototype is left out", async () => {
    const { status, body } = await imported(
      "name: proto\nsystem_prompt: x\nmcpServers: {__proto__: {url: x}}",
    );
    expect([status, body.mcpServers, ({} as { url?: string }).url]).toEqual([201, {}, undefined]);
  });
});

describe("a capability of high risk", () => {
  test("is given by admins alone", async () => {
    const entry = { ...createCapabilities().list()[0], id: "danger", risk_level: "high" } as CapabilityEntry;
    const capabilities = {
      ...createCapabilities(),
      list: () => [entry],
      find: () => entry,
      validate: () => null,
    };
    const caller = { ...identifyAnonymous({ allowedHosts: [] })(new Request("http://localhost/")) };
    const read = (isAdmin: boolean) =>
      readChanges({ db: app.db, capabilities }, { ...caller, isAdmin }, { capabilities: ["danger"] });
    expect(await read(true)).toEqual({ capabilities: [{ ref: "danger" }] });
    expect(read(false)).rejects.toMatchObject({ code: "forbidden" });
  });
});

describe("deleting for good", () => {
  test("takes an archived agent alone", async () => {
    const { id } = (await app.post("/agents", { name: "to-destroy", system_prompt: "x" })).body;
    const destroy = () => app.call("POST", `/agents/${id}/delete`);
    expectProblem(await destroy(), "conflict", /not archived/);
    await app.call("DELETE", `/agents/${id}`);
    expect((await destroy()).body.status).toBe("deleted");
    expectProblem(await destroy(), "not_found", /Agent/);
    expect((await app.post("/agents", { name: "to-destroy", system_prompt: "x" })).status).toBe(201);
  });
});
