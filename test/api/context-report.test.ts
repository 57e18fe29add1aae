/** What the next model call would carry, beside what it does carry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { SessionContextReport } from "../../src/contract/session-view.ts";
import { tokensOf } from "../../src/engine/history-window.ts";
import type { ModelRequest } from "../../src/llm/driver.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce, send } from "../support/sessions.ts";
import { clientTool } from "../support/waiting.ts";

describe("the context report", () => {
  let app: TestApp;
  let engine: TestEngine;
  const model = createManualDriver();
  beforeAll(async () => {
    app = await testApp();
    await seedModel(app.db);
    engine = await startEngine({ address: app.db.address }, { driver: model.driver });
  });
  afterAll(async () => {
    await engine.stop();
    await app.close();
  });
  const report = async (session: string): Promise<SessionContextReport> =>
    (await app.get(`/sessions/${session}/context-report`)).body;
  const section = ({ sections }: SessionContextReport, key: string) =>
    sections.find((one) => one.key === key);
  const part = ({ contributions }: SessionContextReport, source: string, key?: string) =>
    contributions.find((one) => one.source_id === source && (key ?? one.section_key) === one.section_key);
  /** One turn; what the model was given for it. */
  const turn = async (session: string, text: string, act: (call: ModelCall) => void = () => {}) => {
    await send(app.db, session, text);
    engine.hint();
    const call = await model.nextCall();
    act(call);
    call.say("Answer.");
    call.finish();
    return call.request;
  };
  type ModelCall = Awaited<ReturnType<typeof model.nextCall>>;
  const agentSession = async () => {
    const agent = (
      await app.post("/agents", {
        name: `reported-${newId("x").slice(-6)}`,
        system_prompt: "You are an agent. ".repeat(20),
        capabilities: ["session_file_system"],
        tools: [clientTool("open_door")],
      })
    ).body;
    const session = (await app.post("/sessions", { agent_id: agent.id, system_prompt: "Be brief." })).body.id;
    return { agent, session };
  };

  test("counts prompt and tools as the next call has them, by layer, capability and tool", async () => {
    const { agent, session } = await agentSession();
    const before = await report(session);
    const request: ModelRequest = await turn(session, "hello");
    expect(section(before, "tools")?.items).toBe(request.tools.length);
    for (const tool of request.tools) {
      expect(part(before, tool.name, "tools")?.tokens).toBe(tokensOf(JSON.stringify(tool)));
    }
    expect(part(before, "open_door")?.label).toContain("client-side");
    expect(part(before, agent.id)?.tokens).toBe(tokensOf(agent.system_prompt.trim()));
    expect(part(before, session)?.tokens).toBe(tokensOf("Be brief."));
    expect(part(before, "session_file_system")?.tokens).toBeGreaterThan(0);
    // Each text is rounded up by itself, and the empty lines between them cost next to nothing.
    const whole = tokensOf(request.system ?? "");
    expect(Math.abs((section(before, "system_prompt")?.tokens ?? 0) - whole)).toBeLessThan(10);
    expect(section(before, "messages")).toEqual({
      key: "messages",
      label: "Conversation",
      tokens: 0,
      items: 0,
    });
  });

  test("counts the conversation by who speaks, and grows with it", async () => {
    const { session } = await agentSession();
    await send(app.db, session, "list the files");
    engine.hint();
    const call = await model.nextCall();
    call.callTool("list_directory", { path: "/" });
    call.finish();
    const second = await model.nextCall();
    second.say("There are none.");
    second.finish();
    await logOnce(app.db, session, isIdle);
    const after = await report(session);
    expect(
      after.contributions.filter((one) => one.section_key === "messages").map((one) => one.source_id),
    ).toEqual(["user", "agent", "tool:list_directory"]);
    // The question, the call, its result, and the answer: one more than the second call was given.
    expect(section(after, "messages")?.items).toBe(second.request.messages.length + 1);
    expect(after.estimated_input_tokens).toBe(after.sections.reduce((sum, one) => sum + one.tokens, 0));
    const sums = Map.groupBy(after.contributions, (one) => one.section_key);
    for (const { key, tokens } of after.sections) {
      expect([key, sums.get(key)?.reduce((sum, one) => sum + one.tokens, 0)]).toEqual([key, tokens]);
    }
    await turn(session, "again");
    await logOnce(
      app.db,
      session,
      (log) => isIdle(log) && log.filter((e) => e.type === "turn.completed").length > 1,
    );
    expect((await report(session)).estimated_input_tokens).toBeGreaterThan(after.estimated_input_tokens);
  });

  test("leaves out what does not fit, and says so", async () => {
    const { session } = await agentSession();
    for (let n = 0; n < 3; n += 1) {
      await turn(session, `${n} ${"long ".repeat(50_000)}`);
      await logOnce(
        app.db,
        session,
        (log) => log.filter((e) => e.type === "turn.completed").length === n + 1,
      );
    }
    const found = await report(session);
    expect(part(found, "omitted")?.tokens).toBeGreaterThan(0);
    const request = await turn(session, "and?");
    // The next message joins what the report counted.
    expect(section(found, "messages")?.items).toBe(request.messages.length - 2);
  });

  test("knows model, window and what was used so far", async () => {
    const { session } = await agentSession();
    const { body: models } = await app.get("/models");
    await turn(session, "hello");
    await logOnce(app.db, session, isIdle);
    const found = await report(session);
    expect(found).toMatchObject({ session_id: session, model: "llmsim" });
    expect(found.cumulative_usage).toEqual((await app.get(`/sessions/${session}`)).body.usage);
    expect(models.data.length).toBeGreaterThan(0);
  });

  test("is made without a model, too, and for no session of others", async () => {
    const { session } = await agentSession();
    await app.db.sql`update organizations set default_model_id = null`;
    expect((await report(session)).model).toBe("none");
    expect((await app.get(`/sessions/${newId("session")}/context-report`)).status).toBe(404);
    expect((await app.get("/sessions/x/context-report")).status).toBe(400);
  });
});
