/** Chat Completions: the shape of requests, and the many ways in which servers imitate the protocol badly. */
import { describe, expect, test } from "bun:test";
import { buildChatParams } from "../../src/llm/openai-chat.ts";
import { createDriver, createDriverDeps } from "../../src/llm/registry.ts";
import { madeUpCallId } from "../../src/llm/wire.ts";
import { ask, assistant, call, driverAt, kinds, toolResult, user } from "./support/call.ts";
import { data, jsonReply, startRawServer } from "./support/raw-server.ts";

const OPENAI = { apiKey: "k", baseUrl: null };
const ELSEWHERE = { apiKey: "k", baseUrl: "http://127.0.0.1:8080/v1" };
const TOOL = { name: "a", description: "does a", parameters: {} };

describe("the request", () => {
  test("a whole conversation", () => {
    const params = buildChatParams(
      ask("", {
        tools: [TOOL],
        parallelToolCalls: true,
        messages: [
          user("look", "here", { type: "image", mediaType: "image/jpeg", data: "aGk=" }),
          assistant({ text: "", toolCalls: [{ id: "c1", name: "a", argumentsJson: "{broken" }] }),
          toolResult("c1", "no", true),
          assistant({ text: "Done.", thinking: "hm" }),
          assistant({ thinking: "only thought" }),
          user("one", "two"),
        ],
      }),
      OPENAI,
    );
    expect(params.messages).toEqual([
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "text", text: "here" },
          { type: "image_url", image_url: { url: "data:image/jpeg;base64,aGk=" } },
        ],
      },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "c1",
            type: "function",
            function: { name: "a", arguments: '{"malformed_arguments":"{broken"}' },
          },
        ],
      },
      { role: "tool", tool_call_id: "c1", content: "no" },
      { role: "assistant", content: "Done." },
      { role: "user", content: "one\n\ntwo" },
    ]);
    expect(params).toMatchObject({
      stream: true,
      stream_options: { include_usage: true },
      parallel_tool_calls: true,
      tools: [
        { type: "function", function: { name: "a", description: "does a", parameters: { type: "object" } } },
      ],
    });
  });

  test("OpenAI and its imitators name the limit differently", () => {
    const request = ask("hi", { maxOutputTokens: 9 });
    expect(buildChatParams(request, OPENAI)).toMatchObject({ max_completion_tokens: 9 });
    expect(buildChatParams(request, ELSEWHERE)).toMatchObject({ max_tokens: 9 });
  });

  test("effort goes to models that reason, and to servers of which we know nothing", () => {
    const effort = (model: string, options: typeof OPENAI | typeof ELSEWHERE) =>
      buildChatParams(ask("hi", { model, reasoningEffort: "low" }), options).reasoning_effort;
    expect(effort("gpt-5.4", OPENAI)).toBe("low");
    expect(effort("gpt-4.1", OPENAI)).toBeUndefined();
    expect(effort("deepseek-v4", ELSEWHERE)).toBe("low");
  });
});

