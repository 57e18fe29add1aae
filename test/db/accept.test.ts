import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { acceptMessage } from "../../src/db/accept.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

describe("accepting a message", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase({ connections: 16 });
  });
  afterAll(() => database.drop());

  const runsOf = (session: string) =>
    database.db.sql<{ id: string; state: string }[]>`
      select id, state from runs where session_id = ${session} order by queued_at, id`;

  test("starts a turn on a session at rest: event, run and status in one go", async () => {
    const session = await newSession(database.db);
    const accepted = await send(database.db, session, "hello");
    expect(accepted).toMatchObject({ outcome: "started", sequence: 1 });
    const events = await readLog(database.db, session);
    expect(events.map((event) => event.type)).toEqual(["input.message", "session.activated"]);
    expect(events.map((event) => event.sequence)).toEqual([1, 2]);
    const [row] = await database.db
      .sql`select status, active_run_id, last_sequence from sessions where id = ${session}`;
    expect(row).toMatchObject({ status: "active", last_sequence: 2 });
    expect(await runsOf(session)).toMatchObject([{ id: row?.active_run_id as string, state: "queued" }]);
  });

  test("I7: messages to many sessions at once start a turn each, and what is handed on is what the log gives back", async () => {
    const sessions = await Promise.all(Array.from({ length: 30 }, () => newSession(database.db)));
    const accepted = await Promise.all(
      sessions.map((sessionId, n) =>
        acceptMessage(database.db, {
          organizationId: ORGANIZATION,
          sessionId,
          message: {
            id: newId("message"),
            role: "user",
            content: [{ type: "text", text: `number ${n} \u0000 ${"\ud800"}\n` }],
            created_at: new Date().toISOString(),
            metadata: { longer: 1, b: [1.5, null], a: "é" },
          },
          controls: n % 2 === 0 ? null : { model_id: "m" },
          metadata: n % 3 === 0 ? null : { zz: 1, y: { bb: 1, a: 2 } },
          tags: n % 4 === 0 ? null : n % 4 === 1 ? [] : ["b", "a", "b"],
          clientMessageId: null,
          delivery: n % 5 === 0 ? null : "queue",
          priority: n,
          preview: `number ${n}`,
        }),
      ),
    );
    for (const [n, session] of sessions.entries()) {
      const one = accepted[n];
      if (one?.outcome !== "started" || !one.log) throw new Error(`${one?.outcome}`);
      const read = await readLog(database.db, session);
      expect(one.log.after).toBe(0);
      expect(one.log.events().map((event) => JSON.stringify(event))).toEqual(
        read.map((event) => JSON.stringify(event)),
      );
      const [run] = await runsOf(session);
      expect(run?.id).toBe(one.turnId);
      const [row] = await database.db
        .sql`select preview, controls, priority from sessions s join runs r on r.session_id = s.id
                                           where s.id = ${session}`;
      expect(row).toMatchObject({
        preview: `number ${n}`,
        priority: n,
        controls: n % 2 === 0 ? null : { model_id: "m" },
      });
    }
  });

  test("joins the running turn of a busy session", async () => {
    const session = await newSession(database.db);
    const first = await send(database.db, session, "one");
    const second = await send(database.db, session, "two");
    expect(second).toMatchObject({ outcome: "steered", sequence: 3 });
    expect(second).toHaveProperty("turnId", (first as { turnId: string }).turnId);
    expect(await runsOf(session)).toHaveLength(1);
  });

  test("writes nothing when the caller wants to be refused", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "one");
    const refused = await send(database.db, session, "two", { delivery: "reject", clientMessageId: "again" });
    expect(refused.outcome).toBe("busy");
    expect(await readLog(database.db, session)).toHaveLength(2);
    const later = await send(database.db, session, "two", { clientMessageId: "again" });
    expect(later.outcome).toBe("steered");
  });

  test("I12: another organization's session does not exist", async () => {
    const session = await newSession(database.db);
    const foreign = await send(database.db, session, "hello", { organizationId: newId("org") });
    expect(foreign).toEqual({ outcome: "not_found" });
    expect(await readLog(database.db, session)).toHaveLength(0);
  });

  test("I3: a thousand sends at once to one session start one run, and none is lost (I10)", async () => {
    const session = await newSession(database.db);
    const outcomes = await Promise.all(
      Array.from({ length: 1000 }, (_, n) => send(database.db, session, `message ${n}`)),
    );
    expect(outcomes.filter((one) => one.outcome === "started")).toHaveLength(1);
    expect(outcomes.filter((one) => one.outcome === "steered")).toHaveLength(999);
    expect(await runsOf(session)).toHaveLength(1);
    const events = await readLog(database.db, session);
    expect(events.map((event) => event.sequence)).toEqual(Array.from({ length: 1001 }, (_, n) => n + 1));
    const texts = events.flatMap((event) =>
      event.type === "input.message"
        ? event.data.message.content.map((part) => (part as { text: string }).text)
        : [],
    );
    expect(new Set(texts).size).toBe(1000);
  });

  test("the same message sent again and at once is accepted once", async () => {
    const session = await newSession(database.db);
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, () => send(database.db, session, "once", { clientMessageId: "key-1" })),
    );
    expect(outcomes.filter((one) => one.outcome === "started")).toHaveLength(1);
    expect(outcomes.filter((one) => one.outcome === "duplicate")).toHaveLength(39);
    expect(new Set(outcomes.map((one) => (one as { messageId: string }).messageId)).size).toBe(1);
    expect(await readLog(database.db, session)).toHaveLength(2);
  });

  test("so is one that joins a turn under way: who did not see the first finds it at a second look", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "begin");
    const sendings = 8;
    // All of them wait for the session with a view from before any of them.
    const sent = await database.db.sql.begin(async (sql) => {
      await sql`select from sessions where id = ${session} for update`;
      const all = Promise.all(
        Array.from({ length: sendings }, () =>
          send(database.db, session, "once", { clientMessageId: "key" }),
        ),
      );
      await until(async () => {
        const waiting = await sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
        return waiting.length === sendings;
      });
      return { all };
    });
    const outcomes = await sent.all;
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([
      ...Array.from({ length: sendings - 1 }, () => "duplicate" as const),
      "steered",
    ]);
    expect(new Set(outcomes.map((one) => (one as { messageId: string }).messageId)).size).toBe(1);
    expect(await readLog(database.db, session)).toHaveLength(3);
  });

  test("text that jsonb refuses is stored readable", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "NUL \0 and a lone surrogate \ud800.");
    const [event] = await readLog(database.db, session);
    expect(JSON.stringify(event)).toContain("NUL \uFFFD and a lone surrogate \uFFFD.");
  });

  describe("cancelling", () => {
    const cancel = (sessionId: string) =>
      cancelTurn(database.db, { organizationId: ORGANIZATION, sessionId, reason: "test", now: new Date() });

    test("ends the turn with the documented events", async () => {
      const session = await newSession(database.db);
      await send(database.db, session, "hello");
      expect(await cancel(session)).toMatchObject({ outcome: "cancelled" });
      const events = await readLog(database.db, session);
      expect(events.map((event) => event.type)).toEqual([
        "input.message",
        "session.activated",
        "turn.cancelled",
        "input.message",
        "output.message.completed",
        "session.idled",
      ]);
      expect(events.map((event) => event.sequence)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(await runsOf(session)).toMatchObject([{ state: "cancelled" }]);
      expect(await send(database.db, session, "next")).toMatchObject({ outcome: "started", sequence: 7 });
    });

    test("does nothing on a session at rest", async () => {
      const session = await newSession(database.db);
      expect(await cancel(session)).toEqual({ outcome: "no_op" });
      expect(await readLog(database.db, session)).toHaveLength(0);
    });

    test("I6: fifty cancels at once end the turn once", async () => {
      const session = await newSession(database.db);
      await send(database.db, session, "hello");
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => cancel(session)));
      expect(outcomes.filter((one) => one.outcome === "cancelled")).toHaveLength(1);
      const events = await readLog(database.db, session);
      expect(events.filter((event) => event.type === "turn.cancelled")).toHaveLength(1);
    });

    test("a session that does not exist is told apart", async () => {
      expect(await cancel(newId("session"))).toEqual({ outcome: "not_found" });
    });
  });
});
