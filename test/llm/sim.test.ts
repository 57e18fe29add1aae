import { describe, expect, test } from "bun:test";
import type { ModelMessage, ModelRequest } from "../../src/llm/driver.ts";
import { createDriver } from "../../src/llm/registry.ts";
import { FIXED_ANSWER } from "../../src/llm/sim-answers.ts";
import {
  ask,
  assistant,
  call,
  driverAt,
  kinds,
  settled,
  testDeps,
  toolResult,
  user,
} from "./support/call.ts";

const SIM = { model: "llmsim" } as const;
const tool = (name: string, ...fields: string[]) => ({
  name,
  description: name,
  parameters: {
    type: "object",
    properties: Object.fromEntries(fields.map((field) => [field, { type: "string" }])),
  },
});
const TOOLS = [
  tool("get_current_time", "timezone"),
  tool("write_file", "path", "content"),
  tool("read_file", "path"),
  tool("list_directory", "path"),
  tool("web_fetch", "url"),
];
/** A script that plays at once: no test waits for simulated typing. */
const script = (yaml: string) => `Please.\n\`\`\`llmsim\nrate: 0\n${yaml}\n\`\`\`\n`;

async function run(request: Partial<ModelRequest>, deps = testDeps()) {
  const text = "";
  return call(driverAt("llmsim", null, paceless(deps)), ask(text, { ...SIM, ...request }), {
    clock: deps.clock,
  });
}

/** The sim types at its own rate; by this clock every key stroke is already due. */
function paceless(deps: ReturnType<typeof testDeps>) {
  let elapsed = 0;
  return {
    ...deps,
    clock: { ...deps.clock, monotonicMs: () => (elapsed += 1_000) },
    stallMs: Number.MAX_SAFE_INTEGER,
  };
}

describe("without a script", () => {
  const CASES: [name: string, request: Partial<ModelRequest>, expected: Record<string, unknown>][] = [
    [
      "llmsim-echo repeats exactly",
      { model: "llmsim-echo", messages: [user("hello  there\n")] },
      { text: "hello  there\n" },
    ],
    [
      "llmsim-fixed never changes",
      { model: "llmsim-fixed", messages: [user("hello")] },
      { text: FIXED_ANSWER },
    ],
    [
      "a second message gets no introduction",
      { messages: [user("a"), assistant({ text: "b" }), user("c")] },
      { text: "You said: c" },
    ],
    [
      "images are seen",
      {
        messages: [
          assistant({ text: "x" }),
          user("look", { type: "image_url", url: "https://x.example/a.png" }),
        ],
      },
      { text: "You said: look I see 1 image." },
    ],
    [
      "words of several scripts survive",
      { messages: [assistant({ text: "x" }), user("привіт 👋🏽 世界")] },
      { text: "You said: привіт 👋🏽 世界" },
    ],
  ];
  for (const [name, request, expected] of CASES) {
    test(name, async () =>
      expect(await run(request)).toMatchObject({ ...expected, finish: "stop", error: null }),
    );
  }

  test("the first answer echoes, introduces itself, and streams in small pieces", async () => {
    const answer = await run({ messages: [user("hello")] });
    expect(answer.text).toStartWith("You said: hello\n\nI am llmsim");
    expect(answer.chunks.filter(({ kind }) => kind === "text").length).toBeGreaterThan(20);
    expect(answer.usage.output_tokens).toBe(Math.ceil(answer.text.length / 4));
    expect(answer.usage.input_tokens).toBeGreaterThan(0);
  });

  const CALLS: [said: string, calls: [string, Record<string, unknown>][]][] = [
    ["What time is it in Kyiv?", [["get_current_time", { timezone: "Europe/Kyiv" }]]],
    ["what time is it", [["get_current_time", {}]]],
    [
      "The time in Kyiv and in Tokyo, please",
      [
        ["get_current_time", { timezone: "Europe/Kyiv" }],
        ["get_current_time", { timezone: "Asia/Tokyo" }],
      ],
    ],
    [
      'Write "buy milk" to the file notes/todo.md',
      [["write_file", { path: "/notes/todo.md", content: "buy milk" }]],
    ],
    ["Save this in a file", [["write_file", { path: "/note.txt", content: "Save this in a file" }]]],
    [
      "@todo.md read it\n\nAttached: todo.md is at /attachments/todo.md",
      [["read_file", { path: "/attachments/todo.md" }]],
    ],
    ["Read /notes/todo.md", [["read_file", { path: "/notes/todo.md" }]]],
    ["What files are there?", [["list_directory", { path: "/" }]]],
    ["Fetch https://example.com/a?b=c.", [["web_fetch", { url: "https://example.com/a?b=c." }]]],
    ["Tell me a joke", []],
    ["I read a good book, e.g. yesterday", []],
  ];
  for (const [said, calls] of CALLS) {
    test(`"${said}" with tools at hand`, async () => {
      const answer = await run({ tools: TOOLS, messages: [user(said)] });
      expect(answer.toolCalls.map((made) => [made.name, JSON.parse(made.argumentsJson)])).toEqual(calls);
      expect(answer.finish).toBe(calls.length > 0 ? "tool_calls" : "stop");
    });
  }

  test("without the tool it only echoes", async () => {
    expect((await run({ messages: [user("What time is it?")] })).toolCalls).toEqual([]);
  });

  const RESULTS: [result: string, isError: boolean, said: string][] = [
    ['{"time":"12:30","timezone":"Europe/Kyiv"}', false, "tool says: 12:30"],
    ["plain", false, "tool says: plain"],
    ["no such file", true, "tool failed: no such file"],
  ];
  for (const [result, isError, said] of RESULTS) {
    test(`it answers from the result ${result}`, async () => {
      const made = { id: "c", name: "t", argumentsJson: "{}" };
      const messages = [
        user("What time is it?"),
        assistant({ toolCalls: [made] }),
        toolResult("c", result, isError),
      ];
      expect(await run({ tools: TOOLS, messages })).toMatchObject({ text: said, toolCalls: [] });
    });
  }

  test("an unknown model is refused with the known ones", async () => {
    const answer = await run({ model: "llmsim-9", messages: [user("hi")] });
    expect(answer.error).toMatchObject({ code: "model_unavailable", retryable: false });
    expect(answer.error?.message).toContain("llmsim-echo");
  });
});

