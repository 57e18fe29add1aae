/**
 * One message through the executable and a real HTTP model server, for each protocol: what a person sees, what the
 * log and the run record say, what went over the wire, and where the key must not be (I9).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { uuidOf } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { type RunningServer, runExecutable, serveExecutable } from "../support/executable.ts";
import { type ModelServer, startModelServer } from "../support/model-server.ts";
import { transcript } from "../support/transcript.ts";
import { type Api, apiOf } from "./support/api.ts";
import { everyAnswer, everyRow, filesWith } from "./support/secrets.ts";
import { startWireTap, type TappedRequest, type WireTap } from "./support/wire-tap.ts";

const PROTOCOLS = [
  {
    type: "openai",
    model: "gpt-6.1-sol",
    key: "sk-e2e-responses-0123456789abcdef",
    basePath: "/v1",
    path: "/v1/responses",
    keyOf: ({ headers }: TappedRequest) => headers.authorization?.replace("Bearer ", ""),
    // biome-ignore lint/suspicious/noExplicitAny: the vendor's shape is what is tested
    resultsIn: (body: any): [string, string][] =>
      body.input
        .filter((item: { type?: string }) => item.type === "function_call_output")
        .map((item: { call_id: string; output: string }) => [item.call_id, item.output]),
    usage: (input: number, output: number) => ({ input_tokens: input, output_tokens: output }),
    unknownModel: { error: { message: "The model does not exist", code: "model_not_found" } },
  },
  {
    type: "openai_completions",
    model: "gpt-4.1",
    key: "sk-e2e-completions-0123456789abcdef",
    basePath: "/v1",
    path: "/v1/chat/completions",
    keyOf: ({ headers }: TappedRequest) => headers.authorization?.replace("Bearer ", ""),
    // biome-ignore lint/suspicious/noExplicitAny: as above
    resultsIn: (body: any): [string, string][] =>
      body.messages
        .filter(({ role }: { role: string }) => role === "tool")
        .map((item: { tool_call_id: string; content: string }) => [item.tool_call_id, item.content]),
    usage: (input: number, output: number) => ({ prompt_tokens: input, completion_tokens: output }),
    unknownModel: { error: { message: "The model does not exist", code: "model_not_found" } },
  },
  {
    type: "anthropic",
    model: "claude-sonnet-5-5",
    key: "sk-ant-e2e-messages-0123456789abcdef",
    basePath: "",
    path: "/v1/messages",
    keyOf: ({ headers }: TappedRequest) => headers["x-api-key"],
    // biome-ignore lint/suspicious/noExplicitAny: as above
    resultsIn: (body: any): [string, string][] =>
      body.messages
        .flatMap(({ content }: { content: unknown }) => (Array.isArray(content) ? content : []))
        .filter(({ type }: { type: string }) => type === "tool_result")
        .map((part: { tool_use_id: string; content: string | { text: string }[] }) => [
          part.tool_use_id,
          typeof part.content === "string" ? part.content : part.content.map(({ text }) => text).join(""),
        ]),
    usage: (input: number, output: number) => ({ input_tokens: input, output_tokens: output }),
    unknownModel: { type: "error", error: { type: "not_found_error", message: "model: does not exist" } },
  },
] as const;

const SECRETS = PROTOCOLS.map(({ key }) => key);
const WRONG_KEY = "sk-e2e-wrong-fedcba9876543210";

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let models: ModelServer;
let tap: WireTap;
let server: RunningServer;
let api: Api;
/** What the client commands printed. */
const printed: string[] = [];

beforeAll(async () => {
  models = await startModelServer({ apiKeys: SECRETS });
  tap = await startWireTap(models.url);
  server = await serveExecutable(["--data-dir", dataDir, "--log-level", "debug"], { cwd });
  api = apiOf(() => server.url);
});
afterAll(async () => {
  await server?.stop();
  await tap?.stop();
  await models?.stop();
  killCluster(dataDir);
  work.remove();
});

async function run(...args: string[]) {
  const result = await runExecutable(["run", ...args], { cwd, env: { EVERRUNS_API_URL: server.url } });
  printed.push(result.stdout, result.stderr);
  return { ...result, sessionId: /session_[0-9a-f]{32}/.exec(result.stderr)?.[0] ?? "" };
}

