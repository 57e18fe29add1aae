/** What can be seen of a session beside its messages: the log in numbers, full text, what it holds. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";

describe("a session's log", () => {
  let app: TestApp;
  let engine: TestEngine;
  beforeAll(async () => {
    app = await testApp();
    await seedModel(app.db);
    engine = await startEngine({ address: app.db.address });
  });
  afterAll(async () => {
    await engine.stop();
    await app.close();
  });
  const turn = async (session: string, name: string) => {
    const golden = GOLDEN_SCRIPTS.find((script) => script.name === name);
    await send(app.db, session, golden?.message ?? "");
    engine.hint();
    return logOnce(app.db, session, isIdle);
  };
  const summary = async (session: string) => (await app.get(`/sessions/${session}/events/summary`)).body;

  describe("in numbers", () => {
    test("is nothing at first", async () => {
      expect(await summary(await newSession(app.db))).toEqual({
        total: 0,
        by_type: [],
        turn_count: 0,
        error_count: 0,
      });
    });

    test("counts events by type, turns, and what went wrong; a fork counts what it inherited", async () => {
      const session = await newSession(app.db);
      await turn(session, "bad-calls");
      const log = await turn(session, "provider-refuses");
      const found = await summary(session);
      const counts = Map.groupBy(log, (event) => event.type);
      expect(found.total).toBe(log.length);
      expect(
        new Map(
          found.by_type.map((one: { event_type: string; count: number }) => [one.event_type, one.count]),
        ),
      ).toEqual(new Map([...counts].map(([type, events]) => [type, events.length])));
      const order = found.by_type.map(({ count }: { count: number }) => count);
      expect(order).toEqual(order.toSorted((a: number, b: number) => b - a));
      expect([found.turn_count, found.error_count]).toEqual([2, 4]);
      const times = log.map((event) => event.ts).sort();
      expect([found.first_ts, found.last_ts]).toEqual([times[0], times.at(-1)]);
      const fork = (await app.post(`/sessions/${session}/fork`)).body.id;
      expect(await summary(fork)).toEqual(found);
    });
  });

  describe("by full text", () => {
    let session: string;
    const filled = "x".repeat(300_000);
    beforeAll(async () => {
      session = await newSession(app.db);
      const texts = ["The quick brown fox", "the slow FOX jumps", "Лисиця 100% quick_fix", `fox ${filled}`];
      for (const text of texts) {
        await app.db.sql`
          with s as (update sessions set last_sequence = last_sequence + 1 where id = ${session} returning last_sequence n)
          insert into events (session_id, sequence, id, type, data)
          select ${session}, n, 'event_' || lpad(to_hex(n), 32, '0'), 'tool.progress',
                 jsonb_build_object('message', ${text}::text) from s`;
      }
    });
    const cases: [string, string, number[]][] = [
      ["a word, in any case", "Fox", [1, 2, 4]],
      ["all of the words, in any order", "fox quick", [1]],
      ["a phrase", '"brown fox"', [1]],
      ["not a phrase in another order", '"fox brown"', []],
      ["one or the other", "brown or slow", [1, 2]],
      ["one without the other", "fox -slow", [1]],
      ["neither of two", "-fox -slow", [3]],
      ["a phrase left out", 'fox -"slow FOX"', [1]],
      ["a word with signs in it", "quick_fix", [3]],
      ["any language", "лисиця", [3]],
      ["no beginning of a word", "jum", []],
      ["signs that are no words, as they stand", "%", [3]],
    ];
    for (const [name, q, expected] of cases) {
      test(name, async () => {
        const answer = await app.get(`/sessions/${session}/events?limit=10&q=${encodeURIComponent(q)}`);
        const found = answer.body.data.map((event: Event) => event.sequence);
        expect(found).toEqual(expected);
        expect(answer.headers.get("x-total-count")).toBe(String(found.length));
      });
    }
  });

  test("has as many events as it has, wherever the page lies; deltas do not count", async () => {
    const session = await newSession(app.db);
    const log = await turn(session, "answer");
    const count = log.filter((event) => !event.type.endsWith(".delta")).length;
    const last = log.length;
    for (const query of [
      "limit=1",
      `limit=2&before_sequence=${last}`,
      `limit=2&after_sequence=${last - 1}`,
    ]) {
      const { headers, body } = await app.get(`/sessions/${session}/events?${query}`);
      expect([query, headers.get("x-total-count"), body.total]).toEqual([query, String(count), count]);
    }
    expect((await app.get(`/sessions/${session}/events`)).headers.has("x-total-count")).toBe(false);
  });

  test("what a session holds is its workspace, its databases and the tasks that it has handed out", async () => {
    const initial_files = [{ path: "/a.txt", content: "four" }];
    const { body: session } = await app.post("/sessions", { initial_files });
    const states = { running: "active", succeeded: "completed", failed: "failed", canceled: "released" };
    for (const state of Object.keys(states)) {
      await app.db.sql`
        insert into session_tasks (id, organization_id, session_id, root_session_id, kind, display_name, state, spec,
                                   run_id, tool_call_id, child_session_id, child_run_id, finished_at)
        values (${newId("task")}, ${session.organization_id}, ${session.id}, ${session.id}, 'subagent', ${state}, ${state},
                '{}', 'turn_x', 'call_x', 'session_child', 'turn_child', ${state === "running" ? null : new Date()})`;
    }
    await app.db.sql`insert into session_databases (session_id, name, organization_id, size_bytes)
                     values (${session.id}, 'notes', ${session.organization_id}, 8192)`;
    const { status, body } = await app.get(`/sessions/${session.id}/resources`);
    expect(status).toBe(200);
    expect(body.pop()).toMatchObject({
      resource_id: "notes",
      kind: "sql_database",
      status: "active",
      metadata: { size_bytes: 8192 },
    });
    expect(body[0]).toMatchObject({
      resource_id: session.workspace_id,
      session_id: session.id,
      kind: "workspace",
      status: "active",
      metadata: { entry_count: 1, size_bytes: 4 },
    });
    const tasks = body
      .slice(1)
      .map((one: Record<string, string>) => [one.kind, one.display_name, one.status]);
    expect(tasks).toEqual(Object.entries(states).map(([state, shown]) => ["subagent", state, shown]));
    expect(body[1].metadata).toEqual({ state: "running", child_session_id: "session_child" });
    await app.call("DELETE", `/sessions/${session.id}`);
    expect((await app.get(`/sessions/${session.id}/resources`)).status).toBe(404);
    expect((await app.get(`/sessions/${newId("session")}/events/summary`)).status).toBe(404);
  });
});
