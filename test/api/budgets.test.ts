/** The routes of budgets, on a real database. What model calls do to them is in test/db and test/engine. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { reserveBudgets, settleBudgets } from "../../src/db/budgets/budget-meter.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { newSession } from "../support/sessions.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const create = (sessionId: string, fields: Record<string, unknown> = {}) =>
  app.post("/budgets", {
    subject_type: "session",
    subject_id: sessionId,
    currency: "usd",
    limit: 2,
    ...fields,
  });

const spend = async (sessionId: string, usd: number) => {
  const runId = newId("turn");
  const cost = { usd, tokens: 0 };
  await reserveBudgets(app.db, { organizationId: ORGANIZATION, sessionId, runId, cost });
  await settleBudgets(app.db, { runId, sessionId, refId: runId, cost, description: "a-model" });
};

describe("a budget's life", () => {
  test("created, listed, read, changed, topped up, removed", async () => {
    const sessionId = await newSession(app.db);
    const made = await create(sessionId, { soft_limit: 1, metadata: { team: "a" } });
    expect(made.status).toBe(201);
    expect(made.headers.get("location")).toBe(`/v1/budgets/${made.body.id}`);
    expect(made.body).toMatchObject({
      subject_type: "session",
      subject_id: sessionId,
      limit: 2,
      soft_limit: 1,
      balance: 2,
      status: "active",
      metadata: { team: "a" },
    });
    const path = `/budgets/${made.body.id}`;
    expect((await app.get(path)).body).toEqual(made.body);
    expect((await app.get(`/budgets?subject_type=session&subject_id=${sessionId}`)).body).toEqual([
      made.body,
    ]);
    expect((await app.get(`/sessions/${sessionId}/budgets`)).body).toEqual([made.body]);

    const raised = await app.call("PATCH", path, { limit: 5, soft_limit: null });
    expect(raised.body).toMatchObject({ limit: 5, balance: 5 });
    expect(raised.body.soft_limit).toBeUndefined();
    const topped = await app.post(`${path}/top-up`, { amount: 1.5, description: "a gift" });
    expect(topped.body.balance).toBe(6.5);
    await spend(sessionId, 0.5);
    const ledger = await app.get(`${path}/ledger?limit=1`);
    expect(ledger.body).toHaveLength(1);
    expect(ledger.body[0]).toMatchObject({
      amount: 0.5,
      meter_source: "model_call",
      session_id: sessionId,
      description: "a-model",
    });
    expect((await app.get(`${path}/ledger?offset=1`)).body[0]).toMatchObject({ amount: -1.5 });

    expect((await app.call("DELETE", path)).status).toBe(204);
    expect((await app.get(path)).status).toBe(404);
    expect((await app.call("DELETE", path)).status).toBe(404);
    expect((await app.get(`/sessions/${sessionId}/budgets`)).body).toEqual([]);
  });

  test("`org` is what a client sends, `organization` what it reads", async () => {
    const made = await app.post("/budgets", {
      subject_type: "org",
      subject_id: ORGANIZATION,
      currency: "credits",
      limit: 10,
    });
    expect(made.body.subject_type).toBe("organization");
    const listed = await app.get("/budgets?subject_type=org");
    expect(listed.body.map((row: { id: string }) => row.id)).toEqual([made.body.id]);
    await app.call("DELETE", `/budgets/${made.body.id}`);
  });

  test("the check says what the next call would hear, the strictest of several", async () => {
    const sessionId = await newSession(app.db);
    expect((await app.get(`/sessions/${sessionId}/budget-check`)).body).toEqual({ action: "continue" });
    const { body: budget } = await create(sessionId, { soft_limit: 1 });
    await create(sessionId, { limit: 100 });
    expect((await app.get(`/budgets/${budget.id}/check`)).body).toMatchObject({ action: "continue" });
    await spend(sessionId, 1.2);
    expect((await app.get(`/sessions/${sessionId}/budget-check`)).body).toMatchObject({
      action: "pause",
      budget_id: budget.id,
      error_code: "budget_paused",
    });
    await app.call("PATCH", `/budgets/${budget.id}`, { soft_limit: null });
    await spend(sessionId, 1);
    expect((await app.get(`/sessions/${sessionId}/budget-check`)).body).toMatchObject({
      action: "stop",
      error_code: "budget_exhausted",
    });
  });

  test("a fork counts against the budgets of what it was forked from", async () => {
    const sessionId = await newSession(app.db);
    const { body: budget } = await create(sessionId);
    await app.db.sql`update sessions set last_sequence = 1 where id = ${sessionId}`;
    await app.db.sql`
      insert into events (session_id, sequence, id, type, data)
      values (${sessionId}, 1, ${newId("event")}, 'session.started', '{}')`;
    const fork = await app.post(`/sessions/${sessionId}/fork`, {});
    const again = await app.post(`/sessions/${fork.body.id}/fork`, {});
    expect([fork.status, again.status]).toEqual([201, 201]);
    await spend(again.body.id, 2.5);
    const listed = await app.get(`/sessions/${again.body.id}/budgets`);
    expect(listed.body.map((row: { id: string }) => row.id)).toEqual([budget.id]);
    for (const id of [sessionId, fork.body.id, again.body.id]) {
      expect((await app.get(`/sessions/${id}/budget-check`)).body).toMatchObject({ action: "stop" });
    }
  });

  test("forks of work that was handed out, and work that forks hand out, count against the budget above", async () => {
    const top = await newSession(app.db);
    const { body: budget } = await create(top);
    const { sql } = app.db;
    // [the session, what it was forked from, who handed it out]
    const below = async (lineage: string[] | null, parents: string[] | null) => {
      const id = await newSession(app.db);
      await sql`update sessions set lineage_ids = ${lineage}::text[], parent_ids = ${parents}::text[],
                       lineage_up_to = ${lineage?.map(() => 1) ?? null}::bigint[],
                       forked_from_session_id = ${lineage?.at(-1) ?? null}, forked_from_sequence = ${lineage ? 1 : null}
                 where id = ${id}`;
      return id;
    };
    const fork = await below([top], null);
    const child = await below(null, [top]);
    const childOfFork = await below(null, [fork]);
    const forkOfChild = await below([child], null);
    const childOfForkOfChild = await below(null, [forkOfChild]);
    for (const id of [fork, child, childOfFork, forkOfChild, childOfForkOfChild]) {
      const listed = (await app.get(`/sessions/${id}/budgets`)).body;
      expect(listed.map((row: { id: string }) => row.id)).toEqual([budget.id]);
    }
  });

  test("a session without a paused budget resumes nothing", async () => {
    const sessionId = await newSession(app.db);
    expect((await app.post(`/sessions/${sessionId}/resume`)).body).toEqual({
      resumed_budgets: 0,
      session_id: sessionId,
    });
  });
});

describe("bad input", () => {
  const session = newId("session");
  const bad: [string, Record<string, unknown>, number, string][] = [
    ["a limit of 0", { limit: 0 }, 400, "limit"],
    ["a limit below 0", { limit: -1 }, 400, "limit"],
    ["a soft limit above the limit", { soft_limit: 3 }, 400, "soft_limit"],
    ["a soft limit of 0", { soft_limit: 0 }, 400, "soft_limit"],
    ["an unknown subject", { subject_type: "planet" }, 400, "subject_type"],
    ["an id of another kind", { subject_id: newId("agent") }, 400, "subject_id"],
    ["a session that does not exist", { subject_id: session }, 404, "subject_id"],
    [
      "another organization",
      { subject_type: "org", subject_id: "org_00000000000000000000000000000009" },
      404,
      "subject_id",
    ],
    ["a currency with spaces", { currency: "US Dollar" }, 400, "currency"],
    ["a period that is none", { period: { type: "rolling", window: "soon" } }, 400, "period"],
    ["a calendar unit that is none", { period: { type: "calendar", unit: "fortnight" } }, 400, "period"],
  ];
  test.each(bad)("%s is refused by name", async (_, fields, status, field) => {
    const answer = await create(await newSession(app.db), fields);
    expect(answer.status).toBe(status);
    expect(answer.body.detail).toContain(field);
  });

  test("only a session's budget can be checked by itself", async () => {
    const { body } = await app.post("/budgets", {
      subject_type: "org",
      subject_id: ORGANIZATION,
      currency: "usd",
      limit: 1,
    });
    expect((await app.get(`/budgets/${body.id}/check`)).status).toBe(400);
    await app.call("DELETE", `/budgets/${body.id}`);
  });

  test("unknown and malformed ids", async () => {
    expect((await app.get(`/budgets/${newId("budget")}`)).status).toBe(404);
    expect((await app.get("/budgets/nonsense")).status).toBe(400);
    expect((await app.post(`/budgets/${newId("budget")}/top-up`, { amount: 1 })).status).toBe(404);
    expect((await app.get(`/sessions/${newId("session")}/budget-check`)).status).toBe(404);
    expect((await app.post(`/sessions/${newId("session")}/resume`)).status).toBe(404);
  });
});
