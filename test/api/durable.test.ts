/** What operators see of the engine, in the contract's words, and what they do to it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createFiguresHistory } from "../../src/api/operations/figures-history.ts";
import { createSnapshots } from "../../src/api/operations/snapshots.ts";
import { manualClock } from "../../src/base/clock.ts";
import { newId, uuidOf } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { createSseDecoder, type SseFrame } from "../../src/base/sse.ts";
import { limits } from "../../src/contract/limits.ts";
import { OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { newSession, ORGANIZATION, send } from "../support/sessions.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
  await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
});
afterAll(() => app.close());

const turn = async (session: string, text = "Hello."): Promise<string> =>
  ((await send(app.db, session, text)) as { turnId: string }).turnId;

/** Ends a session's turn as the engine would, as far as lists are concerned. */
const endTurn = async (session: string, turnId: string, state: string, error: string | null = null) => {
  await app.db.sql`
    update runs set state = ${state}, waiting_on = null, finished_at = now(), error = ${error}, attempt = 2
     where id = ${turnId}`;
  await app.db.sql`update sessions set status = 'idle', active_run_id = null where id = ${session}`;
};

describe("workflows", () => {
  const cases: [state: string, workflow: string, task: string | null][] = [
    ["queued", "pending", "pending"],
    ["running", "running", "claimed"],
    ["waiting", "running", null],
    ["completed", "completed", "completed"],
    ["failed", "failed", "failed"],
    ["sealed", "failed", "dead"],
    ["cancelled", "cancelled", "cancelled"],
  ];
  for (const [state, workflow, task] of cases) {
    test(`a ${state} run is a ${workflow} workflow, and ${task === null ? "no task" : `a ${task} task`}`, async () => {
      const session = await newSession(app.db);
      const id = await turn(session);
      if (state === "running") {
        await app.db
          .sql`update runs set state = 'running', lease_owner = 'worker-x', attempt = 1, started_at = now(),
                                         lease_expires_at = now() + interval '1 hour' where id = ${id}`;
      } else if (state === "waiting") {
        await app.db.sql`update runs set state = 'waiting', waiting_on = 'timer' where id = ${id}`;
      } else if (state !== "queued") await endTurn(session, id, state, "broke");
      const uuid = uuidOf(id);
      expect((await app.get(`/durable/workflows/${uuid}`)).body).toMatchObject({
        id: uuid,
        workflow_type: "turn",
        status: workflow,
        input: { session_id: session, turn_id: id },
      });
      const listed = (await app.get(`/durable/workflows?status=${workflow}`)).body.data;
      expect(listed.map((one: { id: string }) => one.id)).toContain(uuid);
      const tasks = (await app.get(`/durable/tasks?workflow_id=${uuid}`)).body;
      expect(tasks).toMatchObject(
        task === null ? { data: [], total: 0 } : { data: [{ id: uuid, status: task }], total: 1 },
      );
      if (task !== null) {
        const all = (await app.get(`/durable/tasks?status=${task}&limit=100`)).body.data;
        expect(all.map((one: { id: string }) => one.id)).toContain(uuid);
      }
      await app.db.sql`delete from runs where id = ${id}`;
    });
  }

  test("its events are those of its turn alone, and what came before it is not read", async () => {
    const session = await newSession(app.db);
    const first = await turn(session);
    await endTurn(session, first, "completed");
    const second = await turn(session, "And now?");
    const { body } = await app.get(`/durable/workflows/${uuidOf(second)}/events`);
    expect(body.total).toBe(2);
    expect(body.data).toMatchObject([
      { event_type: "input.message", sequence_num: 3, workflow_id: uuidOf(second) },
      { event_type: "session.activated", sequence_num: 4, event_data: { turn_id: second } },
    ]);
  });

  test("cancel ends it once; a signal reaches it while it goes on", async () => {
    const session = await newSession(app.db);
    const uuid = uuidOf(await turn(session));
    const signal = (body: object) => app.post(`/durable/workflows/${uuid}/signal`, body);
    expect(await signal({ signal_type: "message", payload: "Faster." })).toMatchObject({
      status: 200,
      body: {},
    });
    const { body } = await app.get(`/durable/workflows/${uuid}/events`);
    expect(JSON.stringify(body.data)).toContain("Faster.");
    for (const bad of [
      { signal_type: "wake" },
      { signal_type: "message" },
      { signal_type: "message", payload: { text: " " } },
      { signal_type: "message", payload: [1] },
    ]) {
      expect((await signal(bad)).body).toMatchObject({ status: 400, code: "invalid_request" });
    }
    expect(await signal({ signal_type: "cancel" })).toMatchObject({ status: 200, body: {} });
    expect((await app.get(`/durable/workflows/${uuid}`)).body.status).toBe("cancelled");
    expect((await app.post(`/durable/workflows/${uuid}/cancel`)).status).toBe(200);
    expect((await signal({ signal_type: "message", payload: "Late." })).status).toBe(409);
    expect((await signal({ signal_type: "cancel" })).status).toBe(200);
  });

  test("a malformed id is 400; one of nobody or of another organization is 404", async () => {
    const foreign = newId("turn");
    const [harness] = await app.db.sql`
      insert into harnesses (id, organization_id, name) values (${newId("harness")}, ${OTHER_ORGANIZATION}, 'x') returning id`;
    const session = newId("session");
    await app.db.sql`
      insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id)
      values (${session}, ${OTHER_ORGANIZATION}, ${harness?.id}, 'wsp_0', 'principal_0')`;
    await app.db.sql`
      insert into runs (id, organization_id, session_id, input_message_id, input_sequence, state, finished_at)
      values (${foreign}, ${OTHER_ORGANIZATION}, ${session}, 'message_0', 1, 'failed', now())`;
    for (const [method, path] of [
      ["GET", "/durable/workflows/{}"],
      ["GET", "/durable/workflows/{}/events"],
      ["GET", "/durable/workflows/{}/sse"],
      ["POST", "/durable/workflows/{}/cancel"],
      ["POST", "/durable/workflows/{}/signal"],
      ["POST", "/durable/dlq/{}/retry"],
    ] as const) {
      const body = path.endsWith("signal") ? { signal_type: "cancel" } : undefined;
      const status = async (id: string) => (await app.call(method, path.replace("{}", id), body)).status;
      expect([
        path,
        await status("turn_1"),
        await status(uuidOf(newId("turn"))),
        await status(uuidOf(foreign)),
      ]).toEqual([path, 400, 404, 404]);
    }
    const lists = await Promise.all(
      ["workflows", "tasks", "dlq"].map((list) => app.get(`/durable/${list}?limit=100`)),
    );
    expect(JSON.stringify(lists.map((list) => list.body))).not.toContain(uuidOf(foreign));
  });
});

