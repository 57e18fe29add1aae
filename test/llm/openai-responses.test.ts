/** What is particular to OpenAI Responses: the shape of requests, and streams that the model server cannot play. */
import { describe, expect, test } from "bun:test";
import { buildResponsesParams } from "../../src/llm/openai-responses.ts";
import { ask, assistant, call, driverAt, kinds, testDeps, toolResult, user } from "./support/call.ts";
import { event, jsonReply, startRawServer } from "./support/raw-server.ts";

const OPENAI = { apiKey: "k", baseUrl: null };
const ELSEWHERE = { apiKey: "k", baseUrl: "http://127.0.0.1:8080/v1" };
const TOOL = { name: "a", description: "does a", parameters: { properties: { x: { type: "number" } } } };

describe("the request", () => {
  test("a whole conversation, in order, nothing stored at the vendor's", () => {
    const reasoning = {
      provider: "openai",
      itemId: "rs_1",
      summary: ["thought"],
      encryptedContent: "sealed",
    };
    const params = buildResponsesParams(
      ask("", {
        model: "gpt-6.1-sol",
        reasoningEffort: "high",
        maxOutputTokens: 500,
        parallelToolCalls: false,
        tools: [TOOL],
        messages: [
          user(
            "what is this?",
            { type: "image", mediaType: "image/png", data: "aGk=" },
            { type: "image_url", url: "https://x.example/a.png" },
          ),
          assistant({
            text: "Let me see.",
            reasoningItems: [
              reasoning,
              { provider: "anthropic", itemId: "redacted:0:0:0", summary: [], encryptedContent: "other" },
              { provider: "openai", itemId: "rs_2", summary: [], encryptedContent: null },
            ],
            toolCalls: [
              { id: "c1", name: "a", argumentsJson: '{"x":1}' },
              { id: "c2", name: "a", argumentsJson: "{broken" },
              { id: "c3", name: "a", argumentsJson: "" },
            ],
          }),
          toolResult("c1", "one"),
          toolResult("c2", "bad arguments", true),
          toolResult("c3", "three"),
          assistant({ text: "A cat." }),
          assistant({ reasoningItems: [reasoning] }),
          user("thanks"),
        ],
      }),
      OPENAI,
    );
    expect(params).toMatchObject({
      model: "gpt-6.1-sol",
      stream: true,
      store: false,
      instructions: "Be brief.",
      reasoning: { effort: "high", summary: "auto" },
      include: ["reasoning.encrypted_content"],
      max_output_tokens: 500,
      parallel_tool_calls: false,
      tools: [
        {
          type: "function",
          name: "a",
          description: "does a",
          parameters: { type: "object", properties: { x: { type: "number" } } },
          strict: false,
        },
      ],
    });
    expect(params.input).toEqual([
      {
        role: "user",
        content: [
          { type: "input_text", text: "what is this?" },
          { type: "input_image", image_url: "data:image/png;base64,aGk=", detail: "auto" },
          { type: "input_image", image_url: "https://x.example/a.png", detail: "auto" },
        ],
      },
      {
        type: "reasoning",
        id: "rs_1",
        summary: [{ type: "summary_text", text: "thought" }],
        encrypted_content: "sealed",
      },
      { role: "assistant", content: "Let me see.", phase: "commentary" },
      { type: "function_call", call_id: "c1", name: "a", arguments: '{"x":1}' },
      { type: "function_call", call_id: "c2", name: "a", arguments: '{"malformed_arguments":"{broken"}' },
      { type: "function_call", call_id: "c3", name: "a", arguments: "{}" },
      { type: "function_call_output", call_id: "c1", output: "one" },
      { type: "function_call_output", call_id: "c2", output: "bad arguments" },
      { type: "function_call_output", call_id: "c3", output: "three" },
      { role: "assistant", content: "A cat.", phase: "final_answer" },
      { role: "user", content: [{ type: "input_text", text: "thanks" }] },
    ]);
  });

  test("what is left to the vendor is not sent", () => {
    const params = buildResponsesParams(ask("hi", { system: "" }), ELSEWHERE);
    expect(Object.keys(params).sort()).toEqual(["input", "model", "store", "stream"]);
  });

  test("the cache key follows prompt and tools, not the conversation", () => {
    const key = (text: string, system: string) =>
      buildResponsesParams(ask(text, { system }), OPENAI).prompt_cache_key;
    expect(key("one", "s")).toBe(key("two", "s"));
    expect(key("one", "s")).not.toBe(key("one", "t"));
  });

  const EFFORTS: [model: string, wanted: string | null, sent: unknown][] = [
    ["gpt-6.1-sol", "minimal", { effort: "low", summary: "auto" }],
    ["gpt-6.1-sol", "none", { effort: "low", summary: "auto" }],
    ["gpt-5.1", "xhigh", { effort: "high", summary: "auto" }],
    ["gpt-5.4", "none", { effort: "none" }],
    ["gpt-4.1", "high", undefined],
    ["gpt-6.1-sol", null, { summary: "auto" }],
    ["some-model", "low", { effort: "low" }],
  ];
  for (const [model, wanted, sent] of EFFORTS) {
    test(`${model} asked for effort ${wanted}`, () => {
      expect(buildResponsesParams(ask("hi", { model, reasoningEffort: wanted }), OPENAI).reasoning).toEqual(
        sent as never,
      );
    });
  }
});

