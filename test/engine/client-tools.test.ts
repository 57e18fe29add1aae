import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { limits } from "../../src/contract/limits.ts";
import { textOf } from "../../src/contract/message.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { SENT_A_MESSAGE } from "../../src/db/waits.ts";
import type { Failpoint } from "../../src/engine/failpoint.ts";
import type { Answer } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send, turnsEnded } from "../support/sessions.ts";
import { clientTool, completedCalls, startWaiting, typesOf, type Waiting } from "../support/waiting.ts";

describe("a call of a client-side tool", () => {
  let it: Waiting;
  const tools = [clientTool("open_page"), clientTool("click", { display_name: "Click" })];
  const twoCalls = [{ name: "open_page", arguments: { url: "/a" } }, { name: "click" }];
  beforeAll(async () => {
    it = await startWaiting();
  });
  afterAll(() => it.close());

  const ending = (session: string) => logOnce(it.app.db, session, isIdle);
  const count = (types: string[], type: string) => types.filter((one) => one === type).length;
  /** I1, I6, I8 and one `act.completed`, on the log of a turn with one act. */
  const expectSound = (log: Awaited<ReturnType<typeof ending>>, calls: number) => {
    expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
    const ids = completedCalls(log).map((call) => call.tool_call_id);
    expect([ids.length, new Set(ids).size]).toEqual([calls, calls]);
    expect(count(typesOf(log), "act.completed")).toBe(1);
    expect(
      typesOf(log).filter((type) => /^turn\.(completed|cancelled|failed|sealed)$/.test(type)),
    ).toHaveLength(1);
  };

  test("parks the run: no slot, no lease, and the client is asked; the result resumes it", async () => {
    const { session, callIds } = await it.waiting([{ name: "open_page", arguments: { url: "/a" } }], {
      tools,
    });
    expect(await it.status(session)).toBe("waitingfortoolresults");
    expect(await it.run(session)).toMatchObject({
      state: "waiting",
      waiting_on: "client_tools",
      lease_owner: null,
      lease_expires_at: null,
    });
    const events = await readLog(it.app.db, session);
    expect(events.at(-1)).toMatchObject({
      type: "tool.call_requested",
      data: { tool_calls: [{ id: callIds[0], name: "open_page", arguments: { url: "/a" } }] },
    });
    const answer = await it.results(session, [{ tool_call_id: callIds[0], result: { title: "A" } }]);
    expect([answer.status, answer.body]).toEqual([200, { accepted: 1, status: "active" }]);
    expect(it.app.published.at(-1)).toMatchObject({ sessions: [session], isQueued: true });
    const log = await ending(session);
    expect(completedCalls(log)).toMatchObject([
      { tool_call_id: callIds[0], success: true, result: [{ type: "text", text: '{"title":"A"}' }] },
    ]);
    expectSound(log, 1);
    expect(log.find((event) => event.type === "turn.completed")?.data).toMatchObject({
      iterations: 2,
      tool_call_count: 1,
    });
    expect(await it.run(session)).toMatchObject({
      state: "completed",
      attempt: 2,
      takeovers: 0,
      parked: null,
    });
  });

  test("server tools of the same answer run first; the counts of the act are of all calls", async () => {
    const { session, callIds } = await it.waiting(
      [{ name: "open_page" }, { name: "look" }, { name: "click" }],
      {
        tools,
      },
    );
    expect(completedCalls(await readLog(it.app.db, session))).toMatchObject([
      { tool_name: "look", success: true },
    ]);
    await it.results(session, [{ tool_call_id: callIds[0], result: 1 }]);
    await it.results(session, [{ tool_call_id: callIds[2], error: "no such button" }]);
    const log = await ending(session);
    expectSound(log, 3);
    expect(log.find((event) => event.type === "act.completed")?.data).toMatchObject({
      success_count: 2,
      error_count: 1,
    });
    expect(completedCalls(log).at(-1)).toMatchObject({
      tool_name: "click",
      display_name: "Click",
      status: "error",
      error: "no such button",
    });
  });

  test("the session waits until the last result is there; a repeated result changes nothing", async () => {
    const { session, callIds } = await it.waiting(twoCalls, { tools });
    const first = [{ tool_call_id: callIds[0], result: "a" }];
    expect((await it.results(session, first)).body).toEqual({ accepted: 1, status: "waitingfortoolresults" });
    expect((await it.results(session, first)).body).toEqual({ accepted: 0, status: "waitingfortoolresults" });
    expect(await it.status(session)).toBe("waitingfortoolresults");
    const both = [...first, { tool_call_id: callIds[1], result: "b" }];
    expect((await it.results(session, both)).body).toEqual({ accepted: 1, status: "active" });
    expectSound(await ending(session), 2);
    const late = await it.results(session, both);
    expect([late.status, late.body.code, late.body.detail]).toEqual([
      409,
      "not_waiting",
      "Session is not waiting for tool results (current status: idle)",
    ]);
  });

  test("the same results again in the same turn are taken for what they are", async () => {
    const driver = createManualDriver();
    const database = { address: it.app.db.address } as never;
    await it.engine.stop();
    const engine = await startEngine(database, { driver: driver.driver });
    const session = await newSession(it.app.db, null, { tools });
    await send(it.app.db, session, "Go.");
    engine.hint();
    const call = await driver.nextCall();
    expect(call.request.tools.map((tool) => tool.name)).toContain("open_page");
    call.callTool("open_page", {});
    call.finish();
    const asked = await logOnce(it.app.db, session, (log) => log.at(-1)?.type === "tool.call_requested");
    const id = asked.find((event) => event.type === "tool.started")?.data.tool_call.id;
    const results = [{ tool_call_id: id, result: "opened" }];
    expect((await it.results(session, results)).body).toEqual({ accepted: 1, status: "active" });
    const next = await driver.nextCall();
    expect((await it.results(session, results)).body).toEqual({ accepted: 0, status: "active" });
    expect(next.request.messages.at(-1)).toMatchObject({ role: "tool", toolCallId: id, content: "opened" });
    next.say("Done.");
    next.finish();
    expectSound(await ending(session), 1);
    await engine.stop();
    it.engine = await it.startEngine();
  });

  test("unknown ids are refused with the list of what is pending, and nothing is written", async () => {
    const { session, callIds } = await it.waiting(twoCalls, { tools });
    const before = await readLog(it.app.db, session);
    const answer = await it.results(session, [
      { tool_call_id: callIds[0], result: "a" },
      { tool_call_id: "call_nobody", result: "x" },
    ]);
    expect([answer.status, answer.body.code]).toEqual([400, "invalid_request"]);
    expect(answer.body.pending_tool_call_ids).toEqual(callIds);
    expect(answer.body.detail).toContain("call_nobody");
    expect(await readLog(it.app.db, session)).toEqual(before);
    expect((await it.app.post(`/sessions/${session}/tool-results`, { tool_results: [] })).status).toBe(400);
  });

  test("a result over the cap is cut, with a note", async () => {
    const { session, callIds } = await it.waiting([{ name: "open_page" }], { tools });
    await it.results(session, [
      { tool_call_id: callIds[0], result: "x".repeat(limits.toolResultBytesMax + 1) },
    ]);
    const [call] = completedCalls(await ending(session));
    const text = textOf(call?.result ?? []);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.toolResultBytesMax);
    expect(text).toMatch(/^x+\n\[… \d+ of 65537 bytes left out\]$/);
  });

  test("nobody answers in time: the model reads that, and the turn goes on", async () => {
    const { session } = await it.waiting(twoCalls, { tools });
    await it.app.db.sql`update waits set expires_at = now() where session_id = ${session}`;
    const log = await ending(session);
    expectSound(log, 2);
    expect(completedCalls(log)).toMatchObject([
      { status: "timeout", error: "The client did not answer this call within 0 s." },
      { status: "timeout" },
    ]);
    expect(await it.app.db.sql`select status from waits where session_id = ${session}`).toMatchObject([
      { status: "expired" },
      { status: "expired" },
    ]);
  });

  test("a message instead of the result cancels the calls, and the turn goes on with the message", async () => {
    const { session, turnId, callIds } = await it.waiting(twoCalls, { tools });
    await it.results(session, [{ tool_call_id: callIds[0], result: "a" }]);
    const said = { message: { content: [{ type: "text", text: "Never mind." }] } };
    const sent = await it.app.post(`/sessions/${session}/messages`, said);
    expect(sent.body).toMatchObject({ delivery: "resumed", turn_id: turnId });
    const log = await ending(session);
    expectSound(log, 2);
    expect(completedCalls(log).at(-1)).toMatchObject({ status: "cancelled", error: SENT_A_MESSAGE });
    expect((await it.results(session, [{ tool_call_id: callIds[1], result: "b" }])).status).toBe(409);
  });

  test("a message that asks to queue leaves the call waiting, and has its turn after it", async () => {
    const { session, turnId, callIds } = await it.waiting([{ name: "open_page" }], { tools });
    const said = { message: { content: [{ type: "text", text: "Then this." }] }, delivery: "queue" };
    const sent = await it.app.post(`/sessions/${session}/messages`, said);
    expect(sent.body).toMatchObject({ delivery: "queued", queue_position: 1 });
    expect(sent.body.turn_id).not.toBe(turnId);
    expect(await it.status(session)).toBe("waitingfortoolresults");
    await it.results(session, [{ tool_call_id: callIds[0], result: "a" }]);
    const log = await logOnce(it.app.db, session, (events) => turnsEnded(events) === 2);
    expect(completedCalls(log)).toMatchObject([{ status: "success" }]);
  });

  test("a message that comes while the tools of the server run keeps the run from being parked", async () => {
    let hold = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    await it.engine.stop();
    const engine = await it.startEngine({
      failpoint: (name: Failpoint) => {
        if (name !== "park:before-commit") return;
        reached.resolve();
        return hold.promise;
      },
    });
    const session = await newSession(it.app.db, null, { tools });
    const script = JSON.stringify({ rate: 0, steps: [{ tool_calls: twoCalls }, { text: "Done." }] });
    await send(it.app.db, session, `Go.\n\`\`\`llmsim\n${script}\n\`\`\``);
    engine.hint();
    await reached.promise;
    expect(await send(it.app.db, session, "Wait!")).toMatchObject({ outcome: "steered" });
    hold.resolve();
    hold = Promise.withResolvers();
    const log = await ending(session);
    expectSound(log, 2);
    expect(typesOf(log)).not.toContain("tool.call_requested");
    expect(completedCalls(log)).toMatchObject([{ status: "cancelled" }, { status: "cancelled" }]);
    expect(await it.app.db.sql`select from waits where session_id = ${session}`).toHaveLength(0);
    await engine.stop();
    it.engine = await it.startEngine();
  });

  test("cancel ends the waiting", async () => {
    const { session, turnId, callIds } = await it.waiting(twoCalls, { tools });
    expect((await it.app.post(`/sessions/${session}/cancel`)).body.status).toBe("cancelled");
    expect(await it.run(session)).toMatchObject({ id: turnId, state: "cancelled", waiting_on: null });
    expect(await it.app.db.sql`select status from waits where session_id = ${session}`).toMatchObject([
      { status: "cancelled" },
      { status: "cancelled" },
    ]);
    expect((await it.results(session, [{ tool_call_id: callIds[0], result: 1 }])).status).toBe(409);
    // The next turn finds the calls answered for the model, as every provider wants them (I8).
    await send(it.app.db, session, "hello");
    it.engine.hint();
    const log = await logOnce(it.app.db, session, (events) =>
      events.some((event) => event.type === "turn.completed"),
    );
    expect(typesOf(log)).not.toContain("turn.failed");
  });

  test("deleting the session ends the waiting", async () => {
    const { session, turnId } = await it.waiting(twoCalls, { tools });
    expect((await it.app.call("DELETE", `/sessions/${session}`)).status).toBe(204);
    const { sql } = it.app.db;
    expect(await sql`select state from runs where id = ${turnId}`).toMatchObject([{ state: "cancelled" }]);
    expect(await sql`select status from waits where session_id = ${session}`).toMatchObject([
      { status: "cancelled" },
      { status: "cancelled" },
    ]);
  });

  describe("settled by two at once", () => {
    const racers: [string, (session: string, callIds: string[]) => Promise<unknown>][] = [
      [
        "the time is up",
        async (session) => {
          await it.app.db
            .sql`update waits set expires_at = now() where session_id = ${session} and status = 'pending'`;
        },
      ],
      ["the turn is cancelled", (session) => it.app.post(`/sessions/${session}/cancel`)],
      ["a message comes", (session) => send(it.app.db, session, "Instead.")],
      ["the other result comes", (session, [, b]) => it.results(session, [{ tool_call_id: b, result: "b" }])],
      ["the same result comes", (session, [a]) => it.results(session, [{ tool_call_id: a, result: "a" }])],
    ];
    for (const [name, race] of racers) {
      test(`results come while ${name}: each call has one result, the turn one end (I6, I8)`, async () => {
        for (let n = 0; n < 6; n += 1) {
          const { session, callIds } = await it.waiting(twoCalls, { tools });
          const results = () => it.results(session, [{ tool_call_id: callIds[0], result: "a" }]);
          const other = () => race(session, callIds);
          const started = n % 2 === 0 ? [results(), other()] : [other(), results()];
          await Promise.all(started);
          const answer = (await started[n % 2]) as Answer;
          expect([200, 409]).toContain(answer.status);
          // What is still open is answered, so that the turn can end.
          await it.results(
            session,
            callIds.map((id) => ({ tool_call_id: id, result: "late" })),
          );
          it.engine.hint();
          const log = await ending(session);
          expect(log.map((event) => event.sequence)).toEqual(log.map((_, index) => index + 1));
          const isCancelled = typesOf(log).includes("turn.cancelled");
          if (!isCancelled) expectSound(log, 2);
          const ids = completedCalls(log).map((call) => call.tool_call_id);
          expect(new Set(ids).size).toBe(ids.length);
          const pending = await it.app.db
            .sql`select from waits where session_id = ${session} and status = 'pending'`;
          expect(pending).toHaveLength(0);
        }
      });
    }
  });

  test("malformed arguments are the model's to correct: the client is not asked", async () => {
    const session = await newSession(it.app.db, null, { tools });
    const script = JSON.stringify({
      rate: 0,
      steps: [{ tool_calls: [{ name: "open_page", arguments: '{"url": ' }] }, { text: "Done." }],
    });
    await send(it.app.db, session, `Go.\n\`\`\`llmsim\n${script}\n\`\`\``);
    it.engine.hint();
    const log = await ending(session);
    expect(completedCalls(log)[0]?.error).toContain("not valid JSON");
    expect(typesOf(log)).not.toContain("tool.call_requested");
  });
});

