import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { NewEvent } from "../../src/contract/event.ts";
import { hex, type TurnScript, turnEvents, turnIdOf } from "../client/support/events.ts";
import { type ContractServer, problem, startContractServer } from "../client/support/server.ts";
import { runCli, startCli } from "./support.ts";

let server: ContractServer;
let env: Record<string, string>;
beforeEach(() => {
  server = startContractServer();
  env = { EVERRUNS_API_URL: `${server.url}/api` };
});
afterEach(() => server.stop());

const script = (turn: { turnId: string; text: string }, more: Partial<TurnScript> = {}): NewEvent[] =>
  turnEvents({
    turnId: turn.turnId,
    input: turn.text,
    reasons: [{ chunks: [`You said: `, turn.text] }],
    ...more,
  });
const playAll = (more: Partial<TurnScript> = {}) =>
  server.onMessage((turn) => server.append(turn.sessionId, script(turn, more)));
const TOOLS: Partial<TurnScript> = {
  reasons: [
    {
      chunks: ["Let me look."],
      tools: [{ id: "call_1", name: "get_current_time", arguments: { timezone: "UTC" }, output: "10:00" }],
    },
    { chunks: ["It is ten."] },
  ],
};

describe("everruns run", () => {
  test("puts the answer on stdout, and how to go on on stderr", async () => {
    playAll();
    const { code, stdout, stderr } = await runCli(["run", "hello", "there"], { env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "You said: hello there\n" });
    expect(stderr).toMatch(/^session (session_\w{32}) · go on: everruns run --session \1 "…"\n$/);
  });

  test("writes the answer while it comes", async () => {
    let rest: NewEvent[] = [];
    let sessionId = "";
    server.onMessage((turn) => {
      const events = script(turn, { reasons: [{ chunks: ["Half ", "done."] }] });
      const at = events.findIndex(({ type }) => type === "output.message.delta") + 1;
      rest = events.slice(at);
      sessionId = turn.sessionId;
      server.append(sessionId, events.slice(0, at));
    });
    const running = startCli(["run", "go"], { env });
    await running.shown("Half ");
    server.append(sessionId, rest);
    expect(await running.finished).toMatchObject({ code: 0, stdout: "Half done.\n" });
  });

  for (const [name, args, stdin] of [
    ["with -", ["run", "-"], "from a pipe\n"],
    ["without a message", ["run"], "from a pipe"],
  ] as const) {
    test(`reads stdin ${name}`, async () => {
      playAll();
      expect(await runCli(args, { env, stdin })).toMatchObject({
        code: 0,
        stdout: "You said: from a pipe\n",
      });
    });
  }

  test("goes on with a session and shows nothing of what was said before", async () => {
    const sessionId = server.createSession();
    server.append(sessionId, script({ turnId: turnIdOf(77), text: "earlier" }));
    playAll();
    const { stdout, stderr } = await runCli(["run", "--session", sessionId, "now"], { env });
    expect(stdout).toBe("You said: now\n");
    expect(stderr).toContain(sessionId);
    expect(server.requests.filter((line) => line === "POST /api/v1/sessions")).toEqual([]);
  });

  test("takes an agent by name", async () => {
    playAll();
    expect(await runCli(["run", "--agent", "time-agent", "hi"], { env })).toMatchObject({ code: 0 });
    expect(server.created).toEqual([{ agent_id: `agent_${hex(7)}` }]);
  });

  test("keeps tools out of stdout, and out of stderr too unless asked", async () => {
    playAll(TOOLS);
    const quiet = await runCli(["run", "time?"], { env });
    expect(quiet.stdout).toBe("Let me look.\n\nIt is ten.\n");
    expect(quiet.stderr).not.toContain("get_current_time");
    const { stdout, stderr } = await runCli(["run", "--verbose", "time?"], { env });
    expect(stdout).toBe(quiet.stdout);
    expect(stderr).toContain('→ get_current_time {"timezone":"UTC"}\n✓ get_current_time 12 ms\n');
  });

  test("prints one event a line with --json", async () => {
    playAll();
    const { code, stdout } = await runCli(["run", "--json", "hello"], { env });
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string });
    expect(code).toBe(0);
    expect(events[0]?.type).toBe("input.message");
    expect(events.slice(-2).map(({ type }) => type)).toEqual(["turn.completed", "session.idled"]);
  });

  for (const [end, expected] of [
    ["failed", "the turn failed: status 503 (provider_unavailable)"],
    ["sealed", "the turn was ended without an answer: no_progress"],
    ["cancelled", "the turn was cancelled"],
  ] as const) {
    test(`fails when the turn is ${end}, and says why`, async () => {
      playAll({ end, reasons: [{ chunks: ["So far"] }] });
      const { code, stdout, stderr } = await runCli(["run", "go"], { env });
      expect({ code, stdout }).toEqual({ code: 1, stdout: "So far\n" });
      expect(stderr).toContain(`everruns: ${expected}\n`);
    });
  }

  test("survives a stream that breaks in the middle of the answer", async () => {
    server.onMessage((turn) => {
      const events = script(turn, { reasons: [{ chunks: ["one ", "two ", "three"] }] });
      server.append(turn.sessionId, events.slice(0, 6));
      server.requested("/sse").then(() => {
        server.dropStreams();
        server.append(turn.sessionId, events.slice(6));
      });
    });
    expect(await runCli(["run", "count"], { env })).toMatchObject({ code: 0, stdout: "one two three\n" });
  });

  test("cancels the turn at Ctrl+C and waits for its end", async () => {
    let turnId = "";
    server.onMessage((turn) => {
      turnId = turn.turnId;
      server.append(turn.sessionId, script(turn, { reasons: [{ chunks: ["a long"] }] }).slice(0, 6));
    });
    server.onCancel((sessionId) => {
      const events = turnEvents({ turnId, input: "", reasons: [], end: "cancelled" });
      server.append(sessionId, events.slice(3));
    });
    const running = startCli(["run", "go"], { env });
    await running.shown("a long");
    running.process.kill("SIGINT");
    const { code, stderr, stdout } = await running.finished;
    expect({ code, stdout }).toEqual({ code: 1, stdout: "a long" });
    expect(stderr).toContain("cancelling the turn");
    expect(stderr).toContain("everruns: the turn was cancelled\n");
    expect(stderr).toContain("everruns run --session");
  });

  test("leaves at once at the second Ctrl+C", async () => {
    server.onMessage((turn) => server.append(turn.sessionId, script(turn).slice(0, 6)));
    const running = startCli(["run", "go"], { env });
    await running.shown("You said");
    running.process.kill("SIGINT");
    await running.shown("cancelling", "stderr");
    running.process.kill("SIGINT");
    expect((await running.finished).code).toBe(130);
  });
});

