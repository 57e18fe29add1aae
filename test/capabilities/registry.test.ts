import { expect, test } from "bun:test";
import { createCapabilities, type ResolvedTool } from "../../src/capabilities/registry.ts";

const capabilities = createCapabilities();
const idsOf = (tools: readonly { tool: { name: string } }[]) => tools.map(({ tool }) => tool.name);

/** What the model is told about the zone; it names the configured one. */
function timezoneHint(resolved: ResolvedTool | undefined): unknown {
  const { properties } = resolved!.tool.parameters() as {
    properties: Record<string, { description: string }>;
  };
  return properties.timezone?.description;
}

test("the list: ids, tools, and JSON Schemas that a model's vendor accepts", () => {
  expect(capabilities.list().map((entry) => entry.id)).toEqual([
    "current_time",
    "timer",
    "session_schedule",
    "subagents",
    "session_file_system",
    "memory",
    "session_storage",
    "session_sql_database",
    "skills",
    "web_fetch",
    "tool_approval",
    "guardrails",
  ]);
  for (const entry of capabilities.list()) {
    expect(capabilities.find(entry.id)).toEqual(entry);
    for (const tool of entry.tool_definitions) {
      expect(tool.name).toMatch(/^[a-z][a-z_]{0,63}$/);
      expect((tool.parameters as { type: string }).type).toBe("object");
      expect(JSON.stringify(tool.parameters)).not.toContain("$schema");
      expect(tool.type).toBe("builtin");
    }
    // Plain data: what goes over the wire is what is here.
    expect(JSON.parse(JSON.stringify(entry))).toEqual(entry);
  }
  expect(capabilities.find("nothing")).toBeNull();
  expect(capabilities.find("session_file_system")?.features).toEqual(["file_system"]);
});

test("the file tools of the contract", () => {
  expect(idsOf(capabilities.resolve([{ ref: "session_file_system" }]).tools)).toEqual([
    ...["read_file", "read_many_files", "write_file", "edit_file", "list_directory", "grep_files", "glob"],
    ...["delete_file", "stat_file"],
  ]);
});

test("each tool says what a killed call may do again", () => {
  const all = capabilities.resolve(capabilities.list().map(({ id }) => ({ ref: id }))).tools;
  const byEffect = Object.groupBy(all, ({ tool }) => tool.effect);
  expect(idsOf(byEffect.idempotent ?? [])).toEqual([
    ...["create_schedule", "cancel_schedule", "spawn_agent"],
    ...["write_file", "edit_file", "delete_file", "kv_store", "secret_store"],
  ]);
  expect(idsOf(byEffect.at_most_once ?? [])).toEqual(["sql_execute"]);
});

test("prompts and tools come in the order of the references; a repeated one keeps its place", () => {
  const resolved = capabilities.resolve([
    { ref: "web_fetch" },
    { ref: "current_time", config: { timezone: "Asia/Tokyo" } },
    { ref: "web_fetch" },
    { ref: "current_time" },
    { ref: "gone" },
    { ref: "gone" },
  ]);
  expect(resolved.tools.map(({ capabilityId, capabilityName }) => [capabilityId, capabilityName])).toEqual([
    ["web_fetch", "Web fetch"],
    ["current_time", "Current time"],
  ]);
  expect(resolved.unknown).toEqual(["gone"]);
  expect(resolved.prompt).toContain("web_fetch");
  expect(resolved.prompt).not.toContain("file system");
  expect(timezoneHint(resolved.tools[1])).toContain("Asia/Tokyo");
});

test("the later configuration stands", () => {
  const [time] = capabilities.resolve([
    { ref: "current_time", config: { timezone: "Asia/Tokyo" } },
    { ref: "current_time", config: { timezone: "Europe/Kyiv" } },
  ]).tools;
  expect(timezoneHint(time)).toContain("Europe/Kyiv");
});

test("no references, no prompt, no tools", () => {
  expect(capabilities.resolve([])).toEqual({
    prompt: "",
    prompts: [],
    tools: [],
    approval: null,
    mounts: [],
    guards: [],
    unknown: [],
  });
});

test("a stored configuration that no longer fits gives way to the defaults", () => {
  expect(idsOf(capabilities.resolve([{ ref: "current_time", config: { timezone: 7 } }]).tools)).toEqual([
    "get_current_time",
  ]);
});

const MEMORY = `mem_${"0".repeat(32)}`;
const validations: [string, unknown, string | null][] = [
  ["current_time", undefined, null],
  ["current_time", null, null],
  ["current_time", {}, null],
  ["current_time", { timezone: "Europe/Kyiv" }, null],
  ["current_time", { timezone: "Kyiv" }, "not an IANA time zone"],
  ["current_time", { timezone: 5 }, "expected string"],
  ["current_time", "UTC", "config of the capability current_time"],
  ["session_file_system", {}, null],
  ["memory", { mounts: [{ memory: MEMORY, path: "/workspace/notes" }] }, null],
  ["memory", { mounts: [{ memory: "mem_1", path: "/notes" }] }, "not the id of a memory"],
  ["memory", { mounts: [{ memory: MEMORY, path: "/workspace/" }] }, "at the root"],
  ["memory", { mounts: [{ memory: MEMORY, path: "/../notes" }] }, "`..`"],
  ["memory", { mounts: [{ memory: MEMORY, path: "/_/notes" }] }, "reserved"],
  ["memory", { mounts: [{ memory: MEMORY, path: "/a", mode: "append" }] }, "readonly"],
  [
    "memory",
    {
      mounts: [
        { memory: MEMORY, path: "/a/b" },
        { memory: MEMORY, path: "a" },
      ],
    },
    "within each other",
  ],
  ["session_file_system", { a: 1 }, null],
  ["web_fetch", undefined, null],
  ["nothing", undefined, 'there is no capability "nothing"; available: current_time'],
  ["__proto__", undefined, "there is no capability"],
];
for (const [ref, config, expected] of validations) {
  test(`${ref} with ${JSON.stringify(config)}: ${expected ?? "fine"}`, () => {
    const problem = capabilities.validate(ref, config);
    if (expected === null) expect(problem).toBeNull();
    else expect(problem).toContain(expected);
  });
}

test("a host rule that is none is refused when the list is made", () => {
  expect(() => createCapabilities({ webFetch: { allowPrivateHosts: ["http://x"] } })).toThrow(
    "not a host rule",
  );
});
