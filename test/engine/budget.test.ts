/** Turns under budgets: sealed, paused, resumed, and many at once. A real worker, a real database, the routes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { isIdle, logOnce, newSession, readLog, send } from "../support/sessions.ts";

let app: TestApp;
let engine: TestEngine;
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
  engine = await startEngine({ address: app.db.address }, { concurrency: 8 });
});
afterAll(async () => {
  await engine.stop();
  await app.close();
});

const budget = async (subjectId: string, fields: Record<string, unknown>, subjectType = "session") => {
  const made = await app.post("/budgets", {
    subject_type: subjectType,
    subject_id: subjectId,
    currency: "tokens",
    ...fields,
  });
  expect(made.status).toBe(201);
  return made.body as { id: string };
};
const say = async (sessionId: string, text = "hello") => {
  const sent = await send(app.db, sessionId, text);
  engine.hint();
  return sent;
};
const turn = async (sessionId: string) => {
  await say(sessionId);
  return logOnce(app.db, sessionId, isIdle);
};
const types = async (sessionId: string) => (await readLog(app.db, sessionId)).map((event) => event.type);
const read = async (id: string) => (await app.get(`/budgets/${id}`)).body;
const isPaused = (log: readonly { type: string }[]) => log.at(-1)?.type === "budget.paused";

describe("the hard limit", () => {
  test("one call overshoots it; the next turn is sealed before it calls the model (I6)", async () => {
    const sessionId = await newSession(app.db);
    const { id } = await budget(sessionId, { limit: 1 });
    const first = await turn(sessionId);
    expect(first.map((event) => event.type)).toContain("turn.completed");
    expect(first.find((event) => event.type === "budget.exhausted")?.data).toMatchObject({
      budget_id: id,
      limit: 1,
    });
    const spent = 1 - (await read(id)).balance;
    expect(spent).toBeGreaterThan(1);
    const usage = first.findLast((event) => event.type === "turn.completed")?.data.usage;
    expect(spent).toBe((usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0));

    const second = (await turn(sessionId)).slice(first.length);
    expect(second.map((event) => event.type)).toEqual([
      "input.message",
      "session.activated",
      "turn.started",
      "budget.exhausted",
      "turn.sealed",
      "session.idled",
    ]);
    expect(second.find((event) => event.type === "turn.sealed")?.data).toMatchObject({ reason: "budget" });
    expect(await read(id)).toMatchObject({ status: "exhausted", reserved: 0 });
  });

  test("a session without a budget writes no ledger and no event about one", async () => {
    const sessionId = await newSession(app.db);
    const log = await turn(sessionId);
    expect(log.filter((event) => event.type.startsWith("budget."))).toEqual([]);
    expect(await app.db.sql`select from budget_ledger where session_id = ${sessionId}`).toHaveLength(0);
  });
});

describe("the soft limit", () => {
  test("pauses the turn without a slot; a resume lets the same turn go on", async () => {
    const sessionId = await newSession(app.db);
    const { id } = await budget(sessionId, { limit: 1_000_000, soft_limit: 1 });
    await turn(sessionId);
    await say(sessionId, "and more");
    await logOnce(app.db, sessionId, isPaused);
    const [run] = await app.db.sql`
      select state, waiting_on, lease_owner from runs where session_id = ${sessionId} order by queued_at desc limit 1`;
    expect(run).toMatchObject({ state: "waiting", waiting_on: "budget", lease_owner: null });
    expect((await app.get(`/sessions/${sessionId}`)).body).toMatchObject({ status: "idle", paused: true });

    const resumed = await app.post(`/sessions/${sessionId}/resume`);
    expect(resumed.body).toEqual({ resumed_budgets: 1, session_id: sessionId });
    engine.hint();
    const log = await logOnce(app.db, sessionId, isIdle);
    const after = log.map((event) => event.type);
    expect(after.slice(after.indexOf("budget.paused"))).toContain("budget.resumed");
    expect(after.filter((type) => type === "turn.completed")).toHaveLength(2);
    expect(after.filter((type) => type === "turn.started")).toHaveLength(2);
    expect(await read(id)).toMatchObject({ status: "active", reserved: 0 });
    expect((await app.get(`/sessions/${sessionId}`)).body.paused).toBeUndefined();
  });

  test("so does a top-up, a raised limit and the budget's removal; a message that came meanwhile is seen", async () => {
    const openings: ((id: string) => Promise<unknown>)[] = [
      (id) => app.post(`/budgets/${id}/top-up`, { amount: 500_000 }),
      (id) => app.call("PATCH", `/budgets/${id}`, { soft_limit: null, status: "active" }),
      (id) => app.call("DELETE", `/budgets/${id}`),
    ];
    await Promise.all(
      openings.map(async (open) => {
        const sessionId = await newSession(app.db);
        const { id } = await budget(sessionId, { limit: 1_000_000, soft_limit: 1 });
        await turn(sessionId);
        await say(sessionId, "and more");
        await logOnce(app.db, sessionId, isPaused);
        expect((await send(app.db, sessionId, "one more thing")).outcome).toBe("steered");
        await open(id);
        engine.hint();
        await logOnce(app.db, sessionId, isIdle);
        const log = await types(sessionId);
        expect(log.filter((type) => type === "turn.completed")).toHaveLength(2);
      }),
    );
  });

  test("a paused turn can be cancelled", async () => {
    const sessionId = await newSession(app.db);
    await budget(sessionId, { limit: 1_000_000, soft_limit: 1 });
    await turn(sessionId);
    await say(sessionId);
    await logOnce(app.db, sessionId, isPaused);
    await cancelTurn(app.db, { organizationId: ORGANIZATION, sessionId, reason: "test", now: new Date() });
    const log = await types(sessionId);
    expect(log.filter((type) => type === "turn.cancelled")).toHaveLength(1);
    expect((await app.get(`/sessions/${sessionId}`)).body).toMatchObject({ status: "idle" });
  });
});

test("thirty sessions at once on the budget of one user: all end, what they overshoot is one call at most", async () => {
  const owner = `principal_${newId("x").slice(2)}`;
  const sessions = await Promise.all(Array.from({ length: 30 }, () => newSession(app.db)));
  await app.db.sql`update sessions set owner_principal_id = ${owner} where id = any (${sessions})`;
  const { id } = await budget(owner, { limit: 300 }, "user");
  await Promise.all(sessions.map((sessionId) => say(sessionId)));
  const logs = await Promise.all(sessions.map((sessionId) => logOnce(app.db, sessionId, isIdle)));
  const ends = logs.map((log) => log.find((event) => /^turn\.(completed|sealed)$/.test(event.type))?.type);
  expect(ends.filter((type) => type === undefined)).toEqual([]);
  expect(new Set(ends)).toEqual(new Set(["turn.completed", "turn.sealed"]));
  const entries = (await app.get(`/budgets/${id}/ledger?limit=500`)).body as { amount: number }[];
  expect(entries).toHaveLength(ends.filter((type) => type === "turn.completed").length);
  const after = await read(id);
  const largest = Math.max(...entries.map((entry) => entry.amount));
  expect(300 - after.balance).toBeLessThan(300 + largest);
  expect(after.reserved).toBe(0);
});
