/** What is particular to Anthropic Messages: thinking that must go back as it came, grouping, caching, effort. */
import { describe, expect, test } from "bun:test";
import type Anthropic from "@anthropic-ai/sdk";
import fc from "fast-check";
import { buildAnthropicParams } from "../../src/llm/anthropic.ts";
import { buildMessages } from "../../src/llm/anthropic-messages.ts";
import { type AnthropicEvent, createAnthropicReader } from "../../src/llm/anthropic-reader.ts";
import { createCollector } from "../../src/llm/collect.ts";
import { ask, assistant, call, driverAt, KEY, kinds, testDeps, toolResult, user } from "./support/call.ts";
import { event, jsonReply, startRawServer } from "./support/raw-server.ts";

const TOOLS = ["a", "b"].map((name) => ({ name, description: name, parameters: { properties: {} } }));
const MODEL = "claude-sonnet-5-5";
const CACHED = { cache_control: { type: "ephemeral" } };

describe("the request", () => {
  test("results of one answer and what the user says next share one message; the stable parts are cached", () => {
    const params = buildAnthropicParams(
      ask("", {
        model: MODEL,
        tools: TOOLS,
        parallelToolCalls: false,
        messages: [
          user(
            "look",
            { type: "image", mediaType: "image/png", data: "aGk=" },
            { type: "image_url", url: "https://x.example/a.png" },
          ),
          assistant({
            text: "Looking.",
            thinking: "hm",
            thinkingSignature: "sig",
            toolCalls: [
              { id: "c1", name: "a", argumentsJson: '{"x":1}' },
              { id: "c2", name: "b", argumentsJson: "[1]" },
            ],
          }),
          toolResult("c1", "one"),
          toolResult("c2", "two", true),
          user("hurry", "   "),
        ],
      }),
    );
    expect(params).toMatchObject({
      model: MODEL,
      max_tokens: 128_000,
      stream: true,
      system: [{ type: "text", text: "Be brief.", ...CACHED }],
      tools: [
        { name: "a", input_schema: { type: "object" } },
        { name: "b", ...CACHED },
      ],
      tool_choice: { type: "auto", disable_parallel_tool_use: true },
    });
    expect(params.tools?.[0]).not.toHaveProperty("cache_control");
    expect(params.messages).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: "aGk=" } },
          { type: "image", source: { type: "url", url: "https://x.example/a.png" } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "sig" },
          { type: "text", text: "Looking." },
          { type: "tool_use", id: "c1", name: "a", input: { x: 1 } },
          { type: "tool_use", id: "c2", name: "b", input: { malformed_arguments: "[1]" } },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "c1", content: "one" },
          { type: "tool_result", tool_use_id: "c2", content: "two", is_error: true },
          { type: "text", text: "hurry", ...CACHED } as Anthropic.TextBlockParam,
        ],
      },
    ]);
  });

  test("thinking without a signature, and reasoning of another vendor, stay at home", () => {
    const foreign = { provider: "openai", itemId: "rs_1", summary: ["s"], encryptedContent: "e" };
    const messages = [
      user("a"),
      assistant({ text: "b", thinking: "hm", reasoningItems: [foreign] }),
      user("c"),
    ];
    expect(buildMessages(messages, { cache: false, thinking: true })[1]?.content).toEqual([
      { type: "text", text: "b" },
    ]);
  });

  test("an answer of thinking alone is left out, and turns still alternate", () => {
    const messages = [user("a"), assistant({ thinking: "hm", thinkingSignature: "sig" }), user("b")];
    expect(buildMessages(messages, { cache: false, thinking: true })).toEqual([
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
    ]);
  });

  test("a signature over hidden thinking goes back with empty thinking", () => {
    const messages = [user("a"), assistant({ text: "b", thinkingSignature: "sig" })];
    expect(buildMessages(messages, { cache: false, thinking: true })[1]?.content).toEqual([
      { type: "thinking", thinking: "", signature: "sig" },
      { type: "text", text: "b" },
    ]);
  });

  const SUMMARIZED = { type: "adaptive", display: "summarized" };
  const THINKING: [model: string, effort: string | null, thinking: unknown, sentEffort: unknown][] = [
    ["claude-opus-5-5", null, SUMMARIZED, undefined],
    ["claude-opus-5-5", "minimal", SUMMARIZED, "low"],
    ["claude-opus-5-5", "none", SUMMARIZED, "low"],
    ["claude-opus-5-5", "xhigh", SUMMARIZED, "xhigh"],
    ["claude-haiku-5-5", "none", { type: "disabled" }, undefined],
    ["claude-opus-4-6", null, undefined, undefined],
    ["claude-opus-4-6", "xhigh", SUMMARIZED, "high"],
    ["claude-haiku-4-5", null, undefined, undefined],
    ["claude-haiku-4-5", "none", undefined, undefined],
    ["claude-haiku-4-5", "medium", { type: "enabled", budget_tokens: 10_240 }, undefined],
    ["claude-haiku-4-5-20251001", "high", { type: "enabled", budget_tokens: 24_576 }, undefined],
    ["kimi-k3", "low", { type: "enabled", budget_tokens: 4_096 }, undefined],
    ["kimi-k3", null, undefined, undefined],
  ];
  for (const [model, effort, thinking, sentEffort] of THINKING) {
    test(`${model} asked for effort ${effort}`, () => {
      const params = buildAnthropicParams(ask("hi", { model, reasoningEffort: effort }));
      expect(params.thinking).toEqual(thinking as never);
      expect(params.output_config?.effort).toEqual(sentEffort as never);
    });
  }

  test("a budget leaves half of a small limit to the answer, and gives up below the least", () => {
    const budget = (maxOutputTokens: number) =>
      buildAnthropicParams(ask("hi", { model: "claude-haiku-4-5", reasoningEffort: "high", maxOutputTokens }))
        .thinking;
    expect(budget(4000)).toEqual({ type: "enabled", budget_tokens: 2000 });
    expect(budget(2000)).toBeUndefined();
  });

  test("no budget in the middle of a tool loop that began without thinking", () => {
    const messages = [
      user("a"),
      assistant({ toolCalls: [{ id: "c", name: "a", argumentsJson: "{}" }] }),
      toolResult("c", "r"),
    ];
    const params = buildAnthropicParams(
      ask("", { model: "claude-haiku-4-5", reasoningEffort: "high", messages }),
    );
    expect(params.thinking).toBeUndefined();
  });
});

