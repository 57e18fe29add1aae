/** Maps in the schemas: whatever their keys are, their values are looked at. */
import { expect, test } from "bun:test";
import { Glob } from "bun";
import { compileCheck } from "../../src/contract/check.ts";
import { McpServers } from "../../src/contract/common.ts";

test("a key with a line break hides no value from the check", () => {
  const servers = compileCheck(McpServers);
  expect(servers.firstError({ "two\nlines": { url: "https://mcp.example" } })).toBeNull();
  expect(servers.firstError({ "two\nlines": 2 })).not.toBeNull();
  expect(servers.firstError({ one: { headers: { "two\r\nlines": 2 } } })).not.toBeNull();
});

test("no schema of the contract has a map whose pattern for keys stops at a line break", async () => {
  const room = `${import.meta.dir}/../../src/contract`;
  const patterns = new Set<string>();
  const seen = new Set<object>();
  const walk = (value: unknown) => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    if ("patternProperties" in value)
      for (const pattern of Object.keys(value.patternProperties as object)) patterns.add(pattern);
    for (const each of Object.values(value)) walk(each);
  };
  for (const file of new Glob("*.ts").scanSync(room)) walk(Object.values(await import(`${room}/${file}`)));
  expect(patterns.size).toBeGreaterThan(0);
  for (const pattern of patterns) expect("two\nlines").toMatch(new RegExp(pattern));
});
