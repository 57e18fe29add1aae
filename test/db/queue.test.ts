/** The four delivery rules on a busy session, and the queue, on the database alone and with many at once. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { DELIVERIES, type Delivery, textOf } from "../../src/contract/message.ts";
import { cancelTurn } from "../../src/db/cancel.ts";
import { claimRuns } from "../../src/db/claim.ts";
import { editQueued, listQueue, promoteNext, sessionsToPromote, withdrawQueued } from "../../src/db/queue.ts";
import { createWriter, type LeaseRef, type Writer } from "../../src/db/writer.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

let database: TestDatabase;
let writer: Writer;
beforeAll(async () => {
  database = await testDatabase({ connections: 16 });
  writer = createWriter({ db: database.db, onWritten: () => {} });
});
afterAll(() => database.drop());

const sent = async (session: string, text: string, delivery: Delivery, key?: string) => {
  const accepted = await send(database.db, session, text, {
    delivery,
    ...(key === undefined ? {} : { clientMessageId: key }),
  });
  if (!("messageId" in accepted)) throw new Error(`${text} was ${accepted.outcome}`);
  return accepted;
};
const cancel = (sessionId: string) =>
  cancelTurn(database.db, { organizationId: ORGANIZATION, sessionId, reason: "test", now: new Date() });
const queueOf = async (sessionId: string) =>
  (await listQueue(database.db, { organizationId: ORGANIZATION, sessionId })).map((row) =>
    textOf(row.message.content),
  );
const promote = (session: string) => promoteNext(database.db.sql, [session]);
const typesOf = (events: readonly Event[]) => events.map((event) => event.type);
const inputsOf = (events: readonly Event[]) =>
  events.flatMap((event) => (event.type === "input.message" ? [textOf(event.data.message.content)] : []));
const ref = (sessionId: string, messageId: string) => ({
  organizationId: ORGANIZATION,
  sessionId,
  messageId,
});

/** Takes up the session's run as a worker does. */
async function leased(session: string): Promise<LeaseRef> {
  const runs = await claimRuns(database.db, { workerId: "worker-test", slots: 1000, leaseMs: 60_000 });
  const run = runs.find((one) => one.session_id === session);
  if (!run) throw new Error("the run was not claimed");
  return { runId: run.id, sessionId: session, epoch: run.lease_epoch };
}

/** Ends the session's run as a worker does that dies before it promotes. */
async function end(session: string, state: "completed" | "failed" | "sealed"): Promise<void> {
  const lease = await leased(session);
  const ending = { type: "session.idled" as const, data: { turn_id: lease.runId } };
  const written = await writer.write(lease, {
    events: [],
    ending: {
      state,
      events: [ending],
      errorCode: null,
      error: null,
      finalMessageId: null,
      outputPreview: null,
      seenInputSequence: null,
    },
  });
  expect(written.isEnded).toBe(true);
}

/** I1, I3, and that counters, queue and log agree. */
async function expectSound(session: string): Promise<void> {
  const { sql } = database.db;
  const events = await readLog(database.db, session);
  expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));
  const [row] = await sql`
    select s.active_run_id, s.queue_length, s.last_sequence,
           (select count(*) from queued_messages where session_id = s.id) as waiting,
           (select array_agg(id) from runs where session_id = s.id and finished_at is null) as alive
      from sessions s where s.id = ${session}`;
  expect(row?.queue_length).toBe(row?.waiting);
  expect(row?.last_sequence).toBe(events.length);
  expect(row?.alive ?? []).toEqual(row?.active_run_id === null ? [] : [row?.active_run_id]);
}