type Block = Anthropic.ContentBlockParam;

/** The events of an answer that consists of these blocks, each cut in two. */
function eventsOf(blocks: readonly Block[]): AnthropicEvent[] {
  const halves = (text: string) => [text.slice(0, text.length >> 1), text.slice(text.length >> 1)];
  return blocks.flatMap((block, index): AnthropicEvent[] => {
    const delta = (value: { type: string } & Record<string, unknown>): AnthropicEvent => {
      return { type: "content_block_delta", index, delta: value };
    };
    const stop: AnthropicEvent = { type: "content_block_stop", index };
    const start = (content_block: { type: string } & Record<string, unknown>): AnthropicEvent => {
      return { type: "content_block_start", index, content_block };
    };
    switch (block.type) {
      case "text":
        return [
          start({ type: "text", text: "" }),
          ...halves(block.text).map((text) => delta({ type: "text_delta", text })),
          stop,
        ];
      case "thinking":
        return [
          start({ type: "thinking", thinking: "", signature: "" }),
          ...halves(block.thinking).map((thinking) => delta({ type: "thinking_delta", thinking })),
          ...halves(block.signature).map((signature) => delta({ type: "signature_delta", signature })),
          stop,
        ];
      case "redacted_thinking":
        return [start({ type: "redacted_thinking", data: block.data }), stop];
      case "tool_use":
        return [
          start({ type: "tool_use", id: block.id, name: block.name, input: {} }),
          ...halves(JSON.stringify(block.input)).map((partial_json) =>
            delta({ type: "input_json_delta", partial_json }),
          ),
          stop,
        ];
      default:
        throw new Error(`no events for ${block.type}`);
    }
  });
}

function readBack(blocks: readonly Block[]) {
  const reader = createAnthropicReader();
  const collector = createCollector();
  for (const happened of eventsOf(blocks)) for (const chunk of reader.read(happened)) collector.add(chunk);
  const { text, toolCalls, thinking, thinkingSignature, reasoningItems } = collector.result();
  const message = assistant({ text, toolCalls, thinking, thinkingSignature, reasoningItems });
  return { message, blocks: buildMessages([message], { cache: false, thinking: true })[0]?.content ?? [] };
}