describe("tasks", () => {
  test("a turn is enqueued behind what the session works on", async () => {
    const session = await newSession(app.db);
    await turn(session);
    const answer = await app.post("/durable/tasks", {
      activity_type: "turn",
      input: { session_id: session, message: "Then this." },
    });
    expect(answer.status).toBe(201);
    const queue = (await app.get(`/sessions/${session}/queue`)).body.data;
    expect(queue.map((one: { turn_id: string }) => uuidOf(one.turn_id))).toEqual([answer.body.task_id]);
  });

  for (const [name, body, status] of [
    ["another activity", { activity_type: "reason", input: {} }, 400],
    ["an input that is no object", { activity_type: "turn", input: "x" }, 400],
    ["no session", { activity_type: "turn", input: { message: "Hi" } }, 400],
    ["no message", { activity_type: "turn", input: { session_id: newId("session") } }, 400],
    [
      "a session of nobody",
      { activity_type: "turn", input: { session_id: newId("session"), message: "Hi" } },
      404,
    ],
  ] as const) {
    test(`${name} is refused`, async () => {
      expect((await app.post("/durable/tasks", body)).status).toBe(status);
    });
  }
});

describe("the dead letter queue", () => {
  test("has what can be retried, with the errors of the tries before it; a retry takes it out", async () => {
    const session = await newSession(app.db);
    const first = await turn(session);
    await endTurn(session, first, "failed", "first error");
    const retried = await app.post(`/durable/dlq/${uuidOf(first)}/retry`);
    expect(retried).toMatchObject({ status: 200 });
    expect(retried.headers.get("content-type")).toStartWith("text/plain");
    expect(retried.body).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    const second = `turn_${retried.body.replaceAll("-", "")}`;
    const entry = async (id: string) => (await app.get(`/durable/dlq?workflow_id=${uuidOf(id)}`)).body;
    expect(await entry(first)).toMatchObject({ data: [], total: 0 });
    expect((await app.post(`/durable/dlq/${uuidOf(first)}/retry`)).status).toBe(409);
    await endTurn(session, second, "sealed", "second error");
    expect(await entry(second)).toMatchObject({
      total: 1,
      data: [
        { id: retried.body, last_error: "second error", error_history: ["first error", "second error"] },
      ],
    });
    expect(await entry(first)).toMatchObject({ data: [], total: 0 });
    // The conversation goes on: what is retried would not be its end any more.
    const third = await turn(session);
    await endTurn(session, third, "completed");
    expect(await entry(second)).toMatchObject({ data: [], total: 0 });
    expect((await app.post(`/durable/dlq/${uuidOf(second)}/retry`)).status).toBe(409);
  });

  test("is paged", async () => {
    for (let n = 0; n < 3; n += 1) {
      const session = await newSession(app.db);
      await endTurn(session, await turn(session), "failed", `error ${n}`);
    }
    const { body } = await app.get("/durable/dlq?limit=1&offset=1");
    expect([body.data.length, body.data[0].last_error]).toEqual([1, "error 1"]);
    expect(body.total).toBeGreaterThanOrEqual(3);
    expect((await app.get("/durable/dlq?offset=1000")).body).toMatchObject({
      data: [],
      total: body.total,
      offset: 1000,
      limit: 20,
    });
  });
});

