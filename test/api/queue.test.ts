/** Delivery rules and the queue over REST, with a worker that works it off. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { createWriter } from "../../src/db/writer.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { type BadRequest, expectProblem, long } from "../support/bad-requests.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { isIdle, logOnce, newSession, readLog, turnsEnded } from "../support/sessions.ts";
import { parkDirectly } from "../support/waiting.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
});
afterAll(() => app.close());

const text = (words: string, more: object = {}) => ({
  message: { content: [{ type: "text", text: words }] },
  ...more,
});
const send = async (session: string, words: string, more: object = {}) => {
  const answer = await app.post(`/sessions/${session}/messages`, text(words, more));
  expect(answer.status).toBe(201);
  return answer.body;
};
const queueOf = async (session: string) => (await app.get(`/sessions/${session}/queue`)).body.data;
const startWorker = (options: Parameters<typeof startEngine>[1] = {}): Promise<TestEngine> =>
  startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0], options);

describe("the queue over REST", () => {
  test("is listed, edited and withdrawn, and stays out of the conversation", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    const second = await send(session, "two", {
      delivery: "queue",
      priority: 7,
      metadata: { a: 1 },
      tags: ["t"],
    });
    const third = await send(session, "three", { delivery: "queue" });
    expect(second).toMatchObject({ delivery: "queued", queue_position: 1, sequence: 3 });
    expect(third).toMatchObject({ delivery: "queued", queue_position: 2, sequence: 4 });
    expect(await queueOf(session)).toMatchObject([
      { id: second.id, queue_position: 1, priority: 7, turn_id: second.turn_id, metadata: { a: 1 } },
      { id: third.id, queue_position: 2, priority: 0 },
    ]);
    expect((await app.get(`/sessions/${session}/messages`)).body.total).toBe(1);
    expect((await app.get(`/runs/${second.turn_id}`)).status).toBe(404);

    const edited = await app.call("PATCH", `/sessions/${session}/queue/${second.id}`, {
      content: [{ type: "text", text: "zwei" }],
    });
    expect(edited).toMatchObject({ status: 200, body: { id: second.id, content: [{ text: "zwei" }] } });
    expect((await app.call("DELETE", `/sessions/${session}/queue/${third.id}`)).status).toBe(204);
    expect(await queueOf(session)).toMatchObject([{ id: second.id, content: [{ text: "zwei" }] }]);

    await app.post(`/sessions/${session}/cancel`);
    expect(await queueOf(session)).toEqual([]);
    expect(app.published.at(-1)).toMatchObject({ sessions: [session], isQueued: true });
    const [, run] = (await app.get(`/sessions/${session}/runs`)).body.data;
    expect((await app.get(`/runs/${second.turn_id}`)).body).toMatchObject({
      status: "queued",
      priority: 7,
      input_message_id: second.id,
    });
    expect(run.status).toBe("cancelled");
    const { data } = (await app.get(`/sessions/${session}/messages`)).body;
    expect(data.at(-1)).toMatchObject({ id: second.id, content: [{ text: "zwei" }], metadata: { a: 1 } });
    for (const method of ["PATCH", "DELETE"]) {
      const body = method === "PATCH" ? { content: [{ type: "text", text: "x" }] } : undefined;
      const late = await app.call(method, `/sessions/${session}/queue/${second.id}`, body);
      expectProblem(late, "message_promoted", /has begun/);
    }
  });

  test("a repeated POST answers with the first result, also when the message was edited since", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    const first = await send(session, "two", { delivery: "queue", client_message_id: "k" });
    await app.call("PATCH", `/sessions/${session}/queue/${first.id}`, {
      content: [{ type: "text", text: "zwei" }],
    });
    const { queue_position, ...same } = first;
    expect(queue_position).toBe(1);
    expect(await send(session, "x", { client_message_id: "k" })).toEqual({ ...same, delivery: "duplicate" });
  });

  test("a full queue answers 409 and writes nothing", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    await app.db.sql`update sessions set queue_length = ${limits.queuedMessagesMax} where id = ${session}`;
    const answer = await app.post(`/sessions/${session}/messages`, text("more", { delivery: "queue" }));
    expectProblem(answer, "queue_full", /withdraw one/);
    expect(await readLog(app.db, session)).toHaveLength(2);
  });

  test("the agent's and the session's default_delivery count, and can be read back", async () => {
    const agent = (
      await app.post("/agents", { name: "queues", system_prompt: "x", default_delivery: "queue" })
    ).body;
    expect((await app.get(`/agents/${agent.id}`)).body.default_delivery).toBe("queue");
    const plain = (await app.post("/sessions", { agent_id: agent.id })).body;
    expect(plain.default_delivery).toBeUndefined();
    const own = (await app.post("/sessions", { agent_id: agent.id, default_delivery: "reject" })).body;
    expect(own.default_delivery).toBe("reject");
    for (const session of [plain.id, own.id]) await send(session, "one");
    expect((await send(plain.id, "two")).delivery).toBe("queued");
    expectProblem(
      await app.post(`/sessions/${own.id}/messages`, text("two")),
      "session_busy",
      /nothing was written/,
    );
    expect((await send(own.id, "two", { delivery: "steer" })).delivery).toBe("steered");
    await app.call("PATCH", `/agents/${agent.id}`, { default_delivery: null });
    expect((await send(plain.id, "three")).delivery).toBe("steered");
  });

  test("its events are shown to who asks for them by name, and to nobody else", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    const second = await send(session, "two", { delivery: "queue" });
    await app.call("DELETE", `/sessions/${session}/queue/${second.id}`);
    const types = async (query: string) =>
      (await app.get(`/sessions/${session}/events${query}`)).body.data.map(
        (event: { type: string }) => event.type,
      );
    expect(await types("")).toEqual(["input.message", "session.activated"]);
    expect(await types("?exclude=input.message")).toEqual(["session.activated"]);
    expect(await types("?types=input.queued&types=input.withdrawn")).toEqual([
      "input.queued",
      "input.withdrawn",
    ]);

    const stream = async (query: string, until: string) => {
      const request = new Request(`http://localhost/v1/sessions/${session}/sse${query}`);
      const reader = (await app.app.handle(request)).body?.getReader();
      let seen = "";
      while (!seen.includes(until)) {
        const chunk = await reader?.read();
        if (chunk?.done !== false) break;
        seen += new TextDecoder().decode(chunk.value);
      }
      await reader?.cancel();
      return [...seen.matchAll(/^event: (input\S+|session\S+)/gm)].map((match) => match[1]);
    };
    await app.post(`/sessions/${session}/cancel`);
    expect(await stream("", "session.idled")).toEqual([
      "input.message",
      "session.activated",
      "input.message",
      "session.idled",
    ]);
    expect(await stream("?types=input.queued,session.idled", "session.idled")).toEqual([
      "input.queued",
      "session.idled",
    ]);
    const [queued] = (await app.get(`/sessions/${session}/events?types=input.queued`)).body.data;
    expect(await stream(`?since_id=${queued.id}`, "session.idled")).toEqual([
      "input.message",
      "session.idled",
    ]);
  });

  const cases: BadRequest[] = [
    [
      "an unknown delivery",
      "POST",
      "/messages",
      text("x", { delivery: "later" }),
      "invalid_request",
      /delivery/,
    ],
    [
      "a priority that is no whole number",
      "POST",
      "/messages",
      text("x", { priority: 0.5 }),
      "invalid_request",
      /priority/,
    ],
    [
      "a priority that is too high",
      "POST",
      "/messages",
      text("x", { priority: 101 }),
      "invalid_request",
      /priority/,
    ],
    [
      "a priority that is too low",
      "POST",
      "/messages",
      text("x", { priority: -101 }),
      "invalid_request",
      /priority/,
    ],
    ["an id of another kind", "DELETE", `/queue/${newId("turn")}`, undefined, "invalid_id", /message_/],
    ["a message that is not queued", "DELETE", `/queue/${newId("message")}`, undefined, "not_found", /queue/],
    [
      "an edit of nothing",
      "PATCH",
      `/queue/${newId("message")}`,
      { content: [{ type: "text", text: "x" }] },
      "not_found",
      /queue/,
    ],
    ["an edit without content", "PATCH", `/queue/${newId("message")}`, {}, "invalid_request", /content/],
    [
      "an edit to blank text",
      "PATCH",
      `/queue/${newId("message")}`,
      { content: [{ type: "text", text: " " }] },
      "invalid_request",
      /^content: the message is empty/,
    ],
    [
      "an edit to too much text",
      "PATCH",
      `/queue/${newId("message")}`,
      { content: [{ type: "text", text: long(limits.messageTextBytesMax + 1) }] },
      "limit_exceeded",
      /^content/,
    ],
  ];
  for (const [name, method, path, body, code, detail] of cases) {
    test(`refuses ${name}`, async () => {
      const session = await newSession(app.db);
      expectProblem(await app.call(method, `/sessions/${session}${path}`, body), code, detail);
      expect(await readLog(app.db, session)).toEqual([]);
    });
  }
});

describe("a worker", () => {
  test("works a queue off in order, a turn each", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    for (const words of ["two", "three", "four"]) await send(session, words, { delivery: "queue" });
    const worker = await startWorker();
    const events = await logOnce(app.db, session, (log) => isIdle(log) && turnsEnded(log) === 4);
    await worker.stop();
    const turns = events.flatMap((event) =>
      event.type === "turn.started" ? [event.data.input_content] : [],
    );
    expect(turns).toEqual(["one", "two", "three", "four"]);
    expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
  });

  test("finds what a process left behind that died between the end of a turn and the next", async () => {
    const session = await newSession(app.db);
    await send(session, "one");
    await send(session, "two", { delivery: "queue" });
    const run = (await claimRuns(app.db, { workerId: "dead", slots: 100, leaseMs: 60_000 })).find(
      (one) => one.session_id === session,
    );
    if (!run) throw new Error("the run was not claimed");
    const lease = { runId: run.id, sessionId: session, epoch: run.lease_epoch };
    const written = await createWriter({ db: app.db, onWritten: () => {} }).write(lease, {
      events: [],
      ending: {
        state: "failed",
        events: [
          { type: "turn.failed", data: { turn_id: run.id, error: "x" } },
          { type: "session.idled", data: { turn_id: run.id } },
        ],
        errorCode: null,
        error: null,
        finalMessageId: null,
        outputPreview: null,
        seenInputSequence: null,
      },
    });
    expect(written).toMatchObject({ isEnded: true, queueLength: 1 });
    const worker = await startWorker();
    const events = await logOnce(app.db, session, (log) => isIdle(log) && turnsEnded(log) === 2);
    await worker.stop();
    expect(events.at(-2)).toMatchObject({ type: "turn.completed" });
  });

  test("stops at once when its turn is interrupted, and takes up the new one", async () => {
    const model = createManualDriver();
    const worker = await startWorker({ driver: model.driver });
    const session = await newSession(app.db);
    await send(session, "one");
    const call = await model.nextCall();
    const stopped = Promise.withResolvers<void>();
    call.signal.addEventListener("abort", () => stopped.resolve(), { once: true });
    const second = await send(session, "two", { delivery: "interrupt" });
    await stopped.promise;
    const next = await model.nextCall();
    expect(JSON.stringify(next.request.messages.at(-1))).toContain("two");
    next.say("Done.");
    next.finish();
    const events = await logOnce(app.db, session, isIdle);
    await worker.stop();
    expect(second).toMatchObject({ delivery: "started" });
    expect(events.filter((event) => event.type === "turn.cancelled")).toHaveLength(1);
    expect(events.filter((event) => event.type === "session.idled")).toHaveLength(1);
  });

  test("a message that joins a turn which waits for a budget leaves it waiting, and its session shown as paused", async () => {
    const session = await newSession(app.db);
    await parkDirectly(app.db, session, [{ kind: "budget", toolCallId: "" }], null);
    const isPaused = async () => (await app.get(`/sessions/${session}`)).body.paused;
    expect(await isPaused()).toBe(true);
    expect(await send(session, "two")).toMatchObject({ delivery: "steered" });
    expect(await isPaused()).toBe(true);
  });

  test("a parked turn is interrupted like a running one; what it waited for is over", async () => {
    const session = await newSession(app.db);
    const parked = await parkDirectly(app.db, session, [{ kind: "client_tool", toolCallId: "call_1" }]);
    expect(await send(session, "two", { delivery: "queue" })).toMatchObject({ delivery: "queued" });
    expect((await app.get(`/sessions/${session}`)).body.status).toBe("waitingfortoolresults");
    expect(await send(session, "now", { delivery: "interrupt" })).toMatchObject({ delivery: "started" });
    expect((await app.get(`/runs/${parked}`)).body.status).toBe("cancelled");
    const [wait] = await app.db.sql`select status from waits where run_id = ${parked}`;
    expect(wait?.status).toBe("cancelled");
    expect((await app.get(`/sessions/${session}`)).body.status).toBe("active");
  });
});