describe("with a script", () => {
  const TWO_STEPS = script(`
steps:
  - thinking: I need two things.
    text: Let me look.
    tool_calls:
      - { name: a, arguments: { x: 1 } }
      - { name: b, arguments: '{"y": oops' }
  - text: Both done.
    finish: length`);

  test("calls several tools at once, then answers, by the number of its own answers", async () => {
    const first = await run({ messages: [user(TWO_STEPS)] });
    expect(kinds(first.chunks)).toEqual([
      "thinking",
      "text",
      "tool_call",
      "tool_arguments",
      "tool_call",
      "tool_arguments",
      "usage",
      "finish",
    ]);
    expect(first).toMatchObject({
      thinking: "I need two things.",
      text: "Let me look.",
      finish: "tool_calls",
    });
    expect(first.toolCalls.map((made) => [made.name, made.argumentsJson])).toEqual([
      ["a", '{"x":1}'],
      ["b", '{"y": oops'],
    ]);
    const history = [
      user(TWO_STEPS),
      assistant(first),
      ...first.toolCalls.map(({ id }) => toolResult(id, "r")),
    ];
    expect(await run({ messages: history })).toMatchObject({ text: "Both done.", finish: "length" });

    // A message that joins the running turn does not start the script again.
    expect(await run({ messages: [...history, user("hurry")] })).toMatchObject({ text: "Both done." });
    // After the last step the model is itself again.
    const after: ModelMessage[] = [...history, assistant({ text: "Both done." }), user("and now?")];
    expect((await run({ messages: after })).text).toBe("You said: and now?");
  });

  test("the same request gets the same answer, ids included; another turn gets other ids", async () => {
    const one = await run({ messages: [user(TWO_STEPS)], idempotencyKey: "turn_a:reason:1" });
    const again = await run({ messages: [user(TWO_STEPS)], idempotencyKey: "turn_a:reason:1" });
    const other = await run({ messages: [user(TWO_STEPS)], idempotencyKey: "turn_b:reason:1" });
    expect(again).toEqual(one);
    expect(other.toolCalls.map(({ id }) => id)).not.toEqual(one.toolCalls.map(({ id }) => id));
    expect(new Set(one.toolCalls.map(({ id }) => id)).size).toBe(2);
  });

  test("in the system prompt it is played for every message, and the latest script of the user wins", async () => {
    const system = script("steps: [{ text: from the agent }]");
    expect(await run({ system, messages: [user("a")] })).toMatchObject({ text: "from the agent" });
    const later = [user("a"), assistant({ text: "from the agent" }), user("b")];
    expect(await run({ system, messages: later })).toMatchObject({ text: "from the agent" });
    const scripted = [...later.slice(0, 2), user(script("steps: [{ text: from the user }]"))];
    expect(await run({ system, messages: scripted })).toMatchObject({ text: "from the user" });
  });

  test("JSON is YAML too", async () => {
    const json = '```llmsim\n{"rate":0,"steps":[{"text":"json"}]}\n```';
    expect(await run({ messages: [user(json)] })).toMatchObject({ text: "json" });
  });

  const BAD: [name: string, yaml: string, says: RegExp][] = [
    ["no steps", "steps: []", /steps/],
    ["an unknown field", "steps: [{ txt: hi }]", /txt/],
    ["an unknown error code", "steps: [{ error: { code: nope } }]", /code/],
    ["not YAML", "steps: [", /script is not valid/],
    ["negative rate", "steps: [{ latency_ms: -1 }]", /latency_ms/],
  ];
  for (const [name, yaml, says] of BAD) {
    test(`${name} is told, not guessed`, async () => {
      const { error } = await run({ messages: [user(script(yaml))] });
      expect(error).toMatchObject({ code: "processing_error", retryable: false });
      expect(error?.message).toMatch(says);
    });
  }
});