describe("health", () => {
  const worker = async (fields: object) => {
    const id = `worker-${crypto.randomUUID()}`;
    const row = { id, hostname: "here", pid: 1, version: "0", concurrency: 4, lock_key: 1, ...fields };
    await app.db.sql`insert into workers ${app.db.sql(row)}`;
    return id;
  };

  test("counts what stands in the database", async () => {
    const { sql } = app.db;
    await sql`delete from workers`;
    await sql`update runs set state = 'cancelled', waiting_on = null, finished_at = now() where finished_at is null`;
    expect((await app.get("/durable/health")).body).toMatchObject({ status: "unhealthy", pending_tasks: 0 });
    await worker({ load: 1, runs_started: 9, runs_completed: 5, runs_failed: 2 });
    const full = await worker({ load: 4, runs_completed: 1 });
    await worker({ status: "stopped", runs_completed: 10 });
    await worker({ heartbeat_at: new Date(Date.now() - 3_600_000) });
    await turn(await newSession(app.db));
    const { body } = await app.get("/durable/health");
    expect(body).toMatchObject({
      status: "healthy",
      total_workers: 2,
      active_workers: 2,
      workers_accepting: 1,
      total_capacity: 8,
      current_load: 5,
      load_percentage: 62.5,
      pending_tasks: 1,
      pending_workflows: 1,
      claimed_tasks: 0,
      started_workflows: 9,
      completed_workflows: 16,
      failed_workflows: 2,
    });
    expect((await app.post(`/durable/workers/${full}/drain`)).body).toEqual({});
    expect((await app.get("/durable/health")).body).toMatchObject({ total_workers: 2, active_workers: 1 });
    const [listed] = (await app.get("/durable/workers?status=draining")).body.data;
    expect(listed).toMatchObject({ id: full, accepting_tasks: false });
    expect((await app.post(`/durable/workers/${full}/resume`)).body).toEqual({});
    expect((await app.get("/durable/workers?status=draining")).body.data).toEqual([]);
    expect((await app.post("/durable/workers/worker-none/drain")).status).toBe(404);
  });

  test("the figures over time are taken every ten seconds, and the oldest go", async () => {
    const clock = manualClock();
    const history = createFiguresHistory({ db: app.db, clock, log: silentLog });
    expect(history.timeSeries()).toEqual({ points: [], resolution_seconds: 10, instance_count: 1 });
    await history.start();
    const first = async () => history.timeSeries().points[0]?.timestamp;
    const began = clock.now().toISOString();
    while ((await first()) === undefined || (await first()) === began) {
      await clock.advance(limits.figureIntervalMs);
      await Bun.sleep(0);
    }
    const { points } = history.timeSeries();
    expect(points).toHaveLength(limits.figurePoints);
    const times = points.map((point) => Date.parse(point.timestamp) - Date.parse(began));
    expect(times.filter((time) => time % limits.figureIntervalMs !== 0)).toEqual([]);
    expect(times).toEqual([...new Set(times)].sort((x, y) => x - y));
    await history.stop();
  });
});

