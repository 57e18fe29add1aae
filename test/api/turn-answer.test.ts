/** A message whose answer is its turn: as a stream that ends with it, or when it has ended. On a real socket. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { manualClock } from "../../src/base/clock.ts";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { bearer, makeToken, makeUser } from "../support/callers.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { type LiveServer, openStream, startServer, until } from "../support/live.ts";
import { createManualDriver, type ManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, readLog } from "../support/sessions.ts";
import { clientTool, typesOf } from "../support/waiting.ts";

describe("the turn of a message", () => {
  let database: TestDatabase;
  let server: LiveServer;
  let engine: TestEngine;
  let model: ManualDriver;
  // A database each: a turn that a test leaves behind would be taken up by the next one's worker.
  beforeEach(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    server = await startServer(database);
    model = createManualDriver();
    engine = await startEngine(database, { driver: model.driver, drainMs: 0 });
  });
  afterEach(async () => {
    await engine.stop();
    await server.stop();
    await database.drop();
  });

  const request = (words: string, more: object = {}) => ({
    method: "POST",
    body: JSON.stringify({ message: { content: [{ type: "text", text: words }] }, ...more }),
    headers: { "content-type": "application/json" },
  });
  const url = (session: string, query = "") => `${server.url}/v1/sessions/${session}/messages${query}`;
  const post = async (session: string, words: string, more: object = {}, query = "") => {
    const response = await fetch(url(session, query), request(words, more));
    // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
    return { status: response.status, body: (await response.json()) as any };
  };
  const wait = (session: string, words: string, more: object = {}, seconds = 60) =>
    post(session, words, more, `?wait=true&timeout_seconds=${seconds}`);
  const stream = async (session: string, words: string, more: object = {}, query = "") => {
    const { headers, ...init } = request(words, more);
    const open = await openStream(url(session, query), {
      ...init,
      headers: { ...headers, accept: "text/event-stream" },
    });
    if (open.status === 200) await open.next();
    return open;
  };
  const toTheEnd = (open: Awaited<ReturnType<typeof stream>>) => open.eventsUntil(() => false);
  const say = async (text: string) => {
    const call = await model.nextCall();
    call.say(text);
    call.finish();
  };
  const turnsIn = (events: readonly Event[]) => [...new Set(events.map((event) => event.context.turn_id))];

  describe("as a stream", () => {
    test("is connected at once, goes from input.message to session.idled, and closes", async () => {
      const session = await newSession(database.db);
      const first = stream(session, "first");
      await say("one");
      await toTheEnd(await first);
      const open = await stream(session, "second");
      expect(open.headers.get("content-type")).toBe("text/event-stream");
      expect(open.chunks[0]).toStartWith("event: connected\n");
      await say("two");
      const events = await toTheEnd(open);
      const types = typesOf(events);
      expect([types[0], types.at(-2), types.at(-1)]).toEqual([
        "input.message",
        "turn.completed",
        "session.idled",
      ]);
      expect(turnsIn(events)).toHaveLength(1);
      const log = await readLog(database.db, session);
      const begin = log.findLastIndex((event) => event.type === "input.message");
      expect(events.map((event) => event.id)).toEqual(log.slice(begin).map((event) => event.id));
      await until(() => server.streams.open() === 0 && server.feed.subscribers() === 0);
    });

    test("takes the filters of the session's stream", async () => {
      const session = await newSession(database.db);
      const open = stream(session, "go", {}, "?types=turn.started,session.idled&exclude=turn.started");
      await say("done");
      expect(typesOf(await toTheEnd(await open))).toEqual(["session.idled"]);
    });

    test("of a message that joined a turn begins with that message", async () => {
      const session = await newSession(database.db);
      const whole = await stream(session, "go");
      const call = await model.nextCall();
      const joined = await stream(session, "and this");
      call.say("one");
      call.finish();
      await say("two");
      const [all, own] = [await toTheEnd(whole), await toTheEnd(joined)];
      const begin = all.findLastIndex((event) => event.type === "input.message");
      expect(begin).toBeGreaterThan(0);
      expect(own).toEqual(all.slice(begin));
    });

    test("of a queued message waits for its turn", async () => {
      const session = await newSession(database.db);
      const first = await stream(session, "go");
      const call = await model.nextCall();
      const queued = await stream(session, "next", { delivery: "queue" });
      call.say("one");
      call.finish();
      await say("two");
      const [one, two] = [await toTheEnd(first), await toTheEnd(queued)];
      expect(typesOf(two)[0]).toBe("input.message");
      expect(typesOf(two).at(-1)).toBe("session.idled");
      expect(new Set([...turnsIn(one), ...turnsIn(two)]).size).toBe(2);
    });

    test("of a queued message ends when it is withdrawn", async () => {
      const session = await newSession(database.db);
      await stream(session, "go");
      const queued = await stream(
        session,
        "next",
        { delivery: "queue" },
        "?types=input.queued,input.withdrawn",
      );
      const frame = await queued.nextEvent();
      const id = frame?.type === "input.queued" ? frame.data.message.id : "";
      await fetch(`${server.url}/v1/sessions/${session}/queue/${id}`, { method: "DELETE" });
      expect(typesOf(await toTheEnd(queued))).toEqual(["input.withdrawn"]);
    });

    test("that another message interrupts ends with its own last event", async () => {
      const session = await newSession(database.db);
      const first = await stream(session, "go");
      await model.nextCall();
      const second = await stream(session, "no, this", { delivery: "interrupt" });
      await say("two");
      const [one, two] = [await toTheEnd(first), await toTheEnd(second)];
      expect(typesOf(one)).toContain("turn.cancelled");
      expect([turnsIn(one).length, turnsIn(two).length]).toEqual([1, 1]);
      expect(one.at(-1)?.sequence).toBe((two[0]?.sequence ?? 0) - 1);
    });

    test("sent again shows the first result's turn, also when it is over", async () => {
      const session = await newSession(database.db);
      const key = { client_message_id: "k" };
      const first = stream(session, "go", key);
      await say("one");
      const events = await toTheEnd(await first);
      const later = stream(session, "later");
      await say("two");
      await toTheEnd(await later);
      expect(await toTheEnd(await stream(session, "go", key))).toEqual(events);
    });

    test("goes on without a client that went away", async () => {
      const session = await newSession(database.db);
      const open = await stream(session, "go");
      const call = await model.nextCall();
      open.close();
      await until(() => server.streams.open() === 0 && server.feed.subscribers() === 0);
      call.say("done");
      call.finish();
      const log = await logOnce(database.db, session, isIdle);
      expect(typesOf(log)).toContain("turn.completed");
    });

    test("tells when the server goes down", async () => {
      const session = await newSession(database.db);
      const open = await stream(session, "go");
      await model.nextCall();
      server.shutDown();
      let last = await open.next();
      for (let frame = last; frame !== null; frame = await open.next()) last = frame;
      expect(last).toMatchObject({ event: "disconnecting" });
      expect(JSON.parse(last?.data ?? "").reason).toBe("server_maintenance");
    });

    test("ends with the credential that opened it", async () => {
      const clock = manualClock();
      const access = openAccess({ jwtKey: new Uint8Array(32), clock });
      const own = await startServer(database, { clock, identify: (db) => identifyByCredential(db, access) });
      const { token, id } = await makeToken(database.db, (await makeUser(database.db)).id);
      // The model says nothing: the turn does not end by itself.
      const session = await newSession(database.db);
      const open = await openStream(`${own.url}/v1/sessions/${session}/messages`, {
        method: "POST",
        body: JSON.stringify({ message: { content: "hi" } }),
        headers: { ...bearer(token), accept: "text/event-stream", "content-type": "application/json" },
      });
      expect((await open.next())?.event).toBe("connected");
      await database.db.sql`update access_tokens set revoked_at = now() where id = ${id}`;
      let isOver = false;
      const rest = open
        .eventsUntil(() => false)
        .finally(() => {
          isOver = true;
        });
      while (!isOver) {
        await clock.advance(1_000);
        await Bun.sleep(2);
      }
      expect((await rest).length).toBeGreaterThan(0);
      expect(open.chunks.at(-1)).toStartWith("event: disconnecting\n");
      await own.stop();
    });

    test("is refused before anything is written: too many streams, an unknown type, a busy session", async () => {
      const session = await newSession(database.db);
      const refused = async (more: object = {}, query = "") => {
        const open = await stream(session, "more", more, query);
        return [open.status, (await open.json()).code];
      };
      expect(await refused({}, "?types=nonsense")).toEqual([400, "unknown_event_type"]);
      expect(server.streams.open()).toBe(0);
      const events = `${server.url}/v1/sessions/${session}/sse`;
      const open = await Promise.all(
        Array.from({ length: limits.sseStreamsPerSession }, () => openStream(events)),
      );
      expect(await refused()).toEqual([429, "rate_limited"]);
      expect(await readLog(database.db, session)).toEqual([]);
      for (const one of open) one.close();
      await until(() => server.streams.open() === 0);
      const first = await stream(session, "go");
      expect(await refused({ delivery: "reject" })).toEqual([409, "session_busy"]);
      expect(server.streams.open()).toBe(1);
      await say("done");
      await toTheEnd(first);
    });
  });

  describe("waited for", () => {
    test("is 200 with the run and its final message", async () => {
      const session = await newSession(database.db);
      const answer = wait(session, "go");
      await say("Here it is.");
      const { status, body } = await answer;
      expect(status).toBe(200);
      expect(body.run).toMatchObject({ session_id: session, status: "completed", iterations: 1 });
      expect(body.message).toMatchObject({
        id: body.run.final_message_id,
        role: "agent",
        content: [{ type: "text", text: "Here it is." }],
        session_id: session,
      });
      expect([server.streams.open(), server.feed.subscribers()]).toEqual([0, 0]);
    });

    test("is 200 without a message when it was cancelled", async () => {
      const session = await newSession(database.db);
      const answer = wait(session, "go");
      await model.nextCall();
      await fetch(`${server.url}/v1/sessions/${session}/cancel`, { method: "POST" });
      const { status, body } = await answer;
      expect([status, body.run.status, body.message]).toEqual([200, "cancelled", null]);
    });

    test("is 200 with the friendly text when it failed", async () => {
      const session = await newSession(database.db);
      const answer = wait(session, "go", { controls: { error_disclosure: "generic" } });
      (await model.nextCall()).fail({ code: "provider_quota_exhausted", retryable: false });
      const { status, body } = await answer;
      expect([status, body.run.status]).toEqual([200, "failed"]);
      expect(body.message.content[0].text).not.toContain("quota");
    });

    test("is 202 with the run when the time is up, and the turn goes on", async () => {
      const session = await newSession(database.db);
      const answer = wait(session, "go", {}, 1);
      const call = await model.nextCall();
      const { status, body } = await answer;
      expect([status, body.status, body.session_id]).toEqual([202, "running", session]);
      call.say("done");
      call.finish();
      expect(typesOf(await logOnce(database.db, session, isIdle))).toContain("turn.completed");
    });

    test("is 202 with the run to come when the time is up while it is queued", async () => {
      const session = await newSession(database.db);
      await stream(session, "go");
      const { status, body } = await wait(session, "next", { delivery: "queue" }, 1);
      expect([status, body.status, body.attempt]).toEqual([202, "queued", 0]);
      expect(body.id).toMatch(/^turn_/);
    });

    test("is 202 as soon as it waits for a client tool, and 200 for who asks again when it has ended", async () => {
      const session = await newSession(database.db, null, { tools: [clientTool("open_door")] });
      const key = { client_message_id: newId("message") };
      const first = wait(session, "go", key);
      const call = await model.nextCall();
      call.callTool("open_door", {});
      call.finish();
      const waiting = await first;
      expect([waiting.status, waiting.body.status, waiting.body.waiting_on]).toEqual([
        202,
        "waiting",
        "client_tools",
      ]);
      // It still waits: who asks again is told at once.
      expect((await wait(session, "go", key)).body).toMatchObject({ status: "waiting" });
      const [asked] = (await readLog(database.db, session)).flatMap((event) =>
        event.type === "tool.call_requested" ? event.data.tool_calls : [],
      );
      await fetch(`${server.url}/v1/sessions/${session}/tool-results`, {
        method: "POST",
        body: JSON.stringify({ tool_results: [{ tool_call_id: asked?.id, result: "open" }] }),
        headers: { "content-type": "application/json" },
      });
      const again = wait(session, "go", key);
      await say("It is open.");
      const { status, body } = await again;
      expect([status, body.message.content[0].text]).toEqual([200, "It is open."]);
    });

    test("is 409 when its message is withdrawn from the queue", async () => {
      const session = await newSession(database.db);
      await stream(session, "go");
      await model.nextCall();
      const answer = wait(session, "next", { delivery: "queue" });
      const queued = async () =>
        (await (await fetch(`${server.url}/v1/sessions/${session}/queue`)).json()) as {
          data: { id: string }[];
        };
      await until(async () => (await queued()).data.length > 0);
      const [message] = (await queued()).data;
      await fetch(`${server.url}/v1/sessions/${session}/queue/${message?.id}`, { method: "DELETE" });
      const { status, body } = await answer;
      expect([status, body.code]).toEqual([409, "conflict"]);
    });

    test("is 202 when the server goes down", async () => {
      const session = await newSession(database.db);
      const answer = wait(session, "go");
      await model.nextCall();
      server.shutDown();
      expect((await answer).status).toBe(202);
    });

    test("holds nothing for a client that went away", async () => {
      const session = await newSession(database.db);
      const abort = new AbortController();
      const gone = fetch(url(session, "?wait=true"), { ...request("go"), signal: abort.signal });
      const call = await model.nextCall();
      abort.abort();
      await gone.catch(() => {});
      await until(() => server.streams.open() === 0 && server.feed.subscribers() === 0);
      call.say("done");
      call.finish();
      expect(typesOf(await logOnce(database.db, session, isIdle))).toContain("turn.completed");
    });

    for (const [name, query] of [
      ["no number", "?wait=true&timeout_seconds=soon"],
      ["too long", "?wait=true&timeout_seconds=601"],
      ["no time", "?wait=true&timeout_seconds=0"],
      ["wait is neither true nor false", "?wait=perhaps"],
    ] as const) {
      test(`is refused: ${name}`, async () => {
        const { status, body } = await post(await newSession(database.db), "go", {}, query);
        expect([status, body.code]).toEqual([400, "invalid_request"]);
      });
    }
  });
});