describe("thinking goes back as it came", () => {
  const thought = (thinking: string, signature: string): Block => ({ type: "thinking", thinking, signature });
  const hidden = (data: string): Block => ({ type: "redacted_thinking", data });
  const said = (text: string): Block => ({ type: "text", text });
  const used = (id: string): Block => ({ type: "tool_use", id, name: "t", input: { id } });
  const CASES: [name: string, blocks: Block[]][] = [
    ["one thought, then words", [thought("hm", "s1"), said("yes")]],
    ["a redacted thought", [hidden("d1"), said("yes")]],
    [
      "a redacted thought among open ones",
      [thought("a", "s1"), hidden("d1"), thought("b", "s2"), said("yes")],
    ],
    ["two redacted thoughts in a row", [hidden("d1"), hidden("d2"), used("c1")]],
    ["thoughts between calls", [thought("a", "s1"), used("c1"), thought("b", "s2"), used("c2")]],
    ["words before the first thought", [said("Well."), thought("a", "s1"), used("c1")]],
    ["thinking that is not shown", [thought("", "s1"), used("c1"), thought("", "s2"), used("c2")]],
  ];
  for (const [name, blocks] of CASES) {
    test(name, () => expect(readBack(blocks).blocks).toEqual(blocks));
  }

  /** Text is one block between thoughts and comes before the calls there; no model gives it otherwise. */
  const mayFollow = (before: readonly Block[]) =>
    ["thinking", "redacted_thinking", undefined].includes(before.at(-1)?.type);

  test("any order of blocks comes back in that order, every signature over its own thinking", () => {
    const word = fc.string({ minLength: 1, maxLength: 8 }).filter((text) => text.trim() !== "");
    const block = fc.oneof(
      fc
        .tuple(fc.string({ maxLength: 8 }), word)
        .map(([thinking, signature]) => thought(thinking, signature)),
      word.map(hidden),
      word.map(said),
      fc.uuid().map(used),
    );
    fc.assert(
      fc.property(fc.array(block, { maxLength: 8 }), (generated) => {
        const blocks = generated.filter(
          (made, index) => made.type !== "text" || mayFollow(generated.slice(0, index)),
        );
        const back = readBack(blocks).blocks as Block[];
        const answers = (made: Block) => made.type === "text" || made.type === "tool_use";
        if (!blocks.some(answers)) return expect(back).toEqual([]);
        // Paragraphs get a blank line between them; everything else is exact.
        const bare = (made: Block) => (made.type === "text" ? { ...made, text: made.text.trim() } : made);
        return expect(back.map(bare)).toEqual(blocks.map(bare));
      }),
    );
  });
});

const START = event({
  type: "message_start",
  message: {
    id: "msg_1",
    usage: {
      input_tokens: 20,
      cache_read_input_tokens: 700,
      cache_creation_input_tokens: 30,
      output_tokens: 1,
    },
  },
});
const block = (index: number, content_block: Record<string, unknown>) =>
  event({ type: "content_block_start", index, content_block });
const delta = (index: number, value: Record<string, unknown>) =>
  event({ type: "content_block_delta", index, delta: value });
const close = (index: number) => event({ type: "content_block_stop", index });
const end = (stop_reason: string, more: Record<string, unknown> = {}) =>
  event({ type: "message_delta", delta: { stop_reason, ...more }, usage: { output_tokens: 42 } }) +
  event({ type: "message_stop" });
const words = (text: string) =>
  block(0, { type: "text", text: "" }) + delta(0, { type: "text_delta", text }) + close(0);

async function play(replies: Parameters<typeof startRawServer>[0], overrides = {}) {
  const server = await startRawServer(replies);
  const answer = await call(
    driverAt("anthropic", `${server.url}/v1`, testDeps()),
    ask("hi", { model: MODEL, ...overrides }),
  );
  await server.stop();
  return { answer, server };
}