const COMPLETED = event({
  type: "response.completed",
  response: {
    id: "resp_1",
    status: "completed",
    usage: {
      input_tokens: 1000,
      input_tokens_details: { cached_tokens: 700, cache_write_tokens: 200 },
      output_tokens: 50,
    },
  },
});
const said = (delta: string, output_index = 0) =>
  event({ type: "response.output_text.delta", output_index, delta });

describe("the stream", () => {
  async function play(...body: string[]) {
    const server = await startRawServer([{ body }]);
    const answer = await call(driverAt("openai", `${server.url}/v1`), ask("hi", { model: "gpt-6.1-sol" }));
    await server.stop();
    return { answer, server };
  }

  test("usage comes in disjoint buckets", async () => {
    const { answer } = await play(said("hi"), COMPLETED);
    expect(answer.usage).toEqual({
      input_tokens: 100,
      output_tokens: 50,
      cache_read_tokens: 700,
      cache_creation_tokens: 200,
    });
  });

  test("the request carries its idempotency key and the key", async () => {
    const { server } = await play(said("hi"), COMPLETED);
    expect(server.requests[0]?.headers).toMatchObject({ "idempotency-key": "turn_1:reason:1" });
    expect(server.requests[0]?.headers.authorization).toStartWith("Bearer sk-test-");
    expect(server.requests[0]?.path).toBe("/v1/responses");
  });

  test("reasoning: the summary is thinking, the sealed item is kept for the next call", async () => {
    const { answer } = await play(
      event({ type: "response.reasoning_summary_part.added", output_index: 0, summary_index: 0 }),
      event({
        type: "response.reasoning_summary_text.delta",
        output_index: 0,
        summary_index: 0,
        delta: "First.",
      }),
      event({ type: "response.reasoning_summary_part.added", output_index: 0, summary_index: 1 }),
      event({
        type: "response.reasoning_summary_text.delta",
        output_index: 0,
        summary_index: 1,
        delta: "Second.",
      }),
      event({
        type: "response.output_item.done",
        output_index: 0,
        item: {
          type: "reasoning",
          id: "rs_9",
          summary: [
            { type: "summary_text", text: "First." },
            { type: "summary_text", text: "Second." },
          ],
          encrypted_content: "sealed",
        },
      }),
      said("Yes.", 1),
      COMPLETED,
    );
    expect(answer).toMatchObject({
      thinking: "First.\n\nSecond.",
      text: "Yes.",
      reasoningItems: [
        { provider: "openai", itemId: "rs_9", summary: ["First.", "Second."], encryptedContent: "sealed" },
      ],
    });
  });

  test("two messages are two paragraphs; items without deltas are read from their end", async () => {
    const call0 = { type: "function_call", id: "fc", call_id: "c1", name: "a", arguments: "{not json" };
    const message = { type: "message", content: [{ type: "output_text", text: "Second." }] };
    const { answer } = await play(
      said("First."),
      event({ type: "response.output_item.done", output_index: 1, item: message }),
      event({ type: "response.output_item.done", output_index: 2, item: call0 }),
      COMPLETED,
    );
    expect(answer.text).toBe("First.\n\nSecond.");
    expect(answer.toolCalls).toEqual([{ id: "c1", name: "a", argumentsJson: "{not json" }]);
    expect(answer.finish).toBe("tool_calls");
  });

  const ENDS: [name: string, frames: string[], finish: string][] = [
    [
      "a refusal",
      [event({ type: "response.refusal.delta", output_index: 0, delta: "No." }), COMPLETED],
      "refusal",
    ],
    [
      "a content filter",
      [
        event({
          type: "response.incomplete",
          response: { status: "incomplete", incomplete_details: { reason: "content_filter" } },
        }),
      ],
      "content_filter",
    ],
    [
      "a limit on tokens",
      [
        event({
          type: "response.incomplete",
          response: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
        }),
      ],
      "length",
    ],
  ];
  for (const [name, frames, finish] of ENDS) {
    test(`${name} is told by the finish reason`, async () => {
      expect((await play(...frames)).answer.finish).toBe(finish as never);
    });
  }

  const FAILURES: [name: string, frame: string, code: string, retryable: boolean][] = [
    [
      "a failed response",
      event({ type: "response.failed", response: { error: { code: "server_error", message: "sorry" } } }),
      "provider_unavailable",
      true,
    ],
    [
      "a failed response for the rate",
      event({
        type: "response.failed",
        response: { error: { code: "rate_limit_exceeded", message: "slow" } },
      }),
      "provider_rate_limited",
      true,
    ],
    [
      "an error event",
      event({ type: "error", code: "context_length_exceeded", message: "too long" }),
      "request_too_large",
      false,
    ],
    [
      "an unnamed error",
      'data: {"type":"error","code":"invalid_prompt","message":"no"}\n\n',
      "processing_error",
      false,
    ],
  ];
  for (const [name, frame, code, retryable] of FAILURES) {
    test(`${name} after a word`, async () => {
      const { answer } = await play(said("a"), frame);
      expect(answer.error).toMatchObject({ code: code as never, retryable });
    });
  }

  test("events that nobody knows are passed over", async () => {
    const { answer } = await play(
      event({ type: "response.brand_new" }),
      event({ type: "keepalive" }),
      said("a"),
      COMPLETED,
    );
    expect(answer).toMatchObject({ text: "a", finish: "stop" });
  });
});