describe("a message on a busy session", () => {
  test("waits for its own turn with `queue`, and is no part of the conversation until then", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "queue");
    const second = await sent(session, "two", "queue");
    const third = await sent(session, "three", "queue");
    expect([second, third]).toMatchObject([
      { outcome: "queued", position: 1, sequence: 3, isPromoted: false },
      { outcome: "queued", position: 2, sequence: 4, isPromoted: false },
    ]);
    expect(await queueOf(session)).toEqual(["two", "three"]);
    const events = await readLog(database.db, session);
    expect(inputsOf(events)).toEqual(["one"]);
    expect(events.at(-1)).toMatchObject({
      type: "input.queued",
      context: { turn_id: third.turnId },
      data: { turn_id: third.turnId, queue_position: 2, message: { id: third.messageId } },
    });
    expect(await promote(session)).toEqual([]);
    await expectSound(session);
  });

  test("takes the running turn's place with `interrupt`, in one go, and the session does not come to rest", async () => {
    const session = await newSession(database.db);
    const first = await sent(session, "one", "steer");
    const lease = await leased(session);
    const second = await sent(session, "two", "interrupt");
    expect(second).toMatchObject({ outcome: "started", interruptedTurnId: first.turnId });
    expect(typesOf(await readLog(database.db, session))).toEqual([
      "input.message",
      "session.activated",
      "turn.cancelled",
      "input.message",
      "output.message.completed",
      "input.message",
      "session.activated",
    ]);
    expect(await writer.write(lease, { events: [] }).catch((error) => error.constructor.name)).toBe(
      "LeaseLostError",
    );
    await expectSound(session);
  });

  test("starts at once on a session at rest, whatever the rule", async () => {
    for (const delivery of DELIVERIES) {
      const session = await newSession(database.db);
      expect(await sent(session, "one", delivery)).toMatchObject({ outcome: "started", sequence: 1 });
    }
  });

  test("goes by the request, then the session, then the agent, then `steer`", async () => {
    const { sql } = database.db;
    const agent = newId("agent");
    await sql`insert into agents (id, organization_id, harness_id, name, system_prompt, default_delivery)
              values (${agent}, ${ORGANIZATION}, 'harness_00000000000000000000000000000002', ${agent.slice(6, 30)}, 'x',
                      'queue')`;
    const outcomes = [];
    for (const [ofAgent, ofSession, ofRequest] of [
      [null, null, null],
      [agent, null, null],
      [agent, "interrupt", null],
      [agent, "interrupt", "steer"],
    ] as const) {
      const session = await newSession(database.db);
      await sql`update sessions set agent_id = ${ofAgent}, default_delivery = ${ofSession} where id = ${session}`;
      await send(database.db, session, "one");
      outcomes.push((await send(database.db, session, "two", { delivery: ofRequest })).outcome);
    }
    expect(outcomes).toEqual(["steered", "queued", "started", "steered"]);
  });

  test("sent again under its name is a duplicate: in the queue, after its promotion, and when it was withdrawn", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "steer");
    const [second, third] = [
      await sent(session, "two", "queue", "k2"),
      await sent(session, "three", "queue", "k3"),
    ];
    const again = async (key: string) => sent(session, "again", "interrupt", key);
    const first = { outcome: "duplicate", messageId: second.messageId, turnId: second.turnId, sequence: 3 };
    expect(await again("k2")).toEqual(first as never);
    await end(session, "completed");
    expect(await promote(session)).toEqual([{ sessionId: session, turnId: second.turnId }]);
    expect(await again("k2")).toEqual(first as never);
    await withdrawQueued(database.db, ref(session, third.messageId));
    expect(await again("k3")).toMatchObject({ outcome: "duplicate", messageId: third.messageId });
    await sent(session, "four", "interrupt", "k4");
    expect(await again("k4")).toMatchObject({ outcome: "duplicate" });
    await expectSound(session);
  });

  test("the queue is bounded", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "steer");
    for (let n = 0; n < limits.queuedMessagesMax; n += 1) await sent(session, `${n}`, "queue");
    const before = await readLog(database.db, session);
    expect(await send(database.db, session, "more", { delivery: "queue" })).toEqual({
      outcome: "queue_full",
    });
    expect(await readLog(database.db, session)).toEqual(before);
  });
});

describe("the queue moves on", () => {
  for (const state of ["completed", "failed", "sealed", "cancelled"] as const) {
    test(`after a turn that was ${state}, in order, once, although its worker died before it could do it`, async () => {
      const session = await newSession(database.db);
      await sent(session, "one", "steer");
      const [second, third] = [await sent(session, "two", "queue"), await sent(session, "three", "queue")];
      for (const next of [second, third]) {
        if (state === "cancelled") expect(await cancel(session)).toMatchObject({ outcome: "cancelled" });
        else await end(session, state);
        expect(await sessionsToPromote(database.db, 1000)).toContain(session);
        const promoted = (await Promise.all(Array.from({ length: 10 }, () => promote(session)))).flat();
        expect(promoted).toEqual([{ sessionId: session, turnId: next.turnId }]);
        expect(await sessionsToPromote(database.db, 1000)).not.toContain(session);
        expect((await readLog(database.db, session)).slice(-3)).toMatchObject([
          { type: "input.promoted", data: { message_id: next.messageId, turn_id: next.turnId } },
          {
            type: "input.message",
            data: { message: { id: next.messageId } },
            context: { turn_id: next.turnId },
          },
          { type: "session.activated", data: { turn_id: next.turnId, input_message_id: next.messageId } },
        ]);
        await expectSound(session);
      }
      expect(await queueOf(session)).toEqual([]);
    });
  }

  test("what asks to queue while the session rests for a moment goes behind what waits already", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "steer");
    const second = await sent(session, "two", "queue");
    await end(session, "completed");
    expect(await sent(session, "three", "queue")).toMatchObject({
      outcome: "queued",
      position: 2,
      isPromoted: true,
    });
    expect(await queueOf(session)).toEqual(["three"]);
    const [row] = await database.db.sql`select active_run_id from sessions where id = ${session}`;
    expect(row?.active_run_id).toBe(second.turnId);
    await expectSound(session);
  });

  test("with what was edited and without what was withdrawn; both are refused once the turn has begun", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "steer");
    const [second, third] = [await sent(session, "two", "queue"), await sent(session, "three", "queue")];
    const change = { content: [{ type: "text" as const, text: "drei" }], preview: "drei" };
    expect(await editQueued(database.db, ref(session, third.messageId), change)).toMatchObject({ place: 2 });
    expect(await withdrawQueued(database.db, ref(session, second.messageId))).toBe("withdrawn");
    expect(await withdrawQueued(database.db, ref(session, second.messageId))).toBe("not_found");
    await end(session, "completed");
    expect(await promote(session)).toMatchObject([{ turnId: third.turnId }]);
    expect(inputsOf(await readLog(database.db, session)).at(-1)).toBe("drei");
    expect(await editQueued(database.db, ref(session, third.messageId), change)).toBe("promoted");
    expect(await withdrawQueued(database.db, ref(session, third.messageId))).toBe("promoted");
    const foreign = { ...ref(session, third.messageId), organizationId: newId("org") };
    expect(await withdrawQueued(database.db, foreign)).toBe("not_found");
    await expectSound(session);
  });
});