const delta = (value: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  data({ id: "chat_1", choices: [{ index: 0, delta: value, ...more }] });
const stop = (reason: string) => delta({}, { finish_reason: reason });
const DONE = data("[DONE]");
const part = (value: Record<string, unknown>) => delta({ tool_calls: [value] });
const made = (index: number) => madeUpCallId("turn_1:reason:1", index);

describe("odd servers", () => {
  type Expected = Record<string, unknown>;
  const CASES: [name: string, frames: string[], expected: Expected][] = [
    [
      "no usage and no id",
      [
        data({ choices: [{ delta: { content: "hi" } }] }),
        data({ choices: [{ delta: {}, finish_reason: "stop" }] }),
        DONE,
      ],
      { text: "hi", finish: "stop", responseId: null, usage: { input_tokens: 0, output_tokens: 0 } },
    ],
    ["no finish reason, but [DONE]", [delta({ content: "hi" }), DONE], { text: "hi", finish: "stop" }],
    [
      "no [DONE], but a finish reason",
      [delta({ content: "hi" }), stop("stop")],
      { text: "hi", finish: "stop" },
    ],
    [
      "neither: it broke off",
      [delta({ content: "hi" })],
      { text: "hi", finish: null, error: expect.objectContaining({ retryable: true }) },
    ],
    [
      "calls without ids",
      [
        part({ index: 0, function: { name: "a", arguments: '{"x"' } }),
        part({ index: 0, function: { arguments: ":1}" } }),
        part({ index: 1, function: { name: "b", arguments: "{}" } }),
        stop("tool_calls"),
      ],
      {
        toolCalls: [
          { id: made(0), name: "a", argumentsJson: '{"x":1}' },
          { id: made(1), name: "b", argumentsJson: "{}" },
        ],
      },
    ],
    [
      "calls without indexes",
      [
        part({ id: "c1", function: { name: "a", arguments: "{" } }),
        part({ function: { arguments: "}" } }),
        part({ id: "c2", function: { name: "b", arguments: "{}" } }),
        stop("tool_calls"),
      ],
      {
        toolCalls: [
          { id: "c1", name: "a", argumentsJson: "{}" },
          { id: "c2", name: "b", argumentsJson: "{}" },
        ],
      },
    ],
    [
      "calls with neither",
      [
        part({ function: { name: "a", arguments: "{}" } }),
        part({ function: { name: "b", arguments: "{}" } }),
        stop("stop"),
      ],
      {
        finish: "tool_calls",
        toolCalls: [
          { id: made(0), name: "a", argumentsJson: "{}" },
          { id: made(1), name: "b", argumentsJson: "{}" },
        ],
      },
    ],
    [
      "every call numbered nought",
      [
        part({ index: 0, id: "c1", function: { name: "a", arguments: "{}" } }),
        part({ index: 0, id: "c2", function: { name: "b", arguments: "{" } }),
        part({ index: 0, function: { arguments: "}" } }),
        stop("tool_calls"),
      ],
      {
        toolCalls: [
          { id: "c1", name: "a", argumentsJson: "{}" },
          { id: "c2", name: "b", argumentsJson: "{}" },
        ],
      },
    ],
    [
      "the id and the name repeated with every piece",
      [
        part({ index: 0, id: "c1", function: { name: "a", arguments: "{" } }),
        part({ index: 0, id: "c1", function: { name: "a", arguments: "}" } }),
        stop("tool_calls"),
      ],
      { toolCalls: [{ id: "c1", name: "a", argumentsJson: "{}" }] },
    ],
    [
      "arguments as an object",
      [part({ index: 0, id: "c1", function: { name: "a", arguments: { x: 1 } } }), stop("tool_calls")],
      { toolCalls: [{ id: "c1", name: "a", argumentsJson: '{"x":1}' }] },
    ],
    [
      "malformed arguments pass as they are",
      [part({ index: 0, id: "c1", function: { name: "a", arguments: '{"x": nope' } }), stop("tool_calls")],
      { toolCalls: [{ id: "c1", name: "a", argumentsJson: '{"x": nope' }] },
    ],
    [
      "the whole message at once",
      [
        data({
          choices: [{ message: { content: "all" }, finish_reason: "stop" }],
          usage: { prompt_tokens: 3, completion_tokens: 1 },
        }),
        DONE,
      ],
      { text: "all", usage: { input_tokens: 3, output_tokens: 1, cache_read_tokens: 0 } },
    ],
    [
      "thinking in reasoning_content",
      [delta({ reasoning_content: "hm", content: "" }), delta({ content: "yes" }), stop("stop")],
      { thinking: "hm", text: "yes" },
    ],
    [
      "thinking said twice, under both names",
      [delta({ reasoning_content: "hm", reasoning: "hm" }), delta({ content: "yes" }), stop("stop")],
      { thinking: "hm" },
    ],
    ["a refusal", [delta({ refusal: "No." }), stop("stop")], { text: "No.", finish: "refusal" }],
    ["a content filter", [delta({ content: "x" }), stop("content_filter")], { finish: "content_filter" }],
    ["an unknown end", [delta({ content: "x" }), stop("because")], { finish: "other" }],
    [
      "cache buckets",
      [
        delta({ content: "x" }),
        stop("stop"),
        data({
          choices: [],
          usage: {
            prompt_tokens: 100,
            completion_tokens: 5,
            prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 30 },
          },
        }),
        DONE,
      ],
      { usage: { input_tokens: 10, output_tokens: 5, cache_read_tokens: 60, cache_creation_tokens: 30 } },
    ],
    [
      "DeepSeek's cache",
      [
        delta({ content: "x" }),
        stop("stop"),
        data({
          choices: [],
          usage: { prompt_tokens: 100, completion_tokens: 5, prompt_cache_hit_tokens: 80 },
        }),
        DONE,
      ],
      { usage: { input_tokens: 20, output_tokens: 5, cache_read_tokens: 80 } },
    ],
    [
      "comments and null choices between frames",
      [": ping\n\n", data({ id: "x", choices: null }), delta({ content: "x" }), ": ping\n\n", stop("stop")],
      { text: "x", finish: "stop" },
    ],
    [
      "an error in the middle",
      [delta({ content: "x" }), data({ error: { message: "overloaded", code: 503 } })],
      { error: expect.objectContaining({ code: "provider_unavailable", retryable: true }) },
    ],
    [
      "a frame that is not JSON",
      [delta({ content: "x" }), "data: {oops\n\n"],
      { error: expect.objectContaining({ code: "provider_unavailable", retryable: true }) },
    ],
  ];
  for (const [name, body, expected] of CASES) {
    test(name, async () => {
      const server = await startRawServer([{ body }]);
      const answer = await call(driverAt("openai_completions", `${server.url}/v1`), ask("hi"));
      expect(answer).toMatchObject(expected);
      await server.stop();
    });
  }

  test("thinking goes back under the name that it came by, beside the calls it led to", async () => {
    const server = await startRawServer([
      {
        body: [
          delta({ reasoning_content: "I must look." }),
          part({ index: 0, id: "c1", function: { name: "a", arguments: "{}" } }),
          stop("tool_calls"),
        ],
      },
      { body: [delta({ content: "ok" }), stop("stop")] },
    ]);
    const driver = driverAt("openai_completions", `${server.url}/v1`);
    const first = await call(driver, ask("hi", { tools: [TOOL] }));
    const messages = [user("hi"), assistant(first), toolResult("c1", "r")];
    await call(driver, ask("", { tools: [TOOL], messages }));
    expect(server.requests[1]?.body.messages[2]).toMatchObject({ reasoning_content: "I must look." });
    await server.stop();
  });

  for (const [name, message, field] of [
    ["stream_options", "Unknown parameter: stream_options", "stream_options"],
    ["parallel_tool_calls", "parallel_tool_calls is not supported", "parallel_tool_calls"],
  ] as const) {
    test(`a server that does not know ${name} is asked without it`, async () => {
      const server = await startRawServer([
        jsonReply(400, { error: { message, type: "invalid_request_error" } }),
        { body: [delta({ content: "ok" }), stop("stop")] },
      ]);
      const request = ask("hi", { tools: [TOOL], parallelToolCalls: true });
      const answer = await call(driverAt("openai_completions", `${server.url}/v1`), request);
      expect(kinds(answer.chunks)).toEqual(["text", "finish"]);
      expect(server.requests[0]?.body).toHaveProperty(field);
      expect(server.requests[1]?.body).not.toHaveProperty(field);
      await server.stop();
    });
  }

  test("a server without keys is sent none", async () => {
    const server = await startRawServer([{ body: [delta({ content: "ok" }), stop("stop")] }]);
    const driver = createDriver(
      { providerType: "openai_completions", apiKey: null, baseUrl: `${server.url}/v1` },
      createDriverDeps(),
    );
    await call(driver, ask("hi"));
    expect(server.requests[0]?.headers.authorization).toBeUndefined();
    await server.stop();
  });
});