describe("the stream", () => {
  test("usage in its buckets; the address may end with /v1; pings are not words", async () => {
    const { answer, server } = await play([
      { body: [START, event({ type: "ping" }), words("hi"), end("end_turn")] },
    ]);
    expect(answer).toMatchObject({
      text: "hi",
      finish: "stop",
      responseId: "msg_1",
      usage: { input_tokens: 20, output_tokens: 42, cache_read_tokens: 700, cache_creation_tokens: 30 },
    });
    expect(server.requests[0]).toMatchObject({ path: "/v1/messages", method: "POST" });
    expect(server.requests[0]?.headers).toMatchObject({ authorization: `Bearer ${KEY}`, "x-api-key": KEY });
  });

  test("malformed arguments pass as they are; arguments given at the start are kept", async () => {
    const { answer } = await play([
      {
        body: [
          START,
          block(0, { type: "tool_use", id: "c1", name: "a", input: {} }),
          delta(0, { type: "input_json_delta", partial_json: '{"x": no' }),
          delta(0, { type: "input_json_delta", partial_json: "pe" }),
          close(0),
          block(1, { type: "tool_use", id: "c2", name: "b", input: { y: 2 } }),
          close(1),
          block(2, { type: "tool_use", id: "c3", name: "c", input: {} }),
          close(2),
          end("tool_use"),
        ],
      },
    ]);
    expect(answer.finish).toBe("tool_calls");
    expect(answer.toolCalls).toEqual([
      { id: "c1", name: "a", argumentsJson: '{"x": nope' },
      { id: "c2", name: "b", argumentsJson: '{"y":2}' },
      { id: "c3", name: "c", argumentsJson: "" },
    ]);
  });

  const ENDS: [stopReason: string, finish: string][] = [
    ["end_turn", "stop"],
    ["stop_sequence", "stop"],
    ["max_tokens", "length"],
    ["model_context_window_exceeded", "length"],
    ["refusal", "refusal"],
    ["pause_turn", "other"],
  ];
  for (const [stopReason, finish] of ENDS) {
    test(`${stopReason} is ${finish}`, async () => {
      const { answer } = await play([{ body: [START, words("x"), end(stopReason)] }]);
      expect(answer.finish).toBe(finish as never);
    });
  }

  test("a refusal without a word says why", async () => {
    const { answer } = await play([
      { body: [START, end("refusal", { stop_details: { explanation: "Too dangerous." } })] },
    ]);
    expect(answer).toMatchObject({ text: "Too dangerous.", finish: "refusal" });
  });

  test("an imitation that forgets message_stop is believed when it gave a reason", async () => {
    const reason = event({ type: "message_delta", delta: { stop_reason: "end_turn" }, usage: null });
    const { answer } = await play([{ body: [START, words("x"), reason] }]);
    expect(answer).toMatchObject({ text: "x", finish: "stop" });
  });

  test("overloaded after words: an error that may be tried again", async () => {
    const overloaded = event({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } });
    const { answer } = await play([{ body: [START, words("x"), overloaded] }]);
    expect(answer.error).toMatchObject({ code: "provider_unavailable", retryable: true });
    expect(answer.error?.message).toContain("Overloaded");
  });

  test("overloaded before words: asked again", async () => {
    const deps = testDeps();
    const overloaded = event({ type: "error", error: { type: "overloaded_error", message: "Overloaded" } });
    const server = await startRawServer([
      { body: [START, overloaded] },
      { body: [START, words("x"), end("end_turn")] },
    ]);
    const answer = await call(driverAt("anthropic", server.url, deps), ask("hi", { model: MODEL }), {
      clock: deps.clock,
    });
    expect(kinds(answer.chunks)).toEqual(["usage", "retry", "usage", "text", "usage", "finish"]);
    await server.stop();
  });
});

describe("what the vendor refuses is given up, at once and only once", () => {
  const refusal = (message: string) =>
    jsonReply(400, { type: "error", error: { type: "invalid_request_error", message } });
  const fine = { body: [START, words("ok"), end("end_turn")] };
  const signed = [user("a"), assistant({ text: "b", thinking: "t", thinkingSignature: "s" }), user("c")];
  // biome-ignore lint/suspicious/noExplicitAny: reads the vendor's request as it was sent
  type Check = (body: any) => boolean;
  const CASES: [name: string, message: string, isWithout: Check][] = [
    [
      "thinking of another model",
      "messages.1.content.0: Invalid `signature` in `thinking` block",
      (body) => body.messages[1].content[0].type === "text",
    ],
    [
      "thinking itself",
      "thinking.type: adaptive is not supported by this model",
      (body) => body.thinking === undefined,
    ],
    [
      "a limit that is too high",
      "max_tokens: 128000 > 64000, which is the maximum",
      (body) => body.max_tokens === 64_000,
    ],
    [
      "cache breakpoints",
      "system.0.cache_control: Extra inputs are not permitted",
      (body) => !JSON.stringify(body).includes("cache_control"),
    ],
  ];
  for (const [name, message, isWithout] of CASES) {
    test(name, async () => {
      const { answer, server } = await play([refusal(message), fine], { messages: signed, tools: TOOLS });
      expect(answer).toMatchObject({ text: "ok", retries: { attempts: 0 } });
      expect(isWithout(server.requests[0]?.body)).toBe(false);
      expect(isWithout(server.requests[1]?.body)).toBe(true);

      const again = await play([refusal(message)], { messages: signed });
      expect(again.answer.error).toMatchObject({ code: "processing_error", status: 400 });
      expect(again.server.requests.length).toBe(2);
    });
  }
});
