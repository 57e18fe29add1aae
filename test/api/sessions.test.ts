import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { parkDirectly } from "../support/waiting.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
  await app.post("/agents", {
    name: "helper",
    system_prompt: "x",
    capabilities: ["session_file_system"],
    initial_files: [
      { path: "/shared.txt", content: "of the agent" },
      { path: "/agent.txt", content: "of the agent" },
    ],
  });
});
afterAll(() => app.close());

const start = async (fields: object = {}) => (await app.post("/sessions", fields)).body;
const say = (id: string, text = "hi") =>
  app.post(`/sessions/${id}/messages`, { message: { content: [{ type: "text", text }] } });

describe("starting a session", () => {
  test("its first event says so, and its id ends in the sequence", async () => {
    const agent = (await app.get("/agents/helper")).body;
    const session = await start({ agent_id: agent.id });
    const { data } = (await app.get(`/sessions/${session.id}/events`)).body;
    expect(data).toEqual([
      {
        id: expect.stringMatching(/^event_[0-9a-f]{22}0000000001$/),
        type: "session.started",
        ts: expect.any(String),
        session_id: session.id,
        sequence: 1,
        context: {},
        data: { harness_id: agent.harness_id, agent_id: agent.id },
      },
    ]);
  });

  test("with nothing at all, it has the default harness and a workspace of its own hex", async () => {
    const answer = await app.call("POST", "/sessions");
    expect(answer.status).toBe(201);
    const session = answer.body;
    expect([session.status, session.agent_id]).toEqual(["started", undefined]);
    expect(session.workspace_id).toBe(session.id.replace("session_", "wsp_"));
    expect(session.harness_id).toBe((await app.get("/harnesses/default")).body.id);
  });

  test("agents and harnesses are found by id and by name, in either field", async () => {
    const agent = (await app.get("/agents/helper")).body.id;
    const base = (await app.get("/harnesses/base")).body.id;
    for (const fields of [{ agent_id: agent }, { agent_name: "helper" }, { agent_id: "helper" }]) {
      expect((await start(fields)).agent_id).toBe(agent);
    }
    for (const fields of [{ harness_id: base }, { harness_name: "base" }]) {
      expect((await start({ agent_name: "helper", ...fields })).harness_id).toBe(base);
    }
  });

  test("features come from the capabilities of all layers", async () => {
    expect((await start({ harness_name: "base" })).features).toEqual([]);
    expect((await start({ harness_name: "base", agent_name: "helper" })).features).toEqual(["file_system"]);
    expect((await start({ harness_name: "base", capabilities: ["session_file_system"] })).features).toEqual([
      "file_system",
    ]);
    expect((await start()).features).toEqual(["file_system"]);
  });

  test("starter files are merged by path, the session's own win", async () => {
    const session = await start({
      agent_name: "helper",
      initial_files: [
        { path: "shared.txt", content: "of the session" },
        { path: "/dir/own.txt", content: "own" },
      ],
    });
    const files = createFileStore(app.db, {
      organizationId: ORGANIZATION,
      treeId: session.workspace_id,
    });
    const read = await files.readMany(["/shared.txt", "/agent.txt", "/dir/own.txt"]);
    expect(read.map(({ path, content }) => [path, content])).toEqual([
      ["/shared.txt", "of the session"],
      ["/agent.txt", "of the agent"],
      ["/dir/own.txt", "own"],
    ]);
  });

  test("a shared workspace keeps its files; only the session's own are put there", async () => {
    const first = await start({ initial_files: [{ path: "/agent.txt", content: "already there" }] });
    const second = await start({
      agent_name: "helper",
      workspace_id: first.workspace_id,
      initial_files: [{ path: "/second.txt", content: "2" }],
    });
    expect(second.workspace_id).toBe(first.workspace_id);
    const files = createFileStore(app.db, { organizationId: ORGANIZATION, treeId: first.workspace_id });
    expect((await files.read("/agent.txt"))?.content).toBe("already there");
    expect((await files.read("/second.txt"))?.content).toBe("2");
    expect(await files.read("/shared.txt")).toBeNull();
  });

  test("an archived agent is refused, with the way to take it back", async () => {
    await app.post("/agents", { name: "retired", system_prompt: "x" });
    const { id } = (await app.get("/agents/retired")).body;
    await app.call("DELETE", "/agents/retired");
    const answer = await app.post("/sessions", { agent_name: "retired" });
    expect([answer.status, answer.body.allowed_actions]).toEqual([
      409,
      [{ rel: "unarchive", method: "PATCH", href: `/v1/agents/${id}`, hint: '{"status": "active"}' }],
    ]);
  });
});