describe("many at once", () => {
  test("I3, I10: a thousand sends of all four kinds leave one active run and lose nothing", async () => {
    const session = await newSession(database.db);
    const deliveries = Array.from({ length: 1000 }, (_, n): Delivery => {
      if (n % 20 === 0) return "interrupt";
      if (n % 20 === 1) return "queue";
      return n % 3 === 0 ? "reject" : "steer";
    });
    const outcomes = await Promise.all(
      deliveries.map((delivery, n) => send(database.db, session, `m${n}`, { delivery })),
    );
    await expectSound(session);
    const events = await readLog(database.db, session);
    const [inputs, waiting] = [new Set(inputsOf(events)), new Set(await queueOf(session))];
    for (const [n, accepted] of outcomes.entries()) {
      const isRefused = accepted.outcome === "busy";
      expect([deliveries[n], isRefused && deliveries[n] !== "reject"]).toEqual([deliveries[n], false]);
      expect([`m${n}`, inputs.has(`m${n}`)]).toEqual([`m${n}`, !isRefused && accepted.outcome !== "queued"]);
      expect([`m${n}`, waiting.has(`m${n}`)]).toEqual([`m${n}`, accepted.outcome === "queued"]);
    }
    const started = outcomes.filter((one) => one.outcome === "started");
    expect(events.filter((event) => event.type === "session.activated")).toHaveLength(started.length);
    // I6: of every turn but the last one event says that it ended.
    expect(events.filter((event) => event.type === "turn.cancelled")).toHaveLength(started.length - 1);
  });

  test("the same queued message sent forty times at once waits once", async () => {
    const session = await newSession(database.db);
    await sent(session, "one", "steer");
    const outcomes = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        sent(session, "once", (["queue", "interrupt", "steer"] as const)[n % 3] ?? "queue", "key"),
      ),
    );
    expect(outcomes.filter((one) => one.outcome !== "duplicate")).toHaveLength(1);
    expect(new Set(outcomes.map((one) => one.messageId)).size).toBe(1);
    await expectSound(session);
  });

  test("any race of sends, edits, withdrawals, ends, cancels and promotions keeps every message in one place", async () => {
    const action = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("queue", "interrupt", "steer", "reject") },
      { weight: 3, arbitrary: fc.constantFrom("promote", "cancel", "end", "edit", "withdraw") },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(action, { minLength: 1, maxLength: 8 }), { maxLength: 5 }),
        async (rounds) => {
          const session = await newSession(database.db);
          const accepted = new Map<string, string>();
          const withdrawn = new Set<string>();
          let n = 0;
          const act = async (name: string): Promise<void> => {
            const [head] = await listQueue(database.db, { organizationId: ORGANIZATION, sessionId: session });
            if (name === "promote") await promote(session);
            else if (name === "cancel") await cancel(session);
            else if (name === "end") await end(session, "completed").catch(() => {});
            else if (name === "edit" && head) {
              const content = [{ type: "text" as const, text: textOf(head.message.content) }];
              await editQueued(database.db, ref(session, head.message.id), { content, preview: "edited" });
            } else if (name === "withdraw" && head) {
              const outcome = await withdrawQueued(database.db, ref(session, head.message.id));
              if (outcome === "withdrawn") withdrawn.add(textOf(head.message.content));
            } else if ((DELIVERIES as readonly string[]).includes(name)) {
              n += 1;
              const text = `m${n}`;
              const one = await send(database.db, session, text, { delivery: name as Delivery });
              if ("messageId" in one) accepted.set(text, one.outcome);
            }
          };
          for (const round of rounds) await Promise.all(round.map(act));
          await expectSound(session);
          const inputs = inputsOf(await readLog(database.db, session));
          const waiting = await queueOf(session);
          for (const text of accepted.keys()) {
            const places = [...inputs, ...waiting, ...withdrawn].filter((one) => one === text);
            expect([text, places]).toEqual([text, [text]]);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
