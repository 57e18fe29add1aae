/** Budgets under parallel calls, on a real database. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { BUDGET_SUBJECTS } from "../../src/contract/budget.ts";
import {
  releaseStaleReservations,
  reserveBudgets,
  settleBudgets,
} from "../../src/db/budgets/budget-meter.ts";
import {
  type BudgetRow,
  budgetsOfSession,
  findBudget,
  insertBudget,
  listLedger,
  resumeBudgets,
  topUpBudget,
  updateBudget,
} from "../../src/db/budgets/budgets.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION } from "../support/sessions.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

const budgetFor = async (
  sessionId: string,
  fields: Partial<Parameters<typeof insertBudget>[1]> = {},
): Promise<BudgetRow> =>
  insertBudget(database.db, {
    organizationId: ORGANIZATION,
    subjectType: "session",
    subjectId: sessionId,
    currency: "usd",
    limit: 1,
    softLimit: null,
    period: null,
    metadata: null,
    ...fields,
  });

const reserve = (sessionId: string, runId: string, usd: number) =>
  reserveBudgets(database.db, {
    organizationId: ORGANIZATION,
    sessionId,
    runId,
    cost: { usd, tokens: usd * 1_000 },
  });

const settle = (sessionId: string, runId: string, usd: number, refId = `${runId}:reason:1:1`) =>
  settleBudgets(database.db, {
    runId,
    sessionId,
    refId,
    cost: { usd, tokens: usd * 1_000 },
    description: "a-model",
  });

const stored = async (id: string) => (await findBudget(database.db, ORGANIZATION, id)) as BudgetRow;

describe("reserve before the call, settle after", () => {
  test("fifty calls at once on a budget of one dollar overshoot it by at most one call", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const cost = 0.07;
    let letThrough = 0;
    const caller = async () => {
      const runId = newId("turn");
      for (;;) {
        const [answer] = await reserve(sessionId, runId, cost);
        if (answer?.action === "stop") return;
        if (answer?.action === "wait") continue;
        letThrough += 1;
        await settle(sessionId, runId, cost);
        return;
      }
    };
    await Promise.all(Array.from({ length: 50 }, caller));

    const after = await stored(budget.id);
    const entries = await listLedger(database.db, {
      organizationId: ORGANIZATION,
      id: budget.id,
      offset: 0,
      limit: 500,
    });
    expect(letThrough).toBe(15);
    expect(entries).toHaveLength(15);
    expect(1 - after.balance).toBeCloseTo(15 * cost, 9);
    expect(1 - after.balance).toBeLessThanOrEqual(1 + cost);
    expect(after.reserved).toBeCloseTo(0, 9);
    expect(after.status).toBe("exhausted");
  });

  test("a call that is let through holds what it may cost until it is settled", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const [first, second] = [newId("turn"), newId("turn")];
    expect((await reserve(sessionId, first, 1.5))[0]?.action).toBe("continue");
    expect((await reserve(sessionId, second, 0.1))[0]?.action).toBe("wait");
    expect((await stored(budget.id)).reserved).toBe(1.5);
    await settle(sessionId, first, 0.25);
    expect(await stored(budget.id)).toMatchObject({ reserved: 0, balance: 0.75 });
    expect((await reserve(sessionId, second, 0.1))[0]?.action).toBe("continue");
  });

  test("a run that reserves again holds its newest reservation alone", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.6);
    await reserve(sessionId, runId, 0.2);
    expect((await stored(budget.id)).reserved).toBeCloseTo(0.2, 9);
  });

  test("the same call is debited once, however often it is settled", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.3);
    await Promise.all([settle(sessionId, runId, 0.3), settle(sessionId, runId, 0.3)]);
    await reserve(sessionId, runId, 0.3);
    await settle(sessionId, runId, 0.3);
    expect(await stored(budget.id)).toMatchObject({ balance: 0.7, reserved: 0 });
  });

  test("a call that failed costs nothing and lets go of what it held", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.3);
    await settle(sessionId, runId, 0);
    expect(await stored(budget.id)).toMatchObject({ balance: 1, reserved: 0 });
  });

  test("of several budgets the strictest decides, and none is reserved with when one says no", async () => {
    const sessionId = await newSession(database.db);
    const roomy = await budgetFor(sessionId, { limit: 100 });
    const tokens = await budgetFor(sessionId, { currency: "tokens", limit: 50 });
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.1);
    await settle(sessionId, runId, 0.1);
    const answers = await reserve(sessionId, newId("turn"), 0.1);
    expect(new Map(answers.map((answer) => [answer.id, answer.action]))).toEqual(
      new Map([
        [roomy.id, "continue"],
        [tokens.id, "stop"],
      ]),
    );
    expect((await stored(roomy.id)).reserved).toBe(0);
  });

  test("what a run reserved that is not running any more is let go of", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    await reserve(sessionId, newId("turn"), 0.4);
    expect((await stored(budget.id)).reserved).toBe(0.4);
    await releaseStaleReservations(database.db, 100);
    expect((await stored(budget.id)).reserved).toBe(0);
  });

  test("a budget of another organization's session does not count, and a removed or disabled one neither", async () => {
    const sessionId = await newSession(database.db);
    const removed = await budgetFor(sessionId);
    await database.db.sql`update budgets set deleted_at = now() where id = ${removed.id}`;
    const disabled = await budgetFor(sessionId);
    await updateBudget(database.db, {
      organizationId: ORGANIZATION,
      id: disabled.id,
      status: "disabled",
      limit: undefined,
      softLimit: undefined,
      metadata: undefined,
    });
    expect(await reserve(sessionId, newId("turn"), 5)).toEqual([]);
    expect((await budgetsOfSession(database.db, ORGANIZATION, sessionId)).map((row) => row.id)).toEqual([
      disabled.id,
    ]);
  });
});

describe("limits that a person decides about", () => {
  test("past the soft limit calls pause, a resume lets them go on to the hard limit", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId, { softLimit: 0.5 });
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.6);
    await settle(sessionId, runId, 0.6);
    expect((await reserve(sessionId, runId, 0.1))[0]?.action).toBe("pause");
    expect((await stored(budget.id)).status).toBe("paused");
    const resumed = await resumeBudgets(database.db, {
      organizationId: ORGANIZATION,
      sessionId,
      subjects: BUDGET_SUBJECTS,
    });
    expect(resumed?.map((row) => row.status)).toEqual(["active"]);
    expect((await reserve(sessionId, runId, 0.4))[0]?.action).toBe("continue");
    await settle(sessionId, runId, 0.4, `${runId}:reason:2:1`);
    expect((await reserve(sessionId, runId, 0.1))[0]?.action).toBe("stop");
  });

  test("a top-up adds to what is left and wakes an exhausted budget", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId);
    const runId = newId("turn");
    await reserve(sessionId, runId, 1);
    await settle(sessionId, runId, 1.25);
    expect((await reserve(sessionId, runId, 0.1))[0]?.action).toBe("stop");
    const topped = await topUpBudget(database.db, {
      organizationId: ORGANIZATION,
      id: budget.id,
      amount: 2,
      description: "more",
    });
    expect(topped).toMatchObject({ balance: 1.75, status: "active" });
    expect((await reserve(sessionId, runId, 0.1))[0]?.action).toBe("continue");
  });

  test("a warning is given once, when a fifth is left", async () => {
    const sessionId = await newSession(database.db);
    await budgetFor(sessionId);
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.85);
    expect((await settle(sessionId, runId, 0.85))[0]?.action).toBe("warn");
    expect((await reserve(sessionId, runId, 0.01))[0]?.action).toBe("continue");
  });
});

describe("periods", () => {
  const age = (budget: BudgetRow, seconds: number) =>
    database.db.sql`
      with aged as (update budget_ledger set created_at = created_at - ${seconds} * interval '1 second'
                     where budget_id = ${budget.id})
      update budgets set period_started_at = period_started_at - ${seconds} * interval '1 second' where id = ${budget.id}`;

  test("a duration begins anew with a full balance", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId, { period: { type: "duration", seconds: 3_600 } });
    const runId = newId("turn");
    await reserve(sessionId, runId, 1);
    await settle(sessionId, runId, 1);
    expect((await stored(budget.id)).status).toBe("exhausted");
    await age(budget, 3_601);
    expect(await stored(budget.id)).toMatchObject({ status: "active", balance: 1 });
    expect((await reserve(sessionId, runId, 0.2))[0]).toMatchObject({ action: "continue", balance: 1 });
  });

  test("a rolling window gives back what has left it, once", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId, { period: { type: "rolling", window: "5h" } });
    const runId = newId("turn");
    await reserve(sessionId, runId, 0.4);
    await settle(sessionId, runId, 0.4);
    await age(budget, 4 * 3_600);
    await reserve(sessionId, runId, 0.5);
    await settle(sessionId, runId, 0.5, `${runId}:reason:2:1`);
    expect((await stored(budget.id)).balance).toBeCloseTo(0.1, 9);
    await age(budget, 3_601);
    expect((await stored(budget.id)).balance).toBeCloseTo(0.5, 9);
    const runs = Array.from({ length: 8 }, () => newId("turn"));
    await Promise.all(runs.map((run) => reserve(sessionId, run, 0.001)));
    expect((await stored(budget.id)).balance).toBeCloseTo(0.5, 9);
  });

  test("a calendar period begins with its unit, in UTC", async () => {
    const sessionId = await newSession(database.db);
    const budget = await budgetFor(sessionId, { period: { type: "calendar", unit: "day" } });
    const runId = newId("turn");
    await reserve(sessionId, runId, 1);
    await settle(sessionId, runId, 1);
    await age(budget, 86_400);
    const now = await stored(budget.id);
    expect(now).toMatchObject({ balance: 1, status: "active" });
    expect(now.period_started_at.toISOString().slice(11)).toBe("00:00:00.000Z");
  });
});
