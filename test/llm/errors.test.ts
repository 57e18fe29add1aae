import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { classify, type Failure, readFailure, redact, retryAfterMs, toThrown } from "../../src/llm/errors.ts";

const NOW = new Date("2026-11-22T12:00:00.000Z");
const OPTIONS = { apiKey: "my-own-key-1234", provider: "OpenAI", now: NOW };

function failure(said: Partial<Failure>): Failure {
  return { status: null, code: "", type: "", message: "", headers: null, ...said };
}

describe("what the engine is told to do", () => {
  const CASES: [name: string, said: Partial<Failure>, code: string, retryable: boolean][] = [
    ["a wrong key", { status: 401, code: "invalid_api_key" }, "provider_misconfigured", false],
    ["a key without the right", { status: 403, type: "permission_error" }, "provider_misconfigured", false],
    ["a key refused inside a stream", { type: "authentication_error" }, "provider_misconfigured", false],
    ["a model that is not there", { status: 404, code: "model_not_found" }, "model_unavailable", false],
    [
      "a model that the key may not use",
      { status: 403, code: "model_not_found" },
      "model_unavailable",
      false,
    ],
    [
      "Anthropic's unknown model",
      { status: 404, type: "not_found_error", message: "model: claude-0" },
      "model_unavailable",
      false,
    ],
    ["an address that leads to another one", { status: 307, message: "" }, "provider_misconfigured", false],
    [
      "a wrong address",
      { status: 404, message: "<html><h1>Not Found</h1></html>" },
      "provider_misconfigured",
      false,
    ],
    ["too many requests", { status: 429, type: "rate_limit_error" }, "provider_rate_limited", true],
    ["too many requests, said in a stream", { code: "rate_limit_exceeded" }, "provider_rate_limited", true],
    [
      "no money left (OpenAI)",
      { status: 429, code: "insufficient_quota" },
      "provider_quota_exhausted",
      false,
    ],
    [
      "no money left (Anthropic)",
      { status: 400, message: "Your credit balance is too low" },
      "provider_quota_exhausted",
      false,
    ],
    ["no money left (others)", { status: 402 }, "provider_quota_exhausted", false],
    ["a usage limit", { status: 429, code: "usage_limit_reached" }, "provider_usage_limit_reached", false],
    ["a body that is too large", { status: 413 }, "request_too_large", false],
    ["OpenAI's full context", { status: 400, code: "context_length_exceeded" }, "request_too_large", false],
    [
      "Anthropic's full context",
      { status: 400, message: "prompt is too long: 210000 tokens > 200000 maximum" },
      "request_too_large",
      false,
    ],
    [
      "vLLM's full context",
      { status: 400, message: "This model's maximum context length is 8192 tokens" },
      "request_too_large",
      false,
    ],
    [
      "a request larger than the rate",
      { status: 429, message: "Request too large for gpt-4.1 on tokens per min" },
      "request_too_large",
      false,
    ],
    [
      "a schema that OpenAI refuses",
      { status: 400, code: "invalid_function_parameters" },
      "invalid_tool_schema",
      false,
    ],
    [
      "a schema that Anthropic refuses",
      { status: 400, message: "tools.0.custom.input_schema: JSON schema is invalid" },
      "invalid_tool_schema",
      false,
    ],
    [
      "any other bad request",
      { status: 400, message: "temperature is not supported" },
      "processing_error",
      false,
    ],
    ["a bad request said in a stream", { code: "invalid_prompt" }, "processing_error", false],
    ["408", { status: 408 }, "provider_unavailable", true],
    ["409", { status: 409 }, "provider_unavailable", true],
    ["500", { status: 500 }, "provider_unavailable", true],
    ["529, overloaded", { status: 529, type: "overloaded_error" }, "provider_unavailable", true],
    ["overloaded, said in a stream", { type: "overloaded_error" }, "provider_unavailable", true],
    ["server_error, said in a stream", { code: "server_error" }, "provider_unavailable", true],
    ["no connection", { message: "Unable to connect" }, "provider_unavailable", true],
    [
      "the vendor says: do not",
      { status: 500, headers: new Headers({ "x-should-retry": "false" }) },
      "provider_unavailable",
      false,
    ],
    [
      "the vendor says: do",
      { status: 400, headers: new Headers({ "x-should-retry": "true" }) },
      "processing_error",
      true,
    ],
  ];
  for (const [name, said, code, retryable] of CASES) {
    test(name, () => {
      expect(classify(failure(said), OPTIONS)).toMatchObject({
        code,
        retryable,
        status: said.status ?? null,
      });
    });
  }

  test("outside a stream it is thrown as what the caller should do", () => {
    const limited = classify(failure({ status: 429, headers: new Headers({ "retry-after": "2" }) }), OPTIONS);
    expect(toThrown(limited)).toMatchObject({ name: "RetryableError", retryAfterMs: 2000 });
    expect(toThrown(classify(failure({ status: 401 }), OPTIONS))).toMatchObject({ name: "UserError" });
  });
});