describe("changing and listing", () => {
  test("title, locale and tags change; null removes; the rest is fixed", async () => {
    const session = await start({ title: "One", locale: "en", tags: ["a"] });
    const change = async (body: object) => (await app.call("PATCH", `/sessions/${session.id}`, body)).body;
    const renamed = await change({ title: "Two", system_prompt: "ignored", agent_name: "helper" });
    expect(renamed).toEqual({ ...session, title: "Two", updated_at: expect.any(String) });
    const emptied = await change({ title: null, locale: null, tags: null });
    expect([emptied.title, emptied.locale, emptied.tags]).toEqual([undefined, undefined, []]);
  });

  test("another title is an event, told to who listens; the same title is none", async () => {
    const { id } = (await app.post("/sessions", { title: "First" })).body;
    const patch = (body: object) => app.call("PATCH", `/sessions/${id}`, body);
    app.published.length = 0;
    await patch({ title: "First" });
    await patch({ locale: "de" });
    expect(app.published).toEqual([]);
    await patch({ title: "Second" });
    await patch({ title: null, tags: ["t"] });
    expect(app.published).toMatchObject([{ sessions: [id] }, { sessions: [id] }]);
    const events = (await app.get(`/sessions/${id}/events?types=session.title.updated`)).body.data;
    expect(events.map(({ sequence, data }: Event) => [sequence, data])).toEqual([
      [2, { title: "Second" }],
      [3, {}],
    ]);
    expect((await app.get(`/sessions/${id}`)).body).toMatchObject({ tags: ["t"], locale: "de" });
  });

  test("an empty PATCH changes nothing, not even the time", async () => {
    const session = await start();
    expect((await app.call("PATCH", `/sessions/${session.id}`, {})).body).toEqual(session);
  });

  test("newest first, by agent, by words of the title", async () => {
    const agent = (await app.post("/agents", { name: "lister", system_prompt: "x" })).body;
    const ids: string[] = [];
    for (const title of ["Alpha talk", "Beta talk", "Gamma"]) {
      ids.unshift((await start({ agent_id: agent.id, title })).id);
    }
    const list = async (query: string) =>
      (await app.get(`/sessions?agent_id=${agent.id}${query}`)).body.data.map(
        (row: { id: string }) => row.id,
      );
    expect(await list("")).toEqual(ids);
    expect(await list("&search=TALK")).toEqual(ids.slice(1));
    expect(await list("&search=talk%20beta")).toEqual(ids.slice(1, 2));
    const page = (await app.get(`/sessions?agent_id=${agent.id}&limit=1`)).body;
    expect([page.total, page.sessions, page.next_url]).toEqual([
      3,
      page.data,
      `/v1/sessions?agent_id=${agent.id}&limit=1&offset=1`,
    ]);
  });

  test("a pin shows, and offers the way back", async () => {
    const { id } = await start();
    const rels = async () => {
      const { body } = await app.get(`/sessions/${id}`);
      const names = body.allowed_actions.map((action: { rel: string }) => action.rel);
      return [body.is_pinned, names.filter((rel: string) => rel.includes("pin"))];
    };
    expect(await rels()).toEqual([false, ["pin"]]);
    for (let twice = 0; twice < 2; twice += 1) await app.call("PUT", `/sessions/${id}/pin`);
    expect(await rels()).toEqual([true, ["unpin"]]);
    await app.call("DELETE", `/sessions/${id}/pin`);
    expect(await rels()).toEqual([false, ["pin"]]);
  });

  test("a session whose turn waits for a budget is idle, says so, and offers to resume", async () => {
    const { id } = (await app.post("/sessions")).body;
    const turn = await parkDirectly(app.db, id, [{ kind: "budget", toolCallId: "budget_1" }], null);
    expect(turn).toMatch(/^turn_/);
    const { body } = await app.get(`/sessions/${id}`);
    expect([body.status, body.paused]).toEqual(["idle", true]);
    const rels = body.allowed_actions.map(({ rel }: { rel: string }) => rel);
    expect(rels).toContain("resume");
    expect(rels).not.toContain("fork");
    expect(rels).not.toContain("cancel");
  });

  test("cancel is offered only while a turn is under way", async () => {
    const { id } = await start();
    const offers = async () =>
      (await app.get(`/sessions/${id}`)).body.allowed_actions.some(
        (action: { rel: string }) => action.rel === "cancel",
      );
    expect(await offers()).toBe(false);
    await say(id);
    expect(await offers()).toBe(true);
    await app.post(`/sessions/${id}/cancel`);
    expect(await offers()).toBe(false);
  });
});

