/** The stream of a session, on a real socket with a real worker: wire contract, sections 5.4 and 9. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { emptyTranscript, foldTranscript } from "../../src/client/transcript.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { sweep } from "../../src/db/sweep.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { append, cutConnections, type LiveServer, openStream, startServer, until } from "../support/live.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, readLog, send } from "../support/sessions.ts";

describe("the event stream", () => {
  let database: TestDatabase;
  let server: LiveServer;
  let engine: TestEngine;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    server = await startServer(database);
    engine = await startEngine(database);
  });
  afterAll(async () => {
    await engine.stop();
    await server.stop();
    await database.drop();
  });

  const sse = (session: string, query = "", headers: Record<string, string> = {}) =>
    openStream(`${server.url}/v1/sessions/${session}/sse${query}`, { headers });
  const grow = async (session: string, count: number) => {
    await append(database.db, session, count);
    server.hints.publish({ sessions: [session] });
  };
  /** A finished turn with a tool call and its log. */
  const finishedTurn = async () => {
    const session = await newSession(database.db);
    await send(database.db, session, GOLDEN_SCRIPTS[2]?.message ?? "");
    engine.hint();
    return { session, log: await logOnce(database.db, session, isIdle) };
  };
  const isLast = (event: Event) => event.type === "session.idled";
  const ids = (events: readonly Event[]) => events.map((event) => event.id);

  describe("begins", () => {
    test("with `connected` at once, also for a session in which nothing happens", async () => {
      const stream = await sse(await newSession(database.db));
      expect(stream.status).toBe(200);
      expect(stream.headers.get("content-type")).toBe("text/event-stream");
      expect(stream.headers.get("cache-control")).toBe("no-cache");
      expect(stream.headers.get("x-accel-buffering")).toBe("no");
      expect(await stream.next()).toEqual({
        event: "connected",
        data: '{"status":"connected"}',
        id: null,
        retry: null,
      });
      stream.close();
    });

    test("with event 1 when no cursor is given", async () => {
      const { session, log } = await finishedTurn();
      const stream = await sse(session);
      const events = await stream.eventsUntil(isLast);
      expect(ids(events)).toEqual(ids(log));
      stream.close();
    });

    test("frames carry name, id, retry and the whole event", async () => {
      const session = await newSession(database.db);
      await grow(session, 1);
      const stream = await sse(session);
      await stream.next();
      const [event] = await readLog(database.db, session);
      const frame = await stream.next();
      expect(frame).toMatchObject({ event: "tool.progress", id: event?.id ?? "", retry: 100 });
      expect(JSON.parse(frame?.data ?? "")).toEqual(event);
      stream.close();
    });

    const cursors: [string, (id: string) => [string, Record<string, string>]][] = [
      ["since_id", (id) => [`?since_id=${id}`, {}]],
      ["Last-Event-ID", (id) => ["", { "last-event-id": id }]],
      ["since_id rather than Last-Event-ID", (id) => [`?since_id=${id}`, { "last-event-id": "nonsense" }]],
    ];
    for (const [name, ask] of cursors) {
      test(`after ${name}`, async () => {
        const { session, log } = await finishedTurn();
        const stream = await sse(session, ...ask(log[4]?.id ?? ""));
        expect(ids(await stream.eventsUntil(isLast))).toEqual(ids(log.slice(5)));
        stream.close();
      });
    }

    test("now, with since_id=latest", async () => {
      const session = await newSession(database.db);
      await grow(session, 3);
      const stream = await sse(session, "?since_id=latest");
      await stream.next();
      await grow(session, 1);
      expect((await stream.nextEvent())?.sequence).toBe(4);
      stream.close();
    });

    for (const [name, count] of [
      ["of an empty session", 0],
      ["behind what was there", 3],
    ] as const) {
      test(`with stream.caught_up once, if asked, ${name}; then comes what is new`, async () => {
        const session = await newSession(database.db);
        await grow(session, count);
        const stream = await sse(session, "?caught_up=true&types=tool.progress");
        await stream.next();
        for (let sequence = 1; sequence <= count; sequence += 1) {
          expect((await stream.next())?.event).toBe("tool.progress");
        }
        const frame = { event: "stream.caught_up", data: JSON.stringify({ sequence: count }), id: null };
        expect(await stream.next()).toEqual({ ...frame, retry: null });
        await grow(session, 2);
        for (const sequence of [count + 1, count + 2]) {
          const next = await stream.next();
          expect(JSON.parse(next?.data ?? "").sequence).toBe(sequence);
        }
        stream.close();
      });
    }

    test("after a delta that has been pruned", async () => {
      const { session, log } = await finishedTurn();
      const delta = log.find((event) => event.type === "output.message.delta");
      await database.db
        .sql`update runs set finished_at = now() - interval '1 hour' where session_id = ${session}`;
      expect((await sweep(database.db, { keepDeltasMs: 1_000 })).deltas).toBeGreaterThan(0);
      const left = await readLog(database.db, session);
      expect(left.map((event) => event.id)).not.toContain(delta?.id);
      const stream = await sse(session, `?since_id=${delta?.id}`);
      const rest = left.filter((event) => event.sequence > (delta?.sequence ?? 0));
      expect(ids(await stream.eventsUntil(isLast))).toEqual(ids(rest));
      stream.close();
    });
  });

  describe("is refused", () => {
    test("for a session that does not exist, or has no id's form", async () => {
      expect((await sse(newId("session"))).status).toBe(404);
      expect((await sse("session_1")).status).toBe(400);
    });

    const bad: [string, string, string][] = [
      ["a cursor that is no event id", "?since_id=event_1", "invalid_id"],
      ["a cursor beyond the log", `?since_id=event_${"f".repeat(32)}`, "invalid_cursor"],
      ["an unknown type", "?types=tool.progress&types=nonsense", "unknown_event_type"],
      ["an unknown type behind a comma", "?exclude=tool.progress,nonsense", "unknown_event_type"],
      ["too many types", `?types=${Array(41).fill("tool.progress").join(",")}`, "limit_exceeded"],
    ];
    for (const [name, query, code] of bad) {
      test(`for ${name}: ${code}`, async () => {
        const session = await newSession(database.db);
        const refused = await sse(session, query);
        expect([refused.status, (await refused.json()).code]).toEqual([400, code]);
        expect(server.streams.open()).toBe(0);
      });
    }

    test("for an event of another session", async () => {
      const [session, other] = [await newSession(database.db), await newSession(database.db)];
      await append(database.db, session, 3);
      await append(database.db, other, 3);
      const [foreign] = await readLog(database.db, other);
      const refused = await sse(session, `?since_id=${foreign?.id}`);
      expect([refused.status, (await refused.json()).code]).toEqual([400, "invalid_cursor"]);
    });

    test("when the session has its 12 streams, with Retry-After; a closed one makes room", async () => {
      const session = await newSession(database.db);
      const open = await Promise.all(Array.from({ length: limits.sseStreamsPerSession }, () => sse(session)));
      for (const stream of open) await stream.next();
      const refused = await sse(session);
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await refused.json()).code).toBe("rate_limited");
      expect(server.feed.subscribers()).toBe(open.length);

      open[0]?.close();
      await until(() => server.streams.open() === open.length - 1);
      const again = await sse(session);
      expect(again.status).toBe(200);
      for (const stream of [...open, again]) stream.close();
      // A client that goes away frees what it held, also while nothing happens.
      await until(() => server.streams.open() === 0 && server.feed.subscribers() === 0);
    });
  });

  describe("filters", () => {
    const cases: [string, string, (event: Event) => boolean][] = [
      [
        "types by repeated keys",
        "?types=turn.started&types=session.idled",
        (e) => /^turn.started|idled$/.test(e.type),
      ],
      ["types by commas", "?types=turn.started,%20session.idled", (e) => /^turn.started|idled$/.test(e.type)],
      [
        "types that nothing writes yet, beside others",
        "?types=tool.output.delta,context.compacted,session.idled&exclude=task.updated",
        (e) => e.type === "session.idled",
      ],
      ["exclude", "?exclude=output.message.delta,llm.generation", (e) => !/delta|generation/.test(e.type)],
      [
        "types, then exclude",
        "?types=turn.started,turn.completed,session.idled&exclude=turn.started",
        (e) => /^turn.completed|idled$/.test(e.type),
      ],
    ];
    for (const [name, query, passes] of cases) {
      test(name, async () => {
        const { session, log } = await finishedTurn();
        const stream = await sse(session, query);
        expect(ids(await stream.eventsUntil(isLast))).toEqual(ids(log.filter(passes)));
        stream.close();
      });
    }
  });

  describe("`accumulated`", () => {
    let slow: TestEngine;
    const model = createManualDriver();
    let other: TestDatabase;
    let own: LiveServer;
    beforeAll(async () => {
      // A worker of its own, whose model speaks when the test says so.
      other = await testDatabase();
      await seedModel(other.db);
      own = await startServer(other);
      slow = await startEngine(other, { driver: model.driver });
    });
    afterAll(async () => {
      await slow.stop();
      await own.stop();
      await other.drop();
    });
    const deltas = (events: readonly Event[]) =>
      events.flatMap((event) => (event.type === "output.message.delta" ? [event] : []));
    const inLog = (session: string, count: number) =>
      logOnce(other.db, session, (events) => deltas(events).length >= count);
    const page = async (session: string, query = "") =>
      ((await (await fetch(`${own.url}/v1/sessions/${session}/events${query}`)).json()) as { data: Event[] })
        .data;
    const expectWhole = (events: readonly Event[], texts: readonly string[]) =>
      expect(deltas(events).map((event) => event.data.accumulated)).toEqual([...texts]);

    test("is the whole text so far: live, joined in the middle, replayed, on a page, and left out if asked", async () => {
      const session = await newSession(other.db);
      const url = (query: string) => `${own.url}/v1/sessions/${session}/sse${query}`;
      await send(other.db, session, "go");
      slow.hint();
      const call = await model.nextCall();
      const live = await openStream(url(""));
      await live.next();
      call.think("hm");
      call.say("one ");
      await inLog(session, 1);
      call.say("two ");
      const sofar = await inLog(session, 2);
      const joiner = await openStream(url(`?since_id=${deltas(sofar)[0]?.id}`));
      await joiner.next();
      const plain = await openStream(url("?deltas=plain"));
      call.say("three");
      await inLog(session, 3);
      call.finish();
      const events = await live.eventsUntil(isLast);
      expectWhole(events, ["one ", "one two ", "one two three"]);
      expectWhole(await joiner.eventsUntil(isLast), ["one two ", "one two three"]);
      const plainDeltas = deltas(await plain.eventsUntil(isLast));
      expect(plainDeltas).toHaveLength(3);
      expect(plainDeltas.every((event) => !("accumulated" in event.data))).toBe(true);
      expectWhole(await page(session), ["one ", "one two ", "one two three"]);
      expectWhole(await page(session, `?since_id=${deltas(events)[1]?.id}`), ["one two three"]);
      for (const stream of [live, joiner, plain]) stream.close();
    });

    test("begins anew with each answer, whatever the filter shows, and with each attempt", async () => {
      const session = await newSession(other.db);
      await send(other.db, session, "go");
      slow.hint();
      const first = await model.nextCall();
      first.say("dead");
      await inLog(session, 1);
      first.fail({ retryable: true });
      const second = await model.nextCall();
      second.say("alive");
      await inLog(session, 2);
      second.callTool("no_such_tool", {});
      second.finish();
      const third = await model.nextCall();
      third.say("done ");
      await inLog(session, 3);
      third.say("now");
      await inLog(session, 4);
      third.finish();
      await logOnce(other.db, session, isIdle);
      const texts = ["dead", "alive", "done ", "done now"];
      expectWhole(await page(session), texts);
      expectWhole(await page(session, "?types=output.message.delta"), texts);
      expectWhole(await page(session, "?types=output.message.delta&limit=1"), texts);
      expectWhole(await page(session, "?q=now&types=output.message.delta"), ["done now"]);
      expectWhole((await page(session, "?order_desc=true")).reverse(), texts);
      const stream = await openStream(
        `${own.url}/v1/sessions/${session}/sse?types=output.message.delta&types=session.idled`,
      );
      expectWhole(await stream.eventsUntil(isLast), texts);
      stream.close();
    });
  });

  describe("misses nothing and repeats nothing (I2, I7)", () => {
    test("live, replayed and resumed at every k-th event are the same", async () => {
      const script = GOLDEN_SCRIPTS.find((one) => one.name === "parallel-tools");
      const session = await newSession(database.db);
      const live = await sse(session);
      await live.next();
      await send(database.db, session, script?.message ?? "");
      engine.hint();
      const events = await live.eventsUntil(isLast);
      live.close();
      expect(events.map((event) => event.sequence)).toEqual(events.map((_, index) => index + 1));

      const replay = await sse(session);
      expect(await replay.eventsUntil(isLast)).toEqual(events);
      replay.close();
      const view = foldTranscript(emptyTranscript, events);
      for (let k = 1; k < events.length; k += 1) {
        const resumed: Event[] = [];
        while (resumed.length < events.length) {
          const last = resumed.at(-1);
          const stream = await sse(session, last ? `?since_id=${last.id}` : "");
          for (let n = 0; n < k && resumed.length < events.length; n += 1) {
            const event = await stream.nextEvent();
            if (event) resumed.push(event);
          }
          stream.close();
        }
        expect(resumed).toEqual(events);
        expect(foldTranscript(emptyTranscript, resumed)).toEqual(view);
      }
      await until(() => server.streams.open() === 0);
    });

    test("the listening connection is cut while events come", async () => {
      const session = await newSession(database.db);
      const stream = await sse(session);
      await stream.next();
      const seen: number[] = [];
      for (let round = 1; round <= 4; round += 1) {
        // It may be on its way back from the last cut: cut it as soon as it stands.
        await until(
          async () => (await cutConnections(database.db, { applicationName: "everruns-listen" })) > 0,
        );
        await append(database.db, session, 5);
        engine.hint();
        while (seen.length < round * 5) seen.push((await stream.nextEvent())?.sequence ?? -1);
      }
      expect(seen).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
      stream.close();
    });

    test("every connection of the server is cut while events come", async () => {
      const session = await newSession(database.db);
      const stream = await sse(session);
      await stream.next();
      await grow(session, 1);
      expect((await stream.nextEvent())?.sequence).toBe(1);
      await cutConnections(database.db);
      await append(database.db, session, 2);
      expect((await stream.nextEvent())?.sequence).toBe(2);
      expect((await stream.nextEvent())?.sequence).toBe(3);
      stream.close();
    });
  });
});
