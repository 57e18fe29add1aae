/** Forks over the API: what is inherited, what is not, who may, and that both go on by themselves. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { FORKED_MID_TURN } from "../../src/db/fork.ts";
import { isNeededByFork } from "../../src/db/lineage.ts";
import { transaction } from "../../src/db/tx.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { startEngine, type TestEngine } from "../support/engine.ts";
import { until } from "../support/live.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import type { TestDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, ORGANIZATION, readLog, send, turnsEnded } from "../support/sessions.ts";

const text = (content: string) => ({ message: { content: [{ type: "text", text: content }] } });
const types = (events: readonly Event[]) => events.map((event) => event.type);

describe("a fork", () => {
  let app: TestApp;
  let engine: TestEngine;
  const model = createManualDriver();
  beforeAll(async () => {
    app = await testApp();
    engine = await startEngine({ address: app.db.address } as TestDatabase, { driver: model.driver });
  });
  afterAll(async () => {
    await engine.stop();
    await app.close();
  });

  const newParent = async (body: object = {}) => (await app.post("/sessions", body)).body.id as string;
  const say = async (session: string, words: string) => {
    const { body } = await app.post(`/sessions/${session}/messages`, text(words));
    engine.hint();
    return body;
  };
  /** One turn from message to answer. @returns what the model was sent, as text */
  const turn = async (session: string, words: string, answer: string) => {
    const ended = turnsEnded(await readLog(app.db, session));
    await say(session, words);
    const call = await model.nextCall();
    call.say(answer);
    call.finish();
    await logOnce(app.db, session, (events) => turnsEnded(events) > ended && isIdle(events));
    return shown(call);
  };
  const shown = (call: Awaited<ReturnType<typeof model.nextCall>>) =>
    call.request.messages.map((message) =>
      message.role === "user"
        ? `user: ${message.content.map((part) => (part.type === "text" ? part.text : "")).join("")}`
        : message.role === "tool"
          ? `tool: ${message.isError ? "no result" : message.content}`
          : `agent: ${message.text}`,
    );
  const fork = (session: string, body: object = {}) => app.post(`/sessions/${session}/fork`, body);

  test("begins with its parent's events under its own name, and none is copied", async () => {
    const parent = await newParent({
      title: "Trip",
      tags: ["a"],
      system_prompt: "Be brief.",
      locale: "uk-UA",
    });
    await turn(parent, "one", "1");
    const before = await readLog(app.db, parent);
    const { status, body, headers } = await fork(parent);
    expect([status, headers.get("location")]).toEqual([201, `/v1/sessions/${body.id}`]);
    expect(body).toMatchObject({
      title: "Trip",
      tags: ["a"],
      system_prompt: "Be brief.",
      locale: "uk-UA",
      status: "idle",
      forked_from_session_id: parent,
      forked_from_sequence: before.length,
      usage: { input_tokens: 0, output_tokens: 0 },
    });
    expect((await app.get(`/sessions/${body.id}`)).body).toEqual(body);
    expect(await readLog(app.db, body.id)).toEqual(
      before.map((event) => ({ ...event, session_id: body.id })),
    );
    expect(await app.db.sql`select from events where session_id = ${body.id}`).toHaveLength(0);
    const messages = (await app.get(`/sessions/${body.id}/messages`)).body.data;
    expect(messages.map((one: { session_id: string; role: string }) => [one.session_id, one.role])).toEqual([
      [body.id, "user"],
      [body.id, "agent"],
    ]);
  });

  test("takes other settings where they are given; an agent brings its harness", async () => {
    const base = "harness_00000000000000000000000000000001";
    const agent = (await app.post("/agents", { name: "other", system_prompt: "x", harness_id: base })).body;
    const parent = await newParent({ title: "Trip", tags: ["a"] });
    const { body } = await fork(parent, { title: "B", tags: ["b", "b"], agent_id: "other", locale: "en" });
    expect(body).toMatchObject({
      title: "B",
      tags: ["b"],
      agent_id: agent.id,
      harness_id: base,
      locale: "en",
    });
  });

  test("its turn sees the parent's conversation up to the fork, and each goes on by itself", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const at = (await readLog(app.db, parent)).length;
    await turn(parent, "two", "2");
    const child = (await fork(parent, { at_sequence: at })).body.id;
    expect(await turn(child, "other", "o")).toEqual(["user: one", "agent: 1", "user: other"]);
    expect(await turn(parent, "three", "3")).toEqual([
      "user: one",
      "agent: 1",
      "user: two",
      "agent: 2",
      "user: three",
    ]);
    expect(await turn(child, "more", "m")).toEqual([
      "user: one",
      "agent: 1",
      "user: other",
      "agent: o",
      "user: more",
    ]);
    const sequences = (await readLog(app.db, child)).filter(({ type }) => !type.endsWith(".delta"));
    expect(sequences.map(({ sequence }) => sequence).toSorted((a, b) => a - b)).toEqual(
      sequences.map(({ sequence }) => sequence),
    );
  });

  test("ten deep, each turn sees every ancestor's part", async () => {
    let session = await newParent();
    const expected: string[] = [];
    for (let depth = 0; depth < 10; depth += 1) {
      expected.push(`user: ${depth}`);
      expect(await turn(session, `${depth}`, `a${depth}`)).toEqual(expected);
      expected.push(`agent: a${depth}`);
      session = (await fork(session)).body.id;
    }
    expect((await readLog(app.db, session)).length).toBeGreaterThan(100);
  });

  test("parent and fork run at once", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const child = (await fork(parent)).body.id;
    await say(parent, "in the parent");
    const first = await model.nextCall();
    await say(child, "in the fork");
    const second = await model.nextCall();
    for (const [call, words] of [
      [second, "fork"],
      [first, "parent"],
    ] as const) {
      expect(shown(call)).toEqual(["user: one", "agent: 1", `user: in the ${words}`]);
      call.say(words);
      call.finish();
    }
    for (const session of [parent, child]) {
      const events = await logOnce(app.db, session, (log) => turnsEnded(log) === 2 && isIdle(log));
      expect(events.filter(({ type }) => type === "input.message")).toHaveLength(2);
    }
  });

  test("of a busy session: 409 without a point, any ended turn with one", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const at = (await readLog(app.db, parent)).length;
    await say(parent, "two");
    const call = await model.nextCall();
    const refused = await fork(parent);
    expect([refused.status, refused.body.code]).toEqual([409, "session_busy"]);
    const child = (await fork(parent, { at_sequence: at })).body;
    expect(child).toMatchObject({ status: "idle", forked_from_sequence: at });
    call.say("2");
    call.finish();
    await logOnce(app.db, parent, (log) => turnsEnded(log) === 2);
    expect(await readLog(app.db, child.id)).toHaveLength(at);
  });

  test("I6, I8: in the middle of a turn it is whole: the turn ends there, each call has one result", async () => {
    const parent = await newParent();
    await say(parent, "look");
    const first = await model.nextCall();
    first.callTool("get_current_time", {});
    first.callTool("get_current_time", {});
    first.finish();
    const second = await model.nextCall();
    const log = await readLog(app.db, parent);
    const oneResult = log.find(({ type }) => type === "tool.completed")?.sequence ?? 0;
    const forked = (await fork(parent, { at_sequence: oneResult })).body;
    expect(forked).toMatchObject({ status: "idle", forked_from_sequence: oneResult });
    const own = (await readLog(app.db, forked.id)).slice(oneResult);
    const turnId = log.find(({ type }) => type === "turn.started")?.context.turn_id;
    expect(own).toMatchObject([
      { type: "turn.cancelled", sequence: oneResult + 1, data: { turn_id: turnId, reason: FORKED_MID_TURN } },
      { type: "session.idled", sequence: oneResult + 2, data: { turn_id: turnId } },
    ]);
    await say(forked.id, "and now?");
    const inFork = await model.nextCall();
    expect(shown(inFork).map((line) => line.slice(0, 15))).toEqual([
      "user: look",
      "agent: ",
      expect.stringContaining("tool: "),
      "tool: no result",
      "user: and now?",
    ]);
    inFork.say("done");
    inFork.finish();
    second.say("parent is done");
    second.finish();
    for (const session of [forked.id, parent]) {
      const events = await logOnce(app.db, session, isIdle);
      for (const id of new Set(events.flatMap(({ context }) => context.turn_id ?? []))) {
        const ends = events.filter(
          ({ type, context }) => context.turn_id === id && /^turn\.(?!started)/.test(type),
        );
        expect(ends).toHaveLength(1);
      }
    }
  });

  test("at every sequence of a turn: status and end fit what was there", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const log = (await readLog(app.db, parent)).filter(({ type }) => !type.endsWith(".delta"));
    for (const { sequence } of log) {
      const { body } = await fork(parent, { at_sequence: sequence });
      const own = types((await readLog(app.db, body.id)).filter((event) => event.sequence > sequence));
      const upTo = types(log.filter((event) => event.sequence <= sequence));
      const isBegun = upTo.includes("session.activated");
      const expected = !isBegun || upTo.includes("session.idled") ? [] : ["session.idled"];
      if (expected.length > 0 && !upTo.includes("turn.completed")) expected.unshift("turn.cancelled");
      expect([sequence, body.status, own]).toEqual([sequence, isBegun ? "idle" : "started", expected]);
    }
  });

  test("an unanswered message is the newest input of a fork right behind it", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const child = (await fork(parent, { at_sequence: 2 })).body.id;
    expect(await turn(child, "go on", "ok")).toEqual(["user: one", "user: go on"]);
  });

  test("has files of its own, as they are at the fork; a shared workspace stays shared", async () => {
    const { body: parent } = await app.post("/sessions", {
      initial_files: [{ path: "/a/note.md", content: "old" }],
    });
    const at = 1;
    const files = (workspaceId: string) =>
      createFileStore(app.db, { organizationId: ORGANIZATION, treeId: workspaceId });
    const write = (workspaceId: string, content: string) =>
      files(workspaceId).write({
        path: "/a/note.md",
        content,
        encoding: "text",
        expectedHash: null,
        idempotencyKey: newId("call"),
      });
    await write(parent.workspace_id, "now");
    const child = (await fork(parent.id, { at_sequence: at })).body;
    expect(child.workspace_id).toBe(child.id.replace("session_", "wsp_"));
    const read = async (workspaceId: string) => (await files(workspaceId).read("/a/note.md"))?.content;
    expect(await read(child.workspace_id)).toBe("now");
    await write(parent.workspace_id, "later");
    await write(child.workspace_id, "mine");
    expect([await read(parent.workspace_id), await read(child.workspace_id)]).toEqual(["later", "mine"]);

    const { body: guest } = await app.post("/sessions", { workspace_id: parent.workspace_id });
    expect((await fork(guest.id)).body.workspace_id).toBe(parent.workspace_id);
  });

  test("outlives its parent", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const child = (await fork(parent)).body.id;
    expect((await app.call("DELETE", `/sessions/${parent}`)).status).toBe(204);
    expect((await fork(parent)).status).toBe(404);
    expect(await turn(child, "two", "2")).toEqual(["user: one", "agent: 1", "user: two"]);
    expect((await app.get(`/sessions/${child}/events`)).body.data[0].sequence).toBe(1);
  });

  test("of a session that is deleted at the same moment: either there was one, or 404", async () => {
    const parent = await newParent();
    const [held, deleted] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const deleting = transaction(app.db, async (sql) => {
      await sql`update sessions set deleted_at = now() where id = ${parent}`;
      held.resolve();
      await deleted.promise;
    });
    await held.promise;
    const forking = fork(parent);
    await until(async () => {
      const waiting = await app.db.sql`select from pg_locks where not granted`;
      return waiting.length > 0;
    });
    deleted.resolve();
    await deleting;
    expect((await forking).status).toBe(404);
  });

  test("keeps what it shows from being removed for good, for as long as it lives itself", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const child = (await fork(parent)).body.id;
    const grandchild = (await fork(child)).body.id;
    const { sql } = app.db;
    const isNeeded = async (id: string) => {
      const rows = await sql<{ is_needed: boolean }[]>`
        select ${isNeededByFork(sql, sql`s.id`)} as is_needed from sessions s where s.id = ${id}`;
      return rows[0]?.is_needed;
    };
    const all = () => Promise.all([parent, child, grandchild].map(isNeeded));
    expect(await all()).toEqual([true, false, false]);
    await app.call("DELETE", `/sessions/${parent}`);
    await app.call("DELETE", `/sessions/${child}`);
    expect(await all()).toEqual([true, false, false]);
    await turn(grandchild, "two", "2");
    const last = (await fork(grandchild)).body.id;
    await app.call("DELETE", `/sessions/${grandchild}`);
    expect(await all()).toEqual([true, false, true]);
    await app.call("DELETE", `/sessions/${last}`);
    expect(await all()).toEqual([false, false, false]);
  });

  test("is refused with a reason", async () => {
    const parent = await newParent();
    const cases: [string, object, number, string, RegExp][] = [
      [parent, { at_sequence: 2 }, 400, "invalid_request", /newest event of the session is 1/],
      [parent, { at_sequence: 0 }, 400, "invalid_request", /at_sequence/],
      [parent, { at_sequence: "1" }, 400, "invalid_request", /at_sequence/],
      [parent, { model_id: newId("model") }, 404, "not_found", /model_id/],
      [parent, { agent_id: newId("agent") }, 404, "not_found", /Agent/],
      [parent, { locale: "?" }, 400, "invalid_request", /locale/],
      [newId("session"), {}, 404, "not_found", /Session/],
      ["session_1", {}, 400, "invalid_id", /session/],
    ];
    for (const [id, body, status, code, detail] of cases) {
      const answer = await fork(id, body);
      expect([answer.status, answer.body.code, answer.body.detail]).toEqual([
        status,
        code,
        expect.stringMatching(detail),
      ]);
    }
    expect((await app.call("POST", `/sessions/${parent}/fork`)).status).toBe(201);
  });

  test("too deep a fork of forks is refused", async () => {
    const parent = await newParent();
    const child = (await fork(parent)).body.id;
    await app.db.sql`
      update sessions set lineage_ids = array_fill(lineage_ids[1], array[100]),
                          lineage_up_to = array_fill(lineage_up_to[1], array[100])
       where id = ${child}`;
    const answer = await fork(child);
    expect([answer.status, answer.body.code]).toEqual([400, "limit_exceeded"]);
  });

  test("diff: what both did since they parted, with what it cost", async () => {
    const parent = await newParent();
    await turn(parent, "one", "1");
    const at = (await readLog(app.db, parent)).at(-1)?.sequence ?? 0;
    const [a, b] = [(await fork(parent)).body.id, (await fork(parent, { at_sequence: at })).body.id];
    await turn(a, "left", "l");
    await turn(b, "right", "r");
    await turn(b, "right again", "r");
    const diff = async (x: string, y: string, query = "") =>
      (await app.get(`/sessions/${x}/diff/${y}${query}`)).body;
    const both = await diff(a, b);
    const after = async (id: string) =>
      (await readLog(app.db, id)).filter(({ sequence, type }) => sequence > at && !type.endsWith(".delta"));
    expect(both).toMatchObject({
      common_ancestor: { session_id: parent, sequence: at },
      a: await after(a),
      b: await after(b),
      has_more: { a: false, b: false },
    });
    for (const [side, id] of [
      ["a", a],
      ["b", b],
    ] as const) {
      const { input_tokens, output_tokens } = (await app.get(`/sessions/${id}`)).body.usage;
      expect(both.usage[side]).toMatchObject({ input_tokens, output_tokens });
    }
    expect(await diff(parent, a)).toMatchObject({
      common_ancestor: { session_id: parent, sequence: at },
      a: [],
    });
    const itself = await diff(a, a);
    expect([itself.a, itself.b, itself.common_ancestor.session_id]).toEqual([[], [], a]);
    const cut = await diff(a, b, "?limit=2");
    expect([cut.a, cut.has_more]).toEqual([both.a.slice(0, 2), { a: true, b: true }]);
    expect(cut.usage).toEqual(both.usage);

    const stranger = await newParent();
    const refused = await app.get(`/sessions/${a}/diff/${stranger}`);
    expect([refused.status, refused.body.code]).toEqual([409, "unrelated_sessions"]);
    expect((await app.get(`/sessions/${a}/diff/${newId("session")}`)).status).toBe(404);
  });

  test("a message's client id of the parent is free in the fork", async () => {
    const parent = await newParent();
    const client = { clientMessageId: "c-1" };
    await send(app.db, parent, "one", client);
    engine.hint();
    const call = await model.nextCall();
    call.say("1");
    call.finish();
    await logOnce(app.db, parent, isIdle);
    const child = (await fork(parent)).body.id;
    expect(await send(app.db, child, "two", client)).toMatchObject({ outcome: "started" });
    engine.hint();
    const second = await model.nextCall();
    second.say("2");
    second.finish();
    await logOnce(app.db, child, (events) => turnsEnded(events) === 2);
  });
});