describe("the chat with the platform", () => {
  const chat = async (body?: object) => app.post("/sessions/chat", body);

  test("is made once, with its harness, and stays the same", async () => {
    const answers = await Promise.all([1, 2, 3].map(() => chat()));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    const ids = new Set(answers.map(({ body }) => body.id));
    expect(ids.size).toBe(1);
    const harness = (await app.get(`/harnesses/${answers[0]?.body.harness_id}`)).body;
    expect(harness.name).toBe("platform-chat");
    const listed = (await app.get("/sessions?search=Chat")).body.data;
    expect(listed.map(({ id }: { id: string }) => id)).toEqual([...ids]);
  });

  test("keeps a locale, and begins anew after it was deleted", async () => {
    const { id } = (await chat({ locale: "uk-UA" })).body;
    expect((await chat()).body).toMatchObject({ id, locale: "uk-UA" });
    await app.call("DELETE", `/sessions/${id}`);
    const next = (await chat({ locale: "de" })).body;
    expect([next.id === id, next.locale]).toEqual([false, "de"]);
    expect((await chat({ locale: "none at all" })).status).toBe(400);
  });
});

describe("deleting", () => {
  test("every route answers 404 afterwards, and the lists leave it out", async () => {
    const { id } = await start({ title: "Doomed" });
    const turn = (await say(id)).body.turn_id;
    await app.post(`/sessions/${id}/cancel`);
    expect((await app.call("DELETE", `/sessions/${id}`)).status).toBe(204);
    const calls: [string, string, object?][] = [
      ["GET", `/sessions/${id}`],
      ["PATCH", `/sessions/${id}`, {}],
      ["DELETE", `/sessions/${id}`],
      ["PUT", `/sessions/${id}/pin`],
      ["DELETE", `/sessions/${id}/pin`],
      ["GET", `/sessions/${id}/messages`],
      ["POST", `/sessions/${id}/messages`, { message: { content: [{ type: "text", text: "x" }] } }],
      ["POST", `/sessions/${id}/cancel`],
      ["GET", `/sessions/${id}/events`],
      ["GET", `/sessions/${id}/sse`],
      ["GET", `/sessions/${id}/runs`],
      ["GET", `/runs/${turn}`],
    ];
    for (const [method, path, body] of calls) {
      expect([method, path, (await app.call(method, path, body)).status]).toEqual([method, path, 404]);
    }
    expect((await app.get("/sessions?search=Doomed")).body.total).toBe(0);
    expect((await app.get(`/runs?session_id=${id}`)).body.total).toBe(0);
  });

  test("a turn under way is cancelled first, and its worker is told", async () => {
    const { id } = await start();
    const turn = (await say(id)).body.turn_id;
    app.published.length = 0;
    expect((await app.call("DELETE", `/sessions/${id}`)).status).toBe(204);
    expect(app.published.map(({ sessions, cancelled }) => ({ sessions, cancelled }))).toEqual([
      { sessions: [id], cancelled: [turn] },
    ]);
    const [run] = await app.db.sql`select state from runs where id = ${turn}`;
    expect(run?.state).toBe("cancelled");
    const log = await app.db.sql`select type from events where session_id = ${id} order by sequence`;
    expect(log.slice(-4).map(({ type }) => type)).toEqual([
      "turn.cancelled",
      "input.message",
      "output.message.completed",
      "session.idled",
    ]);
  });
});

