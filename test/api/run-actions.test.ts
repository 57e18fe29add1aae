/** Cancel, retry and settle: what operators do with runs, with a worker that takes them up. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { z } from "zod";
import { newId } from "../../src/base/id.ts";
import { defineTool } from "../../src/capabilities/tool.ts";
import type { StepWrite } from "../../src/db/writer.ts";
import { UNKNOWN_OUTCOME } from "../../src/engine/act.ts";
import type { ModelMessage } from "../../src/llm/driver.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { expectProblem, long } from "../support/bad-requests.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver, type ManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send, turnsEnded } from "../support/sessions.ts";

let app: TestApp;
let worker: TestEngine;
let model: ManualDriver;
let ran: { tool: string; key: string }[] = [];

const tool = (name: string, effect: "pure" | "idempotent" | "at_most_once") =>
  defineTool({
    name,
    displayName: name,
    description: name,
    effect,
    input: z.object({}),
    run: async (_input, context) => {
      ran.push({ tool: name, key: context.idempotencyKey });
      return `${name} ran`;
    },
  });
const tools = [tool("look", "pure"), tool("put", "idempotent"), tool("charge", "at_most_once")];

beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
});
afterAll(async () => {
  await worker.stop();
  await app.close();
});
beforeEach(() => {
  ran = [];
});

const call = (id: string, name: string) => ({ id, name, arguments_json: "{}" });
const started = async (session: string, words: string) => {
  const accepted = await send(app.db, session, words);
  return (accepted as { turnId: string }).turnId;
};
const settle = (turnId: string, step: string, body: unknown) =>
  app.post(`/runs/${turnId}/steps/${encodeURIComponent(step)}/settle`, body);
const said = (messages: readonly ModelMessage[]) =>
  messages.map((message) => {
    if (message.role === "tool") return `tool ${message.toolCallId}: ${message.content}`;
    if (message.role === "assistant")
      return `assistant: ${message.text}${message.toolCalls.map((one) => ` -> ${one.id}`).join("")}`;
    return `user: ${message.content.map((part) => (part.type === "text" ? part.text : part.type)).join("")}`;
  });

/** A run that failed in the middle of its calls, as a worker leaves it: one answer, and these steps of its calls. */
async function failedRun(
  calls: { id: string; name: string; status: StepWrite["status"] | null }[],
): Promise<{ session: string; turnId: string }> {
  const session = await newSession(app.db);
  const turnId = newId("turn");
  const messageId = newId("message");
  const [inputId, now] = [newId("message"), new Date().toISOString()];
  const { sql } = app.db;
  const event = async (sequence: number, type: string, data: object) =>
    sql`insert into events (session_id, sequence, id, type, context, data)
        values (${session}, ${sequence}, ${newId("event")}, ${type},
                ${JSON.stringify({ turn_id: turnId })}::text::jsonb, ${JSON.stringify(data)}::text::jsonb)`;
  const text = (words: string) => ({ type: "text", text: words });
  await event(1, "input.message", {
    message: { id: inputId, role: "user", content: [text("Go.")], created_at: now },
  });
  await event(2, "reason.started", {});
  await event(3, "output.message.completed", {
    metadata: { model: "llmsim" },
    message: {
      id: messageId,
      role: "agent",
      created_at: now,
      content: [
        text("Let me."),
        ...calls.map(({ id, name }) => ({ type: "tool_call", id, name, arguments: {} })),
      ],
    },
  });
  let sequence = 3;
  for (const { id, name, status } of calls) {
    if (status === null || status === "pending") continue;
    sequence += 1;
    const isUnknown = status === "unknown";
    await event(sequence, "tool.completed", {
      tool_call_id: id,
      tool_name: name,
      success: !isUnknown,
      status: isUnknown ? "error" : "success",
      ...(isUnknown ? { error: UNKNOWN_OUTCOME } : { result: [text(`${name} has run`)] }),
    });
  }
  await event(sequence + 1, "output.message.completed", {
    error_code: "processing_error",
    message: { id: newId("message"), role: "agent", content: [text("Something broke.")], created_at: now },
  });
  await sql`update sessions set last_sequence = ${sequence + 1}, last_input_sequence = 1, status = 'idle' where id = ${session}`;
  await sql`insert into runs (id, organization_id, session_id, input_message_id, input_sequence, state, finished_at,
                              attempt, iterations, lease_epoch)
            values (${turnId}, ${ORGANIZATION}, ${session}, ${inputId}, 1, 'failed', now(), 1, 1, 1)`;
  const answer = {
    iteration: 1,
    message_id: messageId,
    seen_input_sequence: 1,
    tool_calls: calls.map(({ id, name }) => call(id, name)),
  };
  await sql`insert into steps (run_id, name, kind, status, attempt, result, started_at, finished_at)
            values (${turnId}, 'reason:1', 'reason', 'settled', 1, ${JSON.stringify(answer)}::text::jsonb, now(), now())`;
  for (const { id, name, status } of calls) {
    if (status === null) continue;
    await sql`insert into steps (run_id, name, kind, tool_name, effect, status, attempt, result, started_at, finished_at)
              values (${turnId}, ${`tool:${id}`}, 'tool', ${name}, 'at_most_once', ${status}, 1,
                      ${JSON.stringify({ ok: status === "settled" })}::text::jsonb, now(), now())`;
  }
  return { session, turnId };
}

