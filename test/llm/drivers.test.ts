/** What every vendor's driver must do, against a real HTTP model server that speaks all three protocols. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type ModelServer, startModelServer } from "../support/model-server.ts";
import { ask, assistant, call, driverAt, KEY, kinds, testDeps, toolResult, user } from "./support/call.ts";
import { startRawServer } from "./support/raw-server.ts";

const PROTOCOLS = [
  { providerType: "openai", model: "gpt-6.1-sol", url: (server: ModelServer) => server.openaiUrl },
  { providerType: "openai_completions", model: "gpt-4.1", url: (server: ModelServer) => server.openaiUrl },
  {
    providerType: "anthropic",
    model: "claude-sonnet-5-5",
    url: (server: ModelServer) => server.anthropicUrl,
  },
] as const;

const TOOLS = ["get_current_time", "read_file"].map((name) => ({
  name,
  description: name,
  parameters: { type: "object", properties: { path: { type: "string" } } },
}));

let server: ModelServer;
let locked: ModelServer;
beforeAll(async () => {
  server = await startModelServer();
  locked = await startModelServer({ apiKeys: ["another-key"] });
});
afterAll(async () => {
  await server.stop();
  await locked.stop();
});

for (const { providerType, model, url } of PROTOCOLS) {
  describe(providerType, () => {
    const deps = testDeps();
    const path = providerType === "anthropic" ? "" : "/v1";
    const driver = () => driverAt(providerType, url(server), deps);
    const run = (text: string, overrides = {}) =>
      call(driver(), ask(text, { model, ...overrides }), { clock: deps.clock });
    const usage = (input: number, output: number) =>
      providerType === "openai_completions"
        ? { prompt_tokens: input, completion_tokens: output }
        : { input_tokens: input, output_tokens: output };

    test("an answer arrives in pieces and adds up, with its usage and its end", async () => {
      const text = `${providerType} `.repeat(20);
      server.text(`plain ${providerType}.`, text, { usage: usage(120, 33), chunkSize: 7 });
      const answer = await run(`plain ${providerType}.`);
      expect(answer.text).toBe(text);
      expect(answer.chunks.filter(({ kind }) => kind === "text").length).toBeGreaterThan(5);
      expect(answer.usage).toMatchObject({ input_tokens: 120, output_tokens: 33 });
      expect(answer.finish).toBe("stop");
      expect(answer.responseId).toBeString();
      expect(answer.chunks.at(-1)?.kind).toBe("finish");
    });

    test("several tool calls at once, then the answer from their results", async () => {
      const prompt = `tools ${providerType}.`;
      server.script(prompt, [
        {
          text: "Let me look.",
          toolCalls: [
            { name: "get_current_time", arguments: { timezone: "Europe/Kyiv" } },
            { name: "read_file", arguments: { path: "/notes.md" } },
          ],
        },
        { text: "It is noon." },
      ]);
      const first = await run(prompt, { tools: TOOLS });
      expect(kinds(first.chunks).filter((kind) => kind.startsWith("tool"))).toEqual([
        "tool_call",
        "tool_arguments",
        "tool_call",
        "tool_arguments",
      ]);
      expect(first).toMatchObject({ text: "Let me look.", finish: "tool_calls" });
      expect(first.toolCalls.map((made) => [made.name, JSON.parse(made.argumentsJson)])).toEqual([
        ["get_current_time", { timezone: "Europe/Kyiv" }],
        ["read_file", { path: "/notes.md" }],
      ]);
      expect(new Set(first.toolCalls.map(({ id }) => id)).size).toBe(2);

      const results = first.toolCalls.map(({ id }, index) => toolResult(id, `result ${index}`));
      const second = await run(prompt, {
        tools: TOOLS,
        messages: [user(prompt), assistant(first), ...results],
      });
      expect(second).toMatchObject({ text: "It is noon.", toolCalls: [], finish: "stop" });
      // aimock's journal holds the conversation in one form for all protocols: the results came through.
      const sent = server.requests().at(-1)?.body as { messages: { role: string; content: unknown }[] };
      expect(sent.messages.filter(({ role }) => role === "tool").map(({ content }) => content)).toEqual([
        "result 0",
        "result 1",
      ]);
    });

    test("thinking is told apart from the answer", async () => {
      server.text(`think ${providerType}.`, "Four.", { thinking: "Two and two." });
      const answer = await run(`think ${providerType}.`);
      expect(answer).toMatchObject({ text: "Four.", thinking: "Two and two." });
      expect(kinds(answer.chunks).indexOf("thinking")).toBeLessThan(kinds(answer.chunks).indexOf("text"));
    });

    test("an answer that was cut says so", async () => {
      server.text(`cut ${providerType}.`, "Once upon", { finishReason: "length" });
      expect((await run(`cut ${providerType}.`)).finish).toBe("length");
    });

    test("a wrong key is the operator's to mend, is not tried again and is never repeated", async () => {
      const before = locked.requests().length;
      const answer = await call(driverAt(providerType, url(locked), deps), ask("hello", { model }));
      expect(answer.error).toMatchObject({ code: "provider_misconfigured", retryable: false, status: 401 });
      expect(JSON.stringify(answer.chunks)).not.toContain(KEY);
      expect(kinds(answer.chunks)).toEqual(["error"]);
      expect(locked.requests().length - before).toBeLessThanOrEqual(1);
    });

    test("a model that does not exist", async () => {
      server.failNext(404, { message: `The model \`${model}\` does not exist`, code: "model_not_found" });
      const { error } = await run("hello");
      expect(error).toMatchObject({ code: "model_unavailable", retryable: false, status: 404 });
      expect(error?.message).toContain(model);
    });

    test("429 with Retry-After waits that long, then succeeds", async () => {
      const text = `limited ${providerType}.`;
      server.text(text, "here at last");
      server.failNext(429, { message: "slow down", type: "rate_limit_error" });
      const answer = await run(text);
      expect(answer.text).toBe("here at last");
      const retry = answer.chunks[0];
      expect(retry).toMatchObject({ kind: "retry", attempt: 1, waitMs: 1000 });
      expect(retry?.kind === "retry" && retry.error).toMatchObject({
        code: "provider_rate_limited",
        retryAfterMs: 1000,
      });
      expect(answer.retries).toEqual({ attempts: 1, totalWaitMs: 1000, reasons: ["provider_rate_limited"] });
    });

    test("500 and 503 are tried again", async () => {
      const text = `shaky ${providerType}.`;
      server.text(text, "steady");
      server.failNext(500, { message: "oops" });
      expect(await run(text)).toMatchObject({ text: "steady", retries: { attempts: 1 } });
      server.failNext(503, { message: "busy" });
      expect(await run(text)).toMatchObject({ text: "steady", retries: { attempts: 1 } });
    });

    test("a stream that breaks after words is an error that the engine may retry, not asked again here", async () => {
      const raw = await startRawServer([{ body: [firstWords(providerType)], ending: "hang" }]);
      const answer = await call(driverAt(providerType, raw.url + path, deps), ask("hello", { model }), {
        onChunk: (chunk) => chunk.kind === "text" && raw.requests[0]?.cut(),
      });
      expect(answer).toMatchObject({ text: "Hel", finish: null, retries: { attempts: 0 } });
      expect(answer.error).toMatchObject({ code: "provider_unavailable", retryable: true });
      expect(raw.requests.length).toBe(1);
      await raw.stop();
    });

    test("a stream that breaks before any word is asked for again, as often as the limit says", async () => {
      const text = `mute ${providerType}.`;
      server.text(text, "never said", { truncateAfterChunks: 1 });
      const before = server.requests().length;
      const answer = await run(text);
      expect(kinds(answer.chunks).filter((kind) => kind !== "usage")).toEqual([
        "retry",
        "retry",
        "retry",
        "error",
      ]);
      expect(answer.error).toMatchObject({ code: "provider_unavailable", retryable: true });
      expect(server.requests().length - before).toBe(4);
    });

    test("abort in the middle of an answer closes the connection and says aborted", async () => {
      server.text(`long ${providerType}.`, "word ".repeat(2000), { rate: 20, chunkSize: 5 });
      const abort = new AbortController();
      const answer = await call(driver(), ask(`long ${providerType}.`, { model }), {
        signal: abort.signal,
        onChunk: (chunk) => chunk.kind === "text" && abort.abort(),
      });
      expect(answer).toMatchObject({ aborted: true, finish: null, error: null });
      expect(answer.chunks.at(-1)?.kind).toBe("aborted");
    });

    test("abort while the provider is silent: it sees the connection go", async () => {
      const raw = await startRawServer([{ ending: "hang" }]);
      const abort = new AbortController();
      const answer = call(driverAt(providerType, raw.url + path, testDeps()), ask("hello", { model }), {
        signal: abort.signal,
      });
      const request = await raw.request(0);
      abort.abort();
      expect(kinds((await answer).chunks)).toEqual(["aborted"]);
      await request.closed;
      await raw.stop();
    });

    test("a signal that is aborted before the call sends nothing", async () => {
      const before = server.requests().length;
      const answer = await call(driver(), ask("hello", { model }), { signal: AbortSignal.abort() });
      expect(kinds(answer.chunks)).toEqual(["aborted"]);
      expect(server.requests().length).toBe(before);
    });

    test("a reader that walks away closes the connection", async () => {
      const raw = await startRawServer([{ status: 200, body: [firstWords(providerType)], ending: "hang" }]);
      const gone = driverAt(providerType, raw.url + path, testDeps());
      for await (const chunk of gone.stream(ask("hello", { model }), new AbortController().signal)) {
        if (chunk.kind === "text") break;
      }
      await (await raw.request(0)).closed;
      await raw.stop();
    });

    test("silence before the first word is broken off and asked again; after it, it is an error", async () => {
      const raw = await startRawServer([
        { ending: "hang" },
        { body: [firstWords(providerType)], ending: "hang" },
      ]);
      const stalling = testDeps({ stallMs: 60_000 });
      const iterator = driverAt(providerType, raw.url + path, stalling)
        .stream(ask("hello", { model }), new AbortController().signal)
        [Symbol.asyncIterator]();

      const first = iterator.next();
      await raw.request(0);
      await stalling.clock.advance(60_000);
      const retry = (await first).value;
      expect(retry).toMatchObject({
        kind: "retry",
        error: { code: "provider_unavailable", retryable: true },
      });
      expect(retry.error.message).toContain("sent nothing for 60 s");

      let next = iterator.next();
      await stalling.clock.advance(retry.waitMs);
      while ((await next).value.kind !== "text") next = iterator.next();
      next = iterator.next();
      await stalling.clock.advance(60_000);
      expect((await next).value).toMatchObject({ kind: "error", error: { retryable: true } });
      await (await raw.request(1)).closed;
      await raw.stop();
    });

    test("a redirect is not followed: the key stays here", async () => {
      const asked: string[] = [];
      const elsewhere = Bun.serve({
        port: 0,
        fetch(request) {
          asked.push(JSON.stringify([...request.headers]));
          return new Response("{}");
        },
      });
      const leading = Bun.serve({
        port: 0,
        fetch: () =>
          new Response(null, { status: 307, headers: { location: `http://localhost:${elsewhere.port}/` } }),
      });
      const driver = driverAt(providerType, `http://127.0.0.1:${leading.port}${path}`, deps);
      const answer = await call(driver, ask("x", { model }), { clock: deps.clock });
      expect(answer.error).toMatchObject({ code: "provider_misconfigured", retryable: false });
      expect(answer.error?.message).toContain("set base_url to that one");
      expect(asked).toEqual([]);
      await Promise.all([leading.stop(true), elsewhere.stop(true)]);
    });

    test("nobody listens at the address", async () => {
      const raw = await startRawServer([{}]);
      await raw.stop();
      const answer = await call(driverAt(providerType, raw.url, deps), ask("hello", { model }), {
        clock: deps.clock,
      });
      expect(answer.error).toMatchObject({ code: "provider_unavailable", retryable: true, status: null });
      expect(answer.retries.attempts).toBe(3);
    });

    test("the vendor's list of models, and what a wrong key makes of it", async () => {
      const signal = new AbortController().signal;
      expect(await driver().listModels(signal)).toContain("gpt-4o");
      const failing = driverAt(providerType, url(locked), deps).listModels(signal);
      await expect(failing).rejects.toMatchObject({ name: "UserError", code: "provider_misconfigured" });
    });
  });
}

/** The start of a stream, up to and with the first word. */
function firstWords(providerType: string): string {
  switch (providerType) {
    case "openai":
      return 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"delta":"Hel"}\n\n';
    case "openai_completions":
      return 'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n';
    default:
      return (
        'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n' +
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}\n\n'
      );
  }
}