describe("how long to wait", () => {
  const CASES: [headers: Record<string, string>, ms: number | null][] = [
    [{}, null],
    [{ "retry-after": "3" }, 3000],
    [{ "retry-after": "0.25" }, 250],
    [{ "retry-after-ms": "120", "retry-after": "3" }, 120],
    [{ "retry-after": "Sun, 22 Nov 2026 12:00:07 GMT" }, 7000],
    [{ "retry-after": "Sun, 22 Nov 2026 11:00:00 GMT" }, 0],
    [{ "retry-after": "soon" }, null],
    [{ "retry-after": "-5" }, 0],
    [{ "retry-after": "99999999999" }, 24 * 60 * 60 * 1000],
  ];
  for (const [headers, ms] of CASES) {
    test(`${JSON.stringify(headers)} is ${ms}`, () =>
      expect(retryAfterMs(new Headers(headers), NOW)).toBe(ms));
  }
});

describe("keys never pass", () => {
  const SECRETS: [message: string, secret: string][] = [
    ["Incorrect API key provided: sk-proj-abc123DEF456. You can find", "abc123DEF456"],
    ["Incorrect API key provided: sk-proj-********************f456.", "f456"],
    ["Incorrect API key provided: my***********1234.", "my***********1234"],
    ["invalid x-api-key: sk-ant-api03-AAAAbbbbCCCC", "AAAAbbbbCCCC"],
    ["bad header Authorization: Bearer abc.def.ghi", "abc.def.ghi"],
    ["key AIzaSyA1234567890abcdefg is bad", "AIzaSyA1234567890abcdefg"],
    ["gsk_1234567890abcdef is not allowed", "gsk_1234567890abcdef"],
    ["connect to http://user:hunter2@host/v1 failed", "hunter2"],
    ['{"api_key":"plainsecret99"}', "plainsecret99"],
    ["we got my-own-key-1234, sorry", "my-own-key-1234"],
  ];
  for (const [message, secret] of SECRETS) {
    test(message, () => {
      const clean = redact(message, OPTIONS.apiKey);
      expect(clean).not.toContain(secret);
      expect(clean).toContain("[hidden]");
    });
  }

  test("plain words stay as they are", () => {
    const said =
      "The model `gpt-6.1-sol` is-available in us-east-1, not in_progress; co-operation of o4-mini";
    expect(redact(said, null)).toBe(said);
  });

  test("the key that was sent is gone from any message, wherever it stands", () => {
    // What a header can carry as a key: visible ASCII without spaces (spaces are folded before the key is looked for).
    const key = fc
      .stringMatching(/^[!-~]{8,60}$/)
      .filter((text) => !"[hidden]OpenAI: (HTTP 400)".includes(text));
    fc.assert(
      fc.property(fc.string(), key, fc.string(), (before, apiKey, after) => {
        const told = classify(failure({ status: 400, message: `${before}${apiKey}${after}` }), {
          ...OPTIONS,
          apiKey,
        });
        return !told.message.includes(apiKey);
      }),
    );
  });
});

describe("messages are for people", () => {
  test("an HTML page becomes its words, with the status and a hint", () => {
    const page =
      "404 <html><head><style>b{}</style></head><body><h1>404 Not Found</h1><hr>nginx</body></html>";
    expect(classify(failure({ status: 404, message: page }), OPTIONS).message).toBe(
      "OpenAI: nothing answers at this address (HTTP 404); check base_url. 404 Not Found nginx",
    );
  });

  test("a long one is cut", () => {
    const told = classify(failure({ status: 400, message: "word ".repeat(1000) }), OPTIONS);
    expect(told.message.length).toBeLessThan(700);
  });

  test("the errors of both packages are read alike", () => {
    const headers = new Headers();
    const openai = Object.assign(new Error("400 bad"), {
      status: 400,
      headers,
      error: { message: "bad", code: "X" },
    });
    const inner = { type: "invalid_request_error", message: "bad" };
    const anthropic = Object.assign(new Error("400 {}"), {
      status: 400,
      headers,
      error: { type: "error", error: inner },
    });
    expect(readFailure(openai)).toEqual({ status: 400, code: "x", type: "", message: "bad", headers });
    expect(readFailure(anthropic)).toMatchObject({
      status: 400,
      type: "invalid_request_error",
      message: "bad",
    });
  });

  test("what the network said is part of the message", () => {
    const cause = Object.assign(new Error("connect refused"), { code: "ECONNREFUSED" });
    expect(readFailure(new Error("Connection error.", { cause })).message).toBe(
      "Connection error. (ECONNREFUSED: connect refused)",
    );
  });
});