describe("optional parts that the vendor refuses are left out, at once", () => {
  const refusal = (message: string, code: string | null = null) =>
    jsonReply(400, { error: { message, code, type: "invalid_request_error" } });
  const sealed = assistant({
    text: "x",
    reasoningItems: [{ provider: "openai", itemId: "rs_1", summary: [], encryptedContent: "sealed" }],
  });
  const cases: [
    name: string,
    reply: ReturnType<typeof refusal>,
    check: (body: { include?: unknown; input: { type?: string }[] }) => boolean,
  ][] = [
    [
      "the request for sealed reasoning",
      refusal("Encrypted content is not supported with this model."),
      (body) => body.include === undefined,
    ],
    [
      "sealed reasoning of another account",
      refusal("could not be verified", "invalid_encrypted_content"),
      (body) => !body.input.some((item) => item.type === "reasoning"),
    ],
  ];
  for (const [name, reply, isWithout] of cases) {
    test(name, async () => {
      const server = await startRawServer([reply, { body: [said("ok"), COMPLETED] }]);
      const request = ask("", { model: "gpt-6.1-sol", messages: [user("a"), sealed, user("b")] });
      const answer = await call(driverAt("openai", `${server.url}/v1`, testDeps()), request);
      expect(kinds(answer.chunks)).toEqual(["text", "usage", "finish"]);
      expect(isWithout(server.requests[0]?.body)).toBe(false);
      expect(isWithout(server.requests[1]?.body)).toBe(true);
      await server.stop();
    });
  }

  test("a summary that needs a verified organization", () => {
    const params = buildResponsesParams(ask("hi", { model: "o3" }), OPENAI, new Set(["summary"]));
    expect(params.reasoning).toBeUndefined();
  });

  test("once only: a server that refuses again is believed", async () => {
    const server = await startRawServer([refusal("Encrypted content is not supported with this model.")]);
    const answer = await call(driverAt("openai", `${server.url}/v1`), ask("hi", { model: "gpt-6.1-sol" }));
    expect(answer.error).toMatchObject({ code: "processing_error", status: 400 });
    expect(server.requests.length).toBe(2);
    await server.stop();
  });
});
