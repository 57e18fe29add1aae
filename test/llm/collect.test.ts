import { expect, test } from "bun:test";
import fc from "fast-check";
import { createCollector } from "../../src/llm/collect.ts";
import type { Chunk } from "../../src/llm/driver.ts";

function collect(chunks: readonly Chunk[]) {
  const collector = createCollector();
  for (const chunk of chunks) collector.add(chunk);
  return collector.result();
}

test("nothing said is an empty answer that has not ended", () => {
  expect(collect([])).toEqual({
    text: "",
    toolCalls: [],
    thinking: null,
    thinkingSignature: null,
    reasoningItems: [],
    usage: { input_tokens: 0, output_tokens: 0 },
    finish: null,
    responseId: null,
    error: null,
    aborted: false,
    retries: { attempts: 0, totalWaitMs: 0, reasons: [] },
  });
});

test("every kind of chunk finds its place", () => {
  const item = { provider: "openai", itemId: "rs_1", summary: ["s"], encryptedContent: "e" };
  const error = {
    code: "provider_unavailable",
    message: "m",
    retryable: true,
    retryAfterMs: null,
    status: 500,
  } as const;
  const answer = collect([
    { kind: "retry", attempt: 1, waitMs: 10, error },
    { kind: "retry", attempt: 2, waitMs: 30, error },
    { kind: "usage", usage: { input_tokens: 1, output_tokens: 0 } },
    { kind: "thinking", text: "th" },
    { kind: "thinking", text: "ink" },
    { kind: "thinking_signature", signature: "sig" },
    { kind: "reasoning_item", item },
    { kind: "text", text: "he" },
    { kind: "text", text: "llo" },
    { kind: "tool_call", index: 0, id: "a", name: "one" },
    { kind: "tool_call", index: 1, id: "b", name: "two" },
    { kind: "tool_arguments", index: 1, json: "{}" },
    { kind: "tool_arguments", index: 0, json: '{"x"' },
    { kind: "tool_arguments", index: 0, json: ":1" },
    { kind: "usage", usage: { input_tokens: 9, output_tokens: 4, cache_read_tokens: 2 } },
    { kind: "finish", reason: "tool_calls", responseId: "r" },
  ]);
  expect(answer).toEqual({
    text: "hello",
    toolCalls: [
      { id: "a", name: "one", argumentsJson: '{"x":1' },
      { id: "b", name: "two", argumentsJson: "{}" },
    ],
    thinking: "think",
    thinkingSignature: "sig",
    reasoningItems: [item],
    usage: { input_tokens: 9, output_tokens: 4, cache_read_tokens: 2 },
    finish: "tool_calls",
    responseId: "r",
    error: null,
    aborted: false,
    retries: { attempts: 2, totalWaitMs: 40, reasons: ["provider_unavailable", "provider_unavailable"] },
  });
});

test("how a vendor cuts its answer into pieces does not matter", () => {
  const cut = (text: string, at: readonly number[]) => {
    const places = [...new Set(at.map((place) => place % (text.length + 1)))].sort((a, b) => a - b);
    return [0, ...places].map((from, index) => text.slice(from, [...places, text.length][index]));
  };
  const places = fc.array(fc.nat(), { maxLength: 12 });
  fc.assert(
    fc.property(
      fc.record({ text: fc.string(), thinking: fc.string(), calls: fc.array(fc.json(), { maxLength: 4 }) }),
      places,
      places,
      ({ text, thinking, calls }, some, others) => {
        const chunks = (at: readonly number[]): Chunk[] => [
          ...cut(thinking, at).map((piece): Chunk => ({ kind: "thinking", text: piece })),
          ...cut(text, at).map((piece): Chunk => ({ kind: "text", text: piece })),
          ...calls.flatMap((json, index): Chunk[] => [
            { kind: "tool_call", index, id: `c${index}`, name: "t" },
            ...cut(json, at).map((piece): Chunk => ({ kind: "tool_arguments", index, json: piece })),
          ]),
          { kind: "finish", reason: "stop", responseId: null },
        ];
        expect(collect(chunks(some))).toEqual(collect(chunks(others)));
        expect(collect(chunks(some)).text).toBe(text);
        expect(collect(chunks(some)).toolCalls.map((call) => call.argumentsJson)).toEqual(calls);
      },
    ),
  );
});

test("the result so far is a copy: what comes later does not change it", () => {
  const collector = createCollector();
  collector.add({ kind: "text", text: "a" });
  const early = collector.result();
  collector.add({ kind: "text", text: "b" });
  collector.add({ kind: "aborted" });
  expect(early).toMatchObject({ text: "a", aborted: false });
  expect(collector.result()).toMatchObject({ text: "ab", aborted: true });
});