describe("cancel", () => {
  test("ends a run as the session's cancel does; one that has ended answers 409", async () => {
    const session = await newSession(app.db);
    const turnId = await started(session, "one");
    const answer = await app.post(`/runs/${turnId}/cancel`);
    expect(answer).toMatchObject({ status: 200, body: { status: "cancelled" } });
    expect(app.published.at(-1)).toMatchObject({ cancelled: [turnId] });
    expect((await readLog(app.db, session)).slice(-4).map((event) => event.type)).toEqual([
      "turn.cancelled",
      "input.message",
      "output.message.completed",
      "session.idled",
    ]);
    expectProblem(await app.post(`/runs/${turnId}/cancel`), "conflict", /ended already: cancelled/);
    const next = await started(session, "two");
    expectProblem(await app.post(`/runs/${turnId}/cancel`), "conflict", /ended already/);
    expect((await app.get(`/runs/${next}`)).body.status).not.toBe("cancelled");
    await app.post(`/runs/${next}/cancel`);
  });

  test("begins the next queued turn", async () => {
    const session = await newSession(app.db);
    const turnId = await started(session, "one");
    const queued = await send(app.db, session, "two", { delivery: "queue" });
    await app.post(`/runs/${turnId}/cancel`);
    const [row] = await app.db.sql`select active_run_id from sessions where id = ${session}`;
    expect(row?.active_run_id).toBe((queued as { turnId: string }).turnId);
    await app.post(`/sessions/${session}/cancel`);
  });
});

