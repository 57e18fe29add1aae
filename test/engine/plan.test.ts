import { describe, expect, test } from "bun:test";
import {
  mergeCapabilities,
  mergeFiles,
  mergeMcpServers,
  mergeNetwork,
} from "../../src/capabilities/layers.ts";
import type { TurnConfig } from "../../src/db/sessions.ts";
import { planTurn } from "../../src/engine/plan.ts";

const layer = (overrides: object) => ({
  id: "x",
  name: "x",
  system_prompt: null,
  capabilities: [],
  initial_files: [],
  mcp_servers: {},
  network_access: null,
  parallel_tool_calls: null,
  default_model_id: null,
  max_iterations: null,
  tools: [],
  ...overrides,
});

describe("the plan of a turn", () => {
  test("prompts are joined from the farthest harness to the session", () => {
    const config = {
      session: layer({ system_prompt: "session" }),
      agent: layer({ system_prompt: "agent", max_iterations: 7 }),
      harnesses: [layer({ system_prompt: "near" }), layer({ system_prompt: "far" })],
      definitions: {},
    } as unknown as TurnConfig;
    const plan = planTurn(config);
    expect(plan.systemPrompt).toBe("far\n\nnear\n\nagent\n\nsession");
    expect(plan.iterationsMax).toBe(7);
  });

  test("the nearest single value wins, false as well as true", () => {
    const config = {
      session: layer({}),
      agent: layer({ parallel_tool_calls: false }),
      harnesses: [layer({ parallel_tool_calls: true })],
      definitions: {},
    } as unknown as TurnConfig;
    expect(planTurn(config).parallelToolCalls).toBe(false);
  });

  test("a capability keeps its first place and takes its last configuration", () => {
    const merged = mergeCapabilities([
      [{ ref: "a", config: 1 }, { ref: "b" }],
      [{ ref: "c" }, { ref: "a", config: 2 }],
      [{ ref: "a" }],
    ]);
    expect(merged).toEqual([{ ref: "a", config: 2 }, { ref: "b" }, { ref: "c" }]);
  });

  const cases: [string, Parameters<typeof mergeNetwork>[0], ReturnType<typeof mergeNetwork>][] = [
    ["no rules allow everything", [null, {}], { allowed: [], blocked: [] }],
    [
      "blocked hosts add up",
      [{ blocked: ["a.com"] }, { blocked: ["b.com", "a.com"] }],
      { allowed: [], blocked: ["a.com", "b.com"] },
    ],
    [
      "allowed hosts intersect",
      [{ allowed: ["a.com", "b.com"] }, { allowed: ["b.com", "c.com"] }],
      { allowed: ["b.com"], blocked: [] },
    ],
    [
      "a host lies within the wildcard of its domain",
      [{ allowed: ["*.a.com"] }, { allowed: ["docs.a.com"] }],
      { allowed: ["docs.a.com"], blocked: [] },
    ],
    [
      "a host does not cover what is below it",
      [{ allowed: ["a.com"] }, { allowed: ["docs.a.com"] }],
      { allowed: ["nothing.invalid"], blocked: [] },
    ],
    [
      "a URL lies within its host",
      [{ allowed: ["a.com"] }, { allowed: ["https://a.com/api/"] }],
      { allowed: ["https://a.com/api/"], blocked: [] },
    ],
    [
      "the narrower of two URLs is kept",
      [{ allowed: ["https://a.com/api/v1"] }, { allowed: ["https://a.com/api"] }],
      { allowed: ["https://a.com/api/v1"], blocked: [] },
    ],
    [
      "nothing in common allows nothing",
      [{ allowed: ["a.com"] }, { allowed: ["b.com"] }],
      { allowed: ["nothing.invalid"], blocked: [] },
    ],
    [
      "and stays so",
      [{ allowed: ["a.com"] }, { allowed: ["b.com"] }, { allowed: ["a.com"] }],
      { allowed: ["nothing.invalid"], blocked: [] },
    ],
  ];
  for (const [name, layers, expected] of cases) {
    test(name, () => expect(mergeNetwork(layers)).toEqual(expected));
  }
});

test("MCP servers merge by name and starter files by path, the later layer's whole", () => {
  expect(
    mergeMcpServers([
      {
        docs: { url: "https://far.example.com", headers: { a: "1" } },
        only: { url: "https://only.example.com" },
      },
      { docs: { url: "https://near.example.com" } },
    ]),
  ).toEqual({ docs: { url: "https://near.example.com" }, only: { url: "https://only.example.com" } });
  expect(
    mergeFiles([
      [
        { path: "/a", content: "far", is_readonly: true },
        { path: "/b", content: "b" },
      ],
      [{ path: "/a", content: "near" }],
    ]),
  ).toEqual([
    { path: "/a", content: "near" },
    { path: "/b", content: "b" },
  ]);
});