/** Deltas come in any number; items are the vendor's own bookkeeping. */
const typesOf = (events: readonly Event[]) =>
  events.map(({ type }) => type).filter((type) => !type.endsWith(".delta") && type !== "reason.item");

for (const protocol of PROTOCOLS) {
  describe(protocol.type, () => {
    const { type, model, key, usage } = protocol;
    const agent = `tester-${type.replace("_", "-")}`;
    const ids: Record<string, string> = {};
    let sessionId = "";

    test("a provider, a model and an agent are made through the API", async () => {
      const provider = await api.post("/providers", {
        name: `E2E ${type}`,
        provider_type: type,
        base_url: `${tap.url}${protocol.basePath}`,
        api_key: key,
      });
      expect(provider).toMatchObject({ provider_type: type, api_key_set: true, status: "active" });
      const made = await api.post(`/providers/${provider.id}/models`, {
        model_id: model,
        display_name: model,
      });
      const { id } = await api.post("/agents", {
        name: agent,
        system_prompt: "Be brief.",
        default_model_id: made.id,
        capabilities: ["current_time", "session_file_system"],
      });
      const budget = await api.post("/budgets", {
        subject_type: "agent",
        subject_id: id,
        currency: "tokens",
        limit: 1_000_000,
      });
      Object.assign(ids, { provider: provider.id, model: made.id, agent: id, budget: budget.id });
    });

    test("an answer streams after two tool calls at once", async () => {
      const prompt = `note and time, ${type}`;
      models.script(prompt, [
        {
          text: "Let me see.",
          toolCalls: [
            { name: "write_file", arguments: { path: "/note.md", content: "hi" } },
            { name: "get_current_time", arguments: { timezone: "Europe/Kyiv" } },
          ],
          usage: usage(100, 20),
        },
        { text: "Noted, and it is noon in Kyiv.", usage: usage(150, 9) },
      ]);
      const { code, stdout, stderr, sessionId: session } = await run("--agent", agent, "-v", prompt);
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: "Let me see.\n\nNoted, and it is noon in Kyiv.\n",
      });
      expect(stderr).toContain('→ write_file {"path":"/note.md","content":"hi"}');
      expect(stderr).toMatch(/✓ get_current_time \d+ ms/);
      sessionId = session;
    });

    test("its log tells the whole turn", async () => {
      const events = await api.events(sessionId);
      const lines = transcript(
        events.filter((event) => event.type !== "reason.item"),
        { durable: true },
      )
        .replace(/(get_current_time success ).*/, "$1…")
        .replace(/(write_file success ).*/, "$1…");
      expect(lines).toBe(
        [
          "session.started",
          `input.message              "note and time, ${type}"`,
          "session.activated",
          'output.message.completed   "Let me see." -> write_file {"path":"/note.md","content":"hi"} -> get_current_time {"timezone":"Europe/Kyiv"}',
          `llm.generation             ${model}`,
          "reason.completed           tool_calls=2",
          "file.written               write /note.md 2",
          "tool.completed             get_current_time success …",
          "tool.completed             write_file success …",
          "act.completed              ok=2 failed=0",
          'output.message.completed   "Noted, and it is noon in Kyiv."',
          `llm.generation             ${model}`,
          "reason.completed           tool_calls=0",
          "turn.completed             iterations=2 tool_calls=2",
          "session.idled",
          "",
        ].join("\n"),
      );
      const { usage: used } = events.find((event) => event.type === "turn.completed")?.data ?? {};
      expect(used).toMatchObject({ input_tokens: 250, output_tokens: 29 });
    });

    test("its run is on record with its steps", async () => {
      const run = await api.lastRun(sessionId);
      expect(run).toMatchObject({
        status: "completed",
        attempt: 1,
        iterations: 2,
        usage: { input_tokens: 250, output_tokens: 29 },
      });
      expect(run.cost_usd).toBeGreaterThan(0);
      const steps = run.steps ?? [];
      expect(steps.map(({ name, tool_name }) => tool_name ?? name).sort()).toEqual([
        "get_current_time",
        "reason:1",
        "reason:2",
        "write_file",
      ]);
      for (const step of steps) {
        expect(step).toMatchObject({ status: "settled", attempt: 1, duration_ms: expect.any(Number) });
        expect(Date.parse(step.finished_at ?? "")).toBeGreaterThanOrEqual(Date.parse(step.started_at ?? ""));
      }
      const reasons = steps.filter(({ kind }) => kind === "reason").map((step) => step.usage?.output_tokens);
      expect(reasons).toEqual([20, 9]);
      ids.turn = run.id;
    });

    test("the model server saw the key in its place and both results in the protocol's form", () => {
      const calls = tap.requests.filter(({ path }) => path.startsWith(protocol.path));
      expect(calls).toHaveLength(2);
      expect(calls.map(protocol.keyOf)).toEqual([key, key]);
      expect(calls.map(({ body }) => [body.model, body.stream])).toEqual([
        [model, true],
        [model, true],
      ]);
      const results = protocol.resultsIn(calls[1]?.body);
      expect(results.map(([, text]) => text)).toEqual([
        expect.stringContaining("/note.md"),
        expect.stringContaining("Kyiv"),
      ]);
      expect(new Set(results.map(([id]) => id)).size).toBe(2);
    });

    test("a wrong key fails the turn with a sentence to act on, and a good one mends the session", async () => {
      models.text(`second, ${type}`, "Good again.");
      await api.patch(`/providers/${ids.provider}`, { api_key: WRONG_KEY });
      const refused = await run("--session", sessionId, `second, ${type}`);
      expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: "" });
      expect(refused.stderr).toMatch(/^everruns: the turn failed: .*401.*\(provider_misconfigured\)$/m);
      const failed = (await api.events(sessionId)).findLast((event) => event.type === "turn.failed");
      expect(failed?.data).toMatchObject({ error_code: "provider_misconfigured" });

      await api.patch(`/providers/${ids.provider}`, { api_key: key });
      expect(await run("--session", sessionId, `second, ${type}`)).toMatchObject({
        code: 0,
        stdout: "Good again.\n",
      });
    });

    test("a model that does not exist fails the turn, and the session goes on", async () => {
      models.text(`third, ${type}`, "Still here.");
      tap.spoilNext({ status: 404, body: protocol.unknownModel });
      const refused = await run("--session", sessionId, `third, ${type}`);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(/^everruns: the turn failed: .*not exist.*\(model_unavailable\)$/m);
      expect(await run("--session", sessionId, `third, ${type}`)).toMatchObject({
        code: 0,
        stdout: "Still here.\n",
      });
    });

    test("429 with Retry-After is waited out", async () => {
      models.text(`fourth, ${type}`, "At last.");
      const error = { type: "rate_limit_error", message: "slow down" };
      tap.spoilNext({
        status: 429,
        headers: { "retry-after": "1" },
        body: type === "anthropic" ? { type: "error", error } : { error },
      });
      const { code, stdout } = await run("--session", sessionId, `fourth, ${type}`);
      expect({ code, stdout }).toEqual({ code: 0, stdout: "At last.\n" });
      const generation = (await api.events(sessionId)).findLast((event) => event.type === "llm.generation");
      const { retry } = generation?.data.metadata ?? {};
      expect(retry?.attempts).toBe(1);
      expect(retry?.total_wait_ms).toBeGreaterThanOrEqual(1000);
    });

    test("a stream that breaks is asked for again, and one answer stands", async () => {
      const text = "One two three four five six seven eight nine ten.";
      models.text(`fifth, ${type}`, text, { chunkSize: 4 });
      tap.spoilNext({
        cutAfter: "thre",
        // Words that did not reach the log are asked for again in silence.
        once: async () => {
          const isSeen = (events: Event[]) =>
            events.findLast((event) => /^(output|turn)/.test(event.type))?.type === "output.message.delta";
          while (!isSeen(await api.events(sessionId))) await Bun.sleep(5);
        },
      });
      const { code, stdout } = await run("--session", sessionId, `fifth, ${type}`);
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${text}\n` });

      const { id: turnId } = await api.lastRun(sessionId);
      const events = (await api.events(sessionId)).filter((event) => event.context.turn_id === turnId);
      expect(typesOf(events)).toEqual([
        "input.message",
        "session.activated",
        "turn.started",
        "reason.started",
        "output.message.started",
        "llm.generation",
        "reason.completed",
        "reason.started",
        "output.message.started",
        "output.message.completed",
        "llm.generation",
        "reason.completed",
        "turn.completed",
        "session.idled",
      ]);
      const { data: messages } = await api.get(`/sessions/${sessionId}/messages`);
      const answers = messages.filter(
        (one: { content: { text?: string }[] }) => one.content[0]?.text === text,
      );
      expect(answers).toHaveLength(1);
    });

    test("malformed arguments are a complaint that the model reads, and the turn completes", async () => {
      models.script(`sixth, ${type}`, [
        { toolCalls: [{ name: "write_file", arguments: { path: "/a" } }], chunkSize: 1000 },
        { text: "I see what I did wrong." },
      ]);
      tap.spoilNext({ replace: ['\\"/a\\"}', '\\"/a'] });
      const { code, stdout } = await run("--session", sessionId, `sixth, ${type}`);
      expect({ code, stdout }).toEqual({ code: 0, stdout: "I see what I did wrong.\n" });
      const complaint = protocol.resultsIn(tap.requests.at(-1)?.body).at(-1)?.[1];
      expect(complaint).toMatch(/JSON/);
      const completed = (await api.events(sessionId)).findLast((event) => event.type === "tool.completed");
      expect(completed?.data).toMatchObject({ tool_name: "write_file", success: false, status: "error" });
    });

    test("the key is in no answer, no event, no log line, no row and no file", async () => {
      const answers = await everyAnswer(server.url, {
        session_id: sessionId,
        other_id: sessionId,
        budget_id: ids.budget ?? "",
        key: `${ids.provider}:${model}`,
        turn_id: ids.turn ?? "",
        agent_id: ids.agent ?? "",
        agent_id_or_name: agent,
        provider_id: ids.provider ?? "",
        model_id: ids.model ?? "",
        capability_id: "current_time",
        harness_id: "generic",
        workspace_id: sessionId.replace("session", "wsp"),
        workflow_id: uuidOf(ids.turn ?? ""),
        path: "a",
        "models.id": ids.model ?? "",
        "providers.id": ids.provider ?? "",
      });
      const places = new Map([
        ...[...answers].map(([name, text]) => [`GET ${name}`, text] as const),
        ...[...(await everyRow(dataDir))].map(([name, text]) => [`table ${name}`, text] as const),
        ["server's output", server.output()] as const,
        ["clients' output", printed.join("\n")] as const,
      ]);
      // The search would find nothing in nothing: it has to have looked at what is there.
      expect(places.get("table providers")).toContain(ids.provider);
      expect(places.get("GET 200 /v1/sessions/{session_id}/events")).toContain("provider_misconfigured");
      for (const secret of [key, WRONG_KEY]) {
        const found = [...places].filter(([, text]) => text.includes(secret)).map(([name]) => name);
        expect(found).toEqual([]);
        expect(filesWith(join(dataDir, "postgres-18/data"), secret)).toEqual([]);
      }
    });
  });
}

describe("a key in the environment", () => {
  const ownData = work.fresh("seeded");

  test("makes a provider at the first start, whose model is the default", async () => {
    const prompt = "whoever you are";
    const protocol = PROTOCOLS[0];
    models.text(prompt, "The default.");
    const seeded = await serveExecutable(["--data-dir", ownData], {
      cwd,
      env: { OPENAI_API_KEY: protocol.key, OPENAI_BASE_URL: `${tap.url}/v1` },
    });
    try {
      const result = await runExecutable(["run", prompt], { cwd, env: { EVERRUNS_API_URL: seeded.url } });
      expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 0, stdout: "The default.\n" });
      const request = tap.requests.at(-1);
      expect(request?.path).toBe(protocol.path);
      expect(request && protocol.keyOf(request)).toBe(protocol.key);
      expect(seeded.output()).toContain(`${request?.body.model} (OpenAI)`);
      expect(seeded.output() + result.stdout + result.stderr).not.toContain(protocol.key);
    } finally {
      await seeded.stop();
      killCluster(ownData);
    }
  });
});
