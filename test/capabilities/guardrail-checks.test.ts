import { expect, test } from "bun:test";
import { createGuardrails, GuardrailsConfig } from "../../src/capabilities/guardrail-checks.ts";

const guard = (check: object, config: object = {}) =>
  createGuardrails(GuardrailsConfig.parse({ checks: [check], ...config }));

const names: [pattern: string, name: string, matches: boolean][] = [
  ["bash", "bash", true],
  ["bash", "bash2", false],
  ["*", "anything", true],
  ["mcp_*", "mcp_docs_read", true],
  ["mcp_*_read", "mcp_docs_read", true],
  ["mcp_*_read", "mcp_docs_write", false],
  ["a*a", "a", false],
  ["a*b*c", "axxbyyc", true],
  ["a*b*c", "acb", false],
  ["*shell*", "a_shell", true],
  ["a.c", "abc", false],
];
for (const [pattern, name, matches] of names) {
  test(`the tool pattern ${pattern} ${matches ? "covers" : "does not cover"} ${name}`, () => {
    const hits = guard({ type: "tool_pattern", stage: "tool_use", tools: [pattern] }).evaluate({
      stage: "tool_use",
      text: "{}",
      toolName: name,
    });
    expect(hits.length).toBe(matches ? 1 : 0);
  });
}

test("a pattern that multiplies does not hold up the worker, and what it could not finish counts as a hit", () => {
  const rails = guard({ type: "regex", stage: "output", patterns: ["(x{1,50}){1,50}y"] });
  const hits = rails.evaluate({ stage: "output", text: "x".repeat(100_000), toolName: null });
  expect(hits.map(({ action, matched }) => [action, matched])).toEqual([["block", null]]);
});

test("words are found whatever their case, unless it matters", () => {
  const found = (text: string, case_sensitive: boolean) =>
    guard({ type: "blocklist", stage: "output", words: ["Secret"], case_sensitive }).evaluate({
      stage: "output",
      text,
      toolName: null,
    }).length;
  expect([found("SECRET", false), found("SECRET", true), found("a Secret", true)]).toEqual([1, 0, 1]);
});

test("stages at which something may be blocked are known beforehand", () => {
  const word = { type: "blocklist", stage: "output", words: ["x"] };
  expect([...guard(word).blocks]).toEqual(["output"]);
  expect([...guard({ ...word, on_fail: "log" }).blocks]).toEqual([]);
  expect([...guard(word, { mode: "advisory" }).blocks]).toEqual([]);
});