describe("runs", () => {
  test("a run shows its state, and filters find it", async () => {
    const session = await start({ agent_name: "helper" });
    const message = (await say(session.id)).body;
    const run = (await app.get(`/runs/${message.turn_id}`)).body;
    expect(run).toEqual({
      id: message.turn_id,
      session_id: session.id,
      agent_id: session.agent_id,
      organization_id: ORGANIZATION,
      status: "queued",
      priority: 0,
      attempt: 0,
      available_at: expect.any(String),
      input_message_id: message.id,
      iterations: 0,
      queued_at: expect.any(String),
      steps: [],
    });
    const found = async (query: string) =>
      (await app.get(`/runs?session_id=${session.id}&${query}`)).body.total;
    expect([
      await found(""),
      await found("status=queued"),
      await found("status=failed"),
      await found(`agent_id=${session.agent_id}`),
      await found(`agent_id=${newId("agent")}`),
      await found("waiting_on=approval"),
      await found("worker_id=worker-1"),
    ]).toEqual([1, 1, 0, 1, 0, 0, 0]);
  });

  test("steps come with timing, usage and what is unknown; a run says why it is stuck", async () => {
    const { id } = await start();
    const turn = (await say(id)).body.turn_id;
    await app.db.sql`
      update runs set state = 'running', attempt = 2, lease_owner = 'worker-1', lease_epoch = 2, iterations = 1,
                      lease_expires_at = now() - interval '1 second', started_at = now(), input_tokens = 5,
                      cost_usd = 0.25, time_to_first_token_ms = 80
       where id = ${turn}`;
    await app.db.sql`
      insert into steps (run_id, name, kind, tool_name, effect, status, attempt, usage, started_at, finished_at)
      values (${turn}, 'tool:call_1', 'tool', 'send_mail', 'at_most_once', 'unknown', 2, null,
              '2026-01-01T00:00:02Z', null),
             (${turn}, 'reason:1', 'reason', null, null, 'settled', 1, '{"input_tokens": 5, "output_tokens": 2}',
              '2026-01-01T00:00:00Z', '2026-01-01T00:00:01.500Z')`;
    const run = (await app.get(`/runs/${turn}`)).body;
    expect(run).toMatchObject({
      status: "running",
      stuck_reason: "its worker has gone silent; another one takes it up",
      attempt: 2,
      worker_id: "worker-1",
      cost_usd: 0.25,
      time_to_first_token_ms: 80,
      usage: { input_tokens: 5 },
    });
    expect(run.steps).toEqual([
      {
        name: "reason:1",
        kind: "reason",
        status: "settled",
        attempt: 1,
        started_at: "2026-01-01T00:00:00.000Z",
        finished_at: "2026-01-01T00:00:01.500Z",
        duration_ms: 1500,
        usage: { input_tokens: 5, output_tokens: 2 },
      },
      {
        name: "tool:call_1",
        kind: "tool",
        tool_name: "send_mail",
        effect: "at_most_once",
        idempotency_key: `${turn}:call_1`,
        status: "unknown",
        attempt: 2,
        started_at: "2026-01-01T00:00:02.000Z",
      },
    ]);
    const listed = (await app.get(`/sessions/${id}/runs`)).body.data[0];
    expect([listed.id, listed.steps]).toEqual([turn, undefined]);
  });

  test("a run that waits for long says that no worker is alive", async () => {
    const { id } = await start();
    const turn = (await say(id)).body.turn_id;
    await app.db.sql`update runs set available_at = now() - interval '1 minute' where id = ${turn}`;
    expect((await app.get(`/runs/${turn}`)).body.stuck_reason).toBe("no worker is alive");
    await app.db.sql`insert into workers (id, hostname, pid, version, concurrency, load, lock_key)
                     values ('worker-alive', 'h', 1, '0', 4, 4, 1)`;
    expect((await app.get(`/runs/${turn}`)).body.stuck_reason).toBeUndefined();
    await app.db
      .sql`insert into workers (id, hostname, pid, version, concurrency, load, lock_key, heartbeat_at)
                     values ('worker-silent', 'h', 2, '0', 4, 1, 2, now() - interval '5 minutes')`;
    const workers = (await app.get("/durable/workers")).body;
    expect(workers.summary).toEqual({ active: 1, draining: 0, stopped: 1, total_capacity: 4, total_load: 4 });
    const rows = workers.data.map((row: Record<string, unknown>) => [
      row.id,
      row.status,
      row.accepting_tasks,
    ]);
    expect(rows.sort()).toEqual([
      ["worker-alive", "running", false],
      ["worker-silent", "stopped", false],
    ]);
    expect((await app.get("/durable/workers?status=running")).body.total).toBe(1);
    expect((await app.get("/durable/workers?worker_group=other")).body.total).toBe(0);
  });
});