test("a parked run holds no slot: a worker with one slot does another run meanwhile", async () => {
  const database = await testDatabase();
  await seedModel(database.db);
  const engine = await startEngine(database, { concurrency: 1 });
  const script = (steps: object[]) => `Go.\n\`\`\`llmsim\n${JSON.stringify({ rate: 0, steps })}\n\`\`\``;
  const parked = await newSession(database.db, null, { tools: [clientTool("open_page")] });
  await send(database.db, parked, script([{ tool_calls: [{ name: "open_page" }] }, { text: "Done." }]));
  engine.hint();
  await logOnce(database.db, parked, (log) => log.at(-1)?.type === "tool.call_requested");
  const other = await newSession(database.db);
  await send(database.db, other, script([{ text: "Here." }]));
  engine.hint();
  await logOnce(database.db, other, isIdle);
  expect((await readLog(database.db, parked)).at(-1)?.type).toBe("tool.call_requested");
  expect(engine.worker.load()).toBe(0);
  await cancelTurn(database.db, {
    organizationId: ORGANIZATION,
    sessionId: parked,
    reason: "over",
    now: new Date(),
  });
  await engine.stop();
  await database.drop();
});

test("agent's and session's tools are merged by name, and stand in for a server tool of the same name", async () => {
  const database = await testDatabase();
  await seedModel(database.db);
  const driver = createManualDriver();
  const engine = await startEngine(database, { driver: driver.driver });
  const session = await newSession(database.db, null, {
    tools: [clientTool("click", { description: "session" }), clientTool("read_file")],
  });
  const agentId = `agent_${"a".repeat(32)}`;
  await database.db.sql`
    insert into agents (id, organization_id, harness_id, name, system_prompt, tools)
    select ${agentId}, organization_id, harness_id, 'clicker', '',
           ${JSON.stringify([clientTool("click"), clientTool("scroll")])}::text::jsonb
      from sessions where id = ${session}`;
  await database.db.sql`update sessions set agent_id = ${agentId} where id = ${session}`;
  await send(database.db, session, "Go.");
  engine.hint();
  const call = await driver.nextCall();
  const tools = new Map(call.request.tools.map((tool) => [tool.name, tool.description]));
  expect(call.request.tools).toHaveLength(tools.size);
  expect([tools.get("click"), tools.get("scroll"), tools.get("read_file")]).toEqual([
    "session",
    "The client's scroll.",
    "The client's read_file.",
  ]);
  call.say("Done.");
  call.finish();
  await logOnce(database.db, session, isIdle);
  await engine.stop();
  await database.drop();
});