describe("streams of snapshots", () => {
  /** Reads frames until one passes. */
  async function frames(path: string, isLast: (frame: SseFrame) => boolean): Promise<SseFrame[]> {
    const response = await app.app.handle(new Request(`http://localhost/v1${path}`));
    expect(response.headers.get("content-type")).toStartWith("text/event-stream");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = createSseDecoder();
    const seen: SseFrame[] = [];
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the stream ended");
      seen.push(...decoder.feed(new TextDecoder().decode(value)));
      if (seen.some(isLast)) break;
    }
    await reader.cancel();
    return seen;
  }

  test("the engine's begins with everything, and shows what has changed", async () => {
    const session = await newSession(app.db);
    let started = "";
    const seen = await frames("/durable/sse", (frame) => {
      if (frame.event !== "snapshot") return false;
      if (started === "") {
        started = "…";
        void turn(session).then((id) => {
          started = id;
          app.hints.publish({ sessions: [session], isQueued: true });
        });
        return false;
      }
      return frame.data.includes(started);
    });
    expect(seen[0]).toMatchObject({ event: "connected", data: '{"status":"connected"}' });
    expect(seen.slice(1).every((frame) => frame.event === "snapshot")).toBe(true);
    const [first, second] = seen.slice(1).map((frame) => JSON.parse(frame.data));
    expect(Object.keys(first)).toEqual([
      "health",
      "workers",
      "workflows",
      "tasks",
      "dlq",
      "circuit_breakers",
      "metrics_history",
    ]);
    expect(second.metrics_history).toBeUndefined();
  });

  test("a workflow's has its events", async () => {
    const session = await newSession(app.db);
    const id = await turn(session);
    const [, snapshot] = await frames(
      `/durable/workflows/${uuidOf(id)}/sse`,
      (frame) => frame.event === "snapshot",
    );
    expect(JSON.parse(snapshot?.data ?? "")).toMatchObject({
      workflow: { status: "pending" },
      tasks: [{ status: "pending" }],
      events: [{ event_type: "input.message" }, { event_type: "session.activated" }],
    });
  });

  test("past the limit of streams one is refused", async () => {
    const path = `/durable/workflows/${uuidOf(await turn(await newSession(app.db)))}/sse`;
    const open = await Promise.all(
      Array.from({ length: limits.sseStreamsPerSession }, () =>
        app.app.handle(new Request(`http://localhost/v1${path}`)),
      ),
    );
    expect((await app.get(path)).body).toMatchObject({ status: 429, code: "rate_limited" });
    for (const response of open) await response.body?.cancel();
    const again = await app.app.handle(new Request(`http://localhost/v1${path}`));
    expect(again.status).toBe(200);
    await again.body?.cancel();
  });

  test("watchers share what is loaded, however many hints come, and nothing is loaded once they have left", async () => {
    const clock = manualClock();
    const snapshots = createSnapshots({ hints: app.hints, clock, log: silentLog });
    let loads = 0;
    const load = async () => {
      loads += 1;
      return { n: loads };
    };
    const watched = { key: "x", load, isTouchedBy: () => true };
    const settle = async () => {
      for (let n = 0; n < 20; n += 1) await Promise.resolve();
    };
    let ready = 0;
    const onReady = () => {
      ready += 1;
    };
    const watches = [1, 2, 3].map(() => snapshots.watch(watched, onReady));
    await settle();
    expect([loads, ready]).toEqual([1, 3]);
    expect(watches.map((watch) => watch.take())).toEqual(['{"n":1}', '{"n":1}', '{"n":1}']);
    expect(watches[0]?.take()).toBeNull();
    for (let n = 0; n < 50; n += 1) app.hints.publish({ sessions: [ORGANIZATION] });
    await settle();
    expect(loads).toBe(1);
    await clock.advance(limits.snapshotIntervalMs);
    await settle();
    expect([loads, watches[2]?.take()]).toEqual([2, '{"n":2}']);
    for (const watch of watches) watch.close();
    await clock.advance(limits.snapshotIntervalMs);
    await settle();
    await clock.advance(limits.snapshotIntervalMaxMs);
    await settle();
    expect(loads).toBe(2);
  });
});