describe("retry", () => {
  // Not before: what is cancelled above must not have called the model.
  beforeAll(async () => {
    model = createManualDriver();
    worker = await startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0], {
      driver: model.driver,
      tools,
    });
  });

  test("goes on from the last checkpoint: nothing settled runs again, and the model sees no trace of the failure (I4)", async () => {
    const session = await newSession(app.db);
    const turnId = await started(session, "Go.");
    worker.hint();
    const first = await model.nextCall();
    first.say("Let me.");
    first.callTool("look", {});
    first.finish();
    const second = await model.nextCall();
    second.fail({ retryable: false, code: "provider_quota_exhausted" });
    await logOnce(app.db, session, isIdle);
    expectProblem(await app.post(`/runs/${newId("turn")}/retry`), "not_found", /Run/);

    const retried = await app.post(`/runs/${turnId}/retry`);
    // The worker may have it by the time that the answer is written.
    expect(retried).toMatchObject({
      status: 201,
      body: { session_id: session, retried_run_id: turnId, input_message_id: expect.any(String) },
    });
    const third = await model.nextCall();
    expect(third.request.messages).toEqual(second.request.messages);
    expectProblem(await app.post(`/runs/${turnId}/retry`), "session_busy", new RegExp(retried.body.id));
    third.say("Done.");
    third.finish();
    const events = await logOnce(app.db, session, (log) => isIdle(log) && turnsEnded(log) === 2);
    expect(ran).toHaveLength(1);
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
    expect(events.filter((event) => event.type === "input.message")).toHaveLength(1);
    const own = events
      .filter((event) => event.context.turn_id === retried.body.id)
      .map((event) => event.type);
    expect([own[0], own[1], own.at(-2)]).toEqual(["session.activated", "turn.started", "turn.completed"]);
    const { steps } = (await app.get(`/runs/${retried.body.id}`)).body;
    expect(steps).toHaveLength(3);
    // The key is the one that the tool was given, in the run that failed.
    expect(steps.map((step: { idempotency_key?: string }) => step.idempotency_key)).toEqual([
      undefined,
      ran[0]?.key,
      undefined,
    ]);
    expect(ran[0]?.key).toStartWith(`${turnId}:`);
    expectProblem(await app.post(`/runs/${turnId}/retry`), "conflict", /has gone on with/);
    expectProblem(await app.post(`/runs/${retried.body.id}/retry`), "conflict", /this one is completed/);
  });

  test("I11: an open call keeps its first key, one that may have run is not run, one that is settled stays", async () => {
    const { session, turnId } = await failedRun([
      { id: "call_a", name: "look", status: "settled" },
      { id: "call_b", name: "put", status: null },
      { id: "call_c", name: "charge", status: "pending" },
    ]);
    const retried = await app.post(`/runs/${turnId}/retry`);
    expect(retried.status).toBe(201);
    const next = await model.nextCall();
    expect(ran).toEqual([{ tool: "put", key: `${turnId}:call_b` }]);
    expect(said(next.request.messages)).toEqual([
      "user: Go.",
      "assistant: Let me. -> call_a -> call_b -> call_c",
      "tool call_a: look has run",
      "tool call_b: put ran",
      `tool call_c: ${UNKNOWN_OUTCOME}`,
    ]);
    next.fail({ retryable: false, code: "provider_quota_exhausted" });
    await logOnce(app.db, session, (log) => isIdle(log));

    // A retry of the retry: the origin of its calls is still the first run.
    expect((await app.post(`/runs/${retried.body.id}/retry`)).status).toBe(201);
    const last = await model.nextCall();
    expect(said(last.request.messages)).toEqual(said(next.request.messages));
    expect(ran).toHaveLength(1);
    last.say("Done.");
    last.finish();
    await logOnce(app.db, session, (log) => isIdle(log) && turnsEnded(log) === 2);
  });

  test("I3: ten at once start one run", async () => {
    const { session, turnId } = await failedRun([{ id: "call_a", name: "look", status: "settled" }]);
    const answers = await Promise.all(Array.from({ length: 10 }, () => app.post(`/runs/${turnId}/retry`)));
    expect(answers.map((answer) => answer.status).sort()).toEqual([201, ...Array(9).fill(409)]);
    const next = await model.nextCall();
    next.say("Done.");
    next.finish();
    await logOnce(app.db, session, isIdle);
  });

  test("is refused once the conversation has gone on", async () => {
    const { session, turnId } = await failedRun([{ id: "call_a", name: "look", status: "settled" }]);
    const later = await started(session, "Never mind.");
    worker.hint();
    const next = await model.nextCall();
    next.say("Fine.");
    next.finish();
    await logOnce(app.db, session, (log) => isIdle(log) && turnsEnded(log) === 1);
    expectProblem(await app.post(`/runs/${turnId}/retry`), "conflict", new RegExp(later));
  });
});

