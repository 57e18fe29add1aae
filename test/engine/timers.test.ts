import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { dueWaits, settleWaits } from "../../src/db/waits.ts";
import { endingOf } from "../../src/engine/alarm.ts";
import { isIdle, logOnce, newSession, readLog, send, turnsEnded } from "../support/sessions.ts";
import { completedCalls, parkDirectly, startWaiting, typesOf, type Waiting } from "../support/waiting.ts";

describe("a timer", () => {
  let it: Waiting;
  const capabilities = [{ ref: "timer" }, { ref: "tool_approval" }];
  const wait = (seconds: number) => ({ name: "wait", arguments: { seconds } });
  beforeAll(async () => {
    it = await startWaiting();
  });
  afterAll(() => it.close());
  const ending = (session: string) => logOnce(it.app.db, session, isIdle);

  test("holds no worker and leaves the session active; it fires after every worker was replaced", async () => {
    const { session } = await it.waiting([wait(30 * 24 * 3600)], { capabilities });
    expect(await it.status(session)).toBe("active");
    expect(await it.run(session)).toMatchObject({ state: "waiting", waiting_on: "timer", lease_owner: null });
    expect(typesOf(await readLog(it.app.db, session))).not.toContain("tool.call_requested");
    await it.engine.stop();
    await it.app.db.sql`update waits set requested_at = requested_at - interval '30 days', expires_at = now()
                         where session_id = ${session}`;
    it.engine = await it.startEngine();
    const log = await ending(session);
    expect(completedCalls(log)).toMatchObject([{ success: true, tool_name: "wait", display_name: "Wait" }]);
    expect(JSON.stringify(completedCalls(log)[0]?.result)).toMatch(/Waited 2592\d\d\d s\. It is 2\d{3}-/);
    expect(typesOf(log).filter((type) => type === "act.completed")).toHaveLength(1);
  });

  test("fires by itself", async () => {
    const { session } = await it.waiting([wait(1)], { capabilities });
    const log = await ending(session);
    const [call] = completedCalls(log);
    expect(call?.success).toBe(true);
    expect(call?.duration_ms).toBeGreaterThanOrEqual(1000);
  });

  test("several at once: the run goes on when the last has fired", async () => {
    const { session, callIds } = await it.waiting([wait(3600), wait(7200), { name: "look" }], {
      capabilities,
    });
    const { sql } = it.app.db;
    await sql`update waits set expires_at = now() where tool_call_id = ${callIds[0] as string}`;
    await logOnce(it.app.db, session, (log) => completedCalls(log).length === 2);
    expect(await it.run(session)).toMatchObject({ state: "waiting" });
    await sql`update waits set expires_at = now() where tool_call_id = ${callIds[1] as string}`;
    const log = await ending(session);
    expect(log.find((event) => event.type === "act.completed")?.data).toMatchObject({ success_count: 3 });
  });

  test("a message wakes the agent", async () => {
    const { session } = await it.waiting([wait(3600)], { capabilities });
    expect(await send(it.app.db, session, "Are you there?")).toMatchObject({ outcome: "resumed" });
    it.engine.hint();
    const log = await ending(session);
    expect(completedCalls(log)).toMatchObject([{ status: "cancelled" }]);
  });

  test("does not keep an approved call from running", async () => {
    const { session } = await it.waiting([wait(3600), { name: "charge", arguments: {} }], { capabilities });
    const [approval] = (await it.app.get(`/approvals?session_id=${session}`)).body.data;
    await it.app.post(`/approvals/${approval.id}`, { decision: "allow" });
    it.engine.hint();
    const log = await logOnce(it.app.db, session, (events) => completedCalls(events).length === 1);
    expect(completedCalls(log)).toMatchObject([{ tool_name: "charge", success: true }]);
    for (;;) {
      if ((await it.run(session)).state === "waiting") break;
      await Bun.sleep(2);
    }
    expect(await it.run(session)).toMatchObject({ waiting_on: "timer" });
    await it.app.db
      .sql`update waits set expires_at = now() where session_id = ${session} and status = 'pending'`;
    const whole = await ending(session);
    expect(typesOf(whole).filter((type) => type === "act.completed")).toHaveLength(1);
    expect(whole.find((event) => event.type === "act.completed")?.data).toMatchObject({ success_count: 2 });
  });

  test("what is due is ended once, however many look at it", async () => {
    await it.engine.stop();
    const { db } = it.app;
    const sessions = [];
    for (let n = 0; n < 20; n += 1) {
      const session = await newSession(db);
      sessions.push(session);
      await parkDirectly(db, session, [
        { kind: "timer", toolCallId: `call_${n}`, toolName: "wait", timeoutMs: 0 },
      ]);
    }
    const look = async () => {
      const due = await dueWaits(db, 50);
      return settleWaits(
        db.sql,
        due.map((one) => endingOf(one, new Date(0))),
        { onlyDue: true },
      );
    };
    const settled = (await Promise.all([look(), look(), look(), look()])).flat();
    const rest = await look();
    expect([...settled, ...rest].map((run) => run.sessionId).sort()).toEqual([...sessions].sort());
    for (const session of sessions) expect(completedCalls(await readLog(db, session))).toHaveLength(1);
    it.engine = await it.startEngine();
  });

  test("a wait that is not due is left alone, also when its id is known", async () => {
    const { db } = it.app;
    const session = await newSession(db);
    const runId = await parkDirectly(db, session, [
      { kind: "timer", toolCallId: "call_1", toolName: "wait" },
    ]);
    const due = { runId, sessionId: session, kind: "timer", toolCallId: "call_1", seconds: 1 } as const;
    expect(await settleWaits(db.sql, [endingOf(due, new Date(0))], { onlyDue: true })).toEqual([]);
    expect(turnsEnded(await readLog(db, session))).toBe(0);
    await it.app.post(`/sessions/${session}/cancel`);
  });

  test("subagents and budgets: a run that waits for them is queued again when they are settled", async () => {
    await it.engine.stop();
    const { db } = it.app;
    for (const kind of ["subagent", "budget"] as const) {
      const session = await newSession(db);
      const toolCallId = kind === "budget" ? "" : "call_1";
      const runId = await parkDirectly(
        db,
        session,
        [{ kind, toolCallId, timeoutMs: null }],
        kind === "budget" ? null : undefined,
      );
      expect(await it.run(session)).toMatchObject({ state: "waiting", waiting_on: kind });
      // A message joins the turn; it does not end what the run waits for.
      expect(await send(db, session, "More.")).toMatchObject({ outcome: "steered", turnId: runId });
      expect(await it.run(session)).toMatchObject({ state: "waiting", waiting_on: kind });
      const wait = { runId, sessionId: session, kind, toolCallId, seconds: 1 };
      expect(await settleWaits(db.sql, [endingOf(wait, new Date(0))])).toMatchObject([{ isResumed: true }]);
      expect(await it.run(session)).toMatchObject({ state: "queued", waiting_on: null });
      const types = typesOf(await readLog(db, session));
      expect(types.includes("tool.completed")).toBe(kind === "subagent");
      await it.app.post(`/sessions/${session}/cancel`);
    }
    it.engine = await it.startEngine();
  });

  test("the rows of a run that ended are closed when they are due", async () => {
    const { db } = it.app;
    const session = await newSession(db);
    await parkDirectly(db, session, [
      { kind: "timer", toolCallId: "call_1", toolName: "wait", timeoutMs: 0 },
    ]);
    await it.app.post(`/sessions/${session}/cancel`);
    await db.sql`update waits set status = 'pending', decided_at = null where session_id = ${session}`;
    for (;;) {
      const [row] = await db.sql`select status from waits where session_id = ${session}`;
      if (row?.status === "cancelled") break;
      await Bun.sleep(10);
    }
    expect(completedCalls(await readLog(db, session))).toEqual([]);
  });
});