describe("everruns run says in one line what is wrong", () => {
  const oneLine = /^everruns: [^\n]+\n$/;

  test("when there is no server", async () => {
    await server.stop();
    const { code, stdout, stderr } = await runCli(["run", "hi"], { env });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(`everruns: no server at ${server.url}; start one with \`everruns serve\`\n`);
  });

  const cases: [string, string[], string][] = [
    ["for a session that does not exist", ["--session", `session_${hex(99)}`, "hi"], "Session not found"],
    [
      "for an agent that does not exist",
      ["--agent", "nobody", "hi"],
      "no agent nobody; `everruns agents` lists them",
    ],
    ["for a model that does not exist", ["--model", "gpt-0", "hi"], "no model gpt-0"],
  ];
  for (const [name, args, expected] of cases) {
    test(name, async () => {
      const { code, stderr } = await runCli(["run", ...args], { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(oneLine);
      expect(stderr).toContain(expected);
    });
  }

  test("when the server wants a key", async () => {
    server.intercept(() => problem(401, "unauthorized", "A credential is needed."));
    const { code, stderr } = await runCli(["run", "hi"], { env });
    expect(code).toBe(1);
    expect(stderr).toBe(
      "everruns: A credential is needed; set EVERRUNS_API_KEY to a key of this server, or sign in with everruns login\n",
    );
  });
});