describe("simulated failures look like real ones", () => {
  const failing = (error: string, text = "at last, it works") => [
    user(script(`steps: [{ text: "${text}", error: ${error} }]`)),
  ];

  test("a rate limit twice, then success", async () => {
    const answer = await run({
      messages: failing("{ code: provider_rate_limited, times: 2, retry_after_ms: 70 }"),
    });
    expect(kinds(answer.chunks)).toEqual(["retry", "retry", "text", "usage", "finish"]);
    expect(answer).toMatchObject({ text: "at last, it works", retries: { attempts: 2, totalWaitMs: 140 } });
  });

  test("more failures than one call forgives: the next call with the same key goes on counting", async () => {
    const deps = testDeps();
    const messages = failing("{ code: provider_unavailable, times: 5 }");
    const first = await run({ messages }, deps);
    expect(kinds(first.chunks)).toEqual(["retry", "retry", "retry", "error"]);
    expect(first.error).toMatchObject({ code: "provider_unavailable", retryable: true });
    expect(await run({ messages }, deps)).toMatchObject({
      text: "at last, it works",
      retries: { attempts: 1 },
    });
    const other = await run({ messages, idempotencyKey: "turn_2:reason:1" }, deps);
    expect(other.error).toMatchObject({ code: "provider_unavailable" });
  });

  test("a failure that cannot be mended", async () => {
    const answer = await run({ messages: failing("{ code: provider_quota_exhausted, message: empty }") });
    expect(answer.chunks).toMatchObject([
      {
        kind: "error",
        error: { code: "provider_quota_exhausted", message: "llmsim: empty", retryable: false },
      },
    ]);
  });

  test("a stream that breaks in the middle, once", async () => {
    const deps = testDeps();
    const messages = failing("{ code: provider_unavailable, mid_stream: true, times: 1 }", "12345678");
    const broken = await run({ messages }, deps);
    expect(broken).toMatchObject({ text: "1234", finish: null, error: { retryable: true } });
    expect(await run({ messages }, deps)).toMatchObject({ text: "12345678", finish: "stop" });
  });
});

describe("time", () => {
  test("an answer waits for its latency, and abort ends the wait", async () => {
    const deps = testDeps();
    const driver = createDriver({ providerType: "llmsim", apiKey: null, baseUrl: null }, deps);
    const abort = new AbortController();
    const request = ask(script("latency_ms: 5000\nsteps: [{ text: slow }]"), SIM);
    const next = driver.stream(request, abort.signal)[Symbol.asyncIterator]().next();
    abort.abort();
    expect((await next).value).toEqual({ kind: "aborted" });

    const iterator = driver.stream(request, new AbortController().signal)[Symbol.asyncIterator]();
    const first = iterator.next();
    let isThere = false;
    void first.then(() => (isThere = true));
    await settled();
    await deps.clock.advance(4999);
    await settled();
    expect(isThere).toBe(false);
    await deps.clock.advance(1);
    expect((await first).value).toEqual({ kind: "text", text: "slow" });
  });

  test("tokens come at the rate of the script", async () => {
    const deps = testDeps();
    const driver = createDriver({ providerType: "llmsim", apiKey: null, baseUrl: null }, deps);
    const request = ask("```llmsim\nrate: 10\nsteps: [{ text: aaaabbbb }]\n```", SIM);
    const iterator = driver.stream(request, new AbortController().signal)[Symbol.asyncIterator]();
    const first = iterator.next();
    await settled();
    await deps.clock.advance(100);
    expect((await first).value).toEqual({ kind: "text", text: "aaaa" });
    const second = iterator.next();
    await settled();
    await deps.clock.advance(100);
    expect((await second).value).toEqual({ kind: "text", text: "bbbb" });
  });
});