describe("settling a call whose outcome is unknown", () => {
  const unknown = () => failedRun([{ id: "call/1", name: "charge", status: "unknown" }]);
  const nextMessages = async (session: string) => {
    await started(session, "And now?");
    worker.hint();
    const next = await model.nextCall();
    next.say("Done.");
    next.finish();
    await logOnce(app.db, session, isIdle);
    return said(next.request.messages);
  };

  for (const [body, note] of [
    [{ outcome: "done", result: { receipt: 7 } }, 'was carried out. Its result: {"receipt":7}'],
    [{ outcome: "abort", error: "The card was refused." }, "is given up: The card was refused."],
  ] as const) {
    test(`as ${body.outcome} is told to the model with its next call, and starts nothing`, async () => {
      const { session, turnId } = await unknown();
      const answer = await settle(turnId, "tool:call/1", body);
      expect(answer.status).toBe(200);
      expect(answer.body.steps[1]).toMatchObject({
        name: "tool:call/1",
        status: "settled",
        settlement: { outcome: body.outcome, settled_by: expect.stringMatching(/^principal_/) },
      });
      expect((await app.get(`/sessions/${session}`)).body.status).toBe("idle");
      expect((await nextMessages(session)).slice(-3)).toEqual([
        `tool call/1: ${UNKNOWN_OUTCOME}`,
        `user: Note from the operator: the call charge (call/1), whose outcome was not known, ${note}`,
        "user: And now?",
      ]);
      expectProblem(await settle(turnId, "tool:call/1", body), "conflict", /it is settled/);
      expect(ran).toEqual([]);
    });
  }

  test("as done is read by a turn that is under way, at its next model call", async () => {
    const { session, turnId } = await unknown();
    await started(session, "And now?");
    worker.hint();
    const first = await model.nextCall();
    expectProblem(
      await settle(turnId, "tool:call/1", { outcome: "retry" }),
      "session_busy",
      /cancel it, or wait/,
    );
    expect((await settle(turnId, "tool:call/1", { outcome: "done" })).status).toBe(200);
    first.say("One moment.");
    first.finish();
    const second = await model.nextCall();
    expect(said(second.request.messages).at(-1)).toMatch(/was carried out\.$/);
    second.say("Done.");
    second.finish();
    await logOnce(app.db, session, isIdle);
  });

  test("as retry runs this one call again, under its first key, and the model reads the result in its place", async () => {
    const { session, turnId } = await unknown();
    const answer = await settle(turnId, "tool:call/1", { outcome: "retry" });
    expect(answer).toMatchObject({ status: 200, body: { retried_run_id: turnId } });
    const next = await model.nextCall();
    expect(ran).toEqual([{ tool: "charge", key: `${turnId}:call/1` }]);
    expect(said(next.request.messages)).toEqual([
      "user: Go.",
      "assistant: Let me. -> call/1",
      "tool call/1: charge ran",
      "user: Note from the operator: the call charge (call/1), whose outcome was not known, is run again. " +
        "Its new result stands with the call.",
    ]);
    next.say("Done.");
    next.finish();
    const events = await logOnce(app.db, session, isIdle);
    expect(events.at(-2)).toMatchObject({ type: "turn.completed", data: { turn_id: answer.body.id } });
    expect((await app.get(`/runs/${turnId}`)).body.steps[1].settlement.outcome).toBe("retry");
  });

  test("says what is wrong with the request", async () => {
    const { session, turnId } = await unknown();
    const before = await readLog(app.db, session);
    const wrong = async (step: string, body: unknown, code: never, detail: RegExp) =>
      expectProblem(await settle(turnId, step, body), code, detail);
    for (const [step, body, code, detail] of [
      ["tool:call/1", {}, "invalid_request", /outcome/],
      ["tool:call/1", { outcome: "maybe" }, "invalid_request", /outcome/],
      ["tool:call/1", { outcome: "abort", result: 1 }, "invalid_request", /^result/],
      ["tool:call/1", { outcome: "done", error: "x" }, "invalid_request", /^error/],
      ["tool:call/1", { outcome: "done", result: long(70_000) }, "limit_exceeded", /65536 bytes/],
      ["tool:call_2", { outcome: "done" }, "not_found", /no such tool step/],
      ["reason:1", { outcome: "done" }, "not_found", /no such tool step/],
      ["\u0000", { outcome: "done" }, "not_found", /no such tool step/],
    ] as const) {
      await wrong(step, body, code as never, detail);
    }
    expectProblem(await settle(newId("turn"), "tool:x", { outcome: "done" }), "not_found", /Run/);
    expect(await readLog(app.db, session)).toEqual(before);
  });
});

test("runs are listed by more than one status", async () => {
  const { body } = await app.get("/runs?status=failed&status=sealed&limit=100");
  expect(body.total).toBeGreaterThan(0);
  expect(new Set(body.data.map((run: { status: string }) => run.status))).toEqual(new Set(["failed"]));
  expectProblem(await app.get("/runs?status=failed&status=lost"), "invalid_request", /status/);
});
