/** Going on with an answer that was begun in an earlier attempt. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { buildAnthropicParams } from "../../src/llm/anthropic.ts";
import type { Chunk } from "../../src/llm/driver.ts";
import { withoutRepeatedSpace } from "../../src/llm/prefix.ts";
import { ask, call, driverAt, testDeps } from "./support/call.ts";

describe("who can go on from a beginning", () => {
  const cases: [what: string, type: string, url: string | null, request: object, can: boolean][] = [
    ["Claude 4.5", "anthropic", null, { model: "claude-sonnet-4-5-20250929" }, true],
    ["Claude 3.5", "anthropic", null, { model: "claude-3-5-haiku-20241022" }, true],
    [
      "Claude 4.5 that thinks",
      "anthropic",
      null,
      { model: "claude-sonnet-4-5", reasoningEffort: "high" },
      false,
    ],
    ["Claude 4.6, which refuses it", "anthropic", null, { model: "claude-opus-4-6" }, false],
    ["Claude 5", "anthropic", null, { model: "claude-sonnet-5-5" }, false],
    ["white space alone", "anthropic", null, { model: "claude-sonnet-4-5", prefix: " \n" }, false],
    ["an imitation of Anthropic", "anthropic", "http://localhost:1", { model: "claude-sonnet-4-5" }, false],
    ["OpenAI", "openai", null, { model: "gpt-5.2" }, false],
    ["Chat Completions of anybody", "openai_completions", "http://localhost:1/v1", { model: "m" }, false],
    ["the simulated model", "llmsim", null, { model: "llmsim-fixed", prefix: "This is" }, true],
    ["the simulated model, with what it never said", "llmsim", null, { model: "llmsim-fixed" }, false],
  ];
  for (const [what, type, url, request, can] of cases) {
    test(`${what}: ${can ? "can" : "cannot"}`, () => {
      const answer = driverAt(type, url).canContinue?.(ask("hi", { prefix: "So far", ...request }));
      expect(answer ?? false).toBe(can);
    });
  }
});

test("Anthropic is sent the beginning as the last message, without white space at its end", () => {
  const { messages } = buildAnthropicParams(ask("hi", { model: "claude-sonnet-4-5", prefix: "So far \n" }));
  expect(messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
  expect(messages.at(-1)?.content).toBe("So far");
});

test("the simulated model says the rest, and counts only that", async () => {
  const request = ask("```llmsim\nrate: 0\nsteps:\n  - text: The whole of the answer.\n```", {
    model: "llmsim",
  });
  const driver = driverAt("llmsim", null, testDeps());
  const whole = await call(driver, request);
  const rest = await call(driver, { ...request, prefix: "The whole o" });
  expect([whole.text, rest.text]).toEqual(["The whole of the answer.", "f the answer."]);
  expect(rest.usage.output_tokens).toBe(Math.ceil("f the answer.".length / 4));
});

test("beginning and continuation make the answer, whether or not the vendor repeats the white space", async () => {
  const space = fc.constantFrom("", " ", "\n", "  \n\n", " \t");
  const pieces = fc.array(fc.string({ minLength: 1, maxLength: 4 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      space,
      pieces,
      fc.boolean(),
      fc.integer({ min: 1, max: 3 }),
      async (gap, said, repeats, size) => {
        const rest = said.join("").trimStart();
        const text = (repeats ? gap : "") + rest;
        const chunks: Chunk[] = [];
        for (let at = 0; at < text.length; at += size)
          chunks.push({ kind: "text", text: text.slice(at, at + size) });
        let got = "";
        for await (const chunk of withoutRepeatedSpace(`So far${gap}`, streamOf(chunks))) {
          if (chunk.kind === "text") got += chunk.text;
        }
        expect(got).toBe(rest);
      },
    ),
  );
});

async function* streamOf(chunks: readonly Chunk[]): AsyncGenerator<Chunk> {
  yield* chunks;
}
