import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import { type Client, createClient } from "../../src/client/client.ts";
import { followTurn, type Reconnect, STALL_MS, streamEvents } from "../../src/client/stream.ts";
import type { Event } from "../../src/contract/event.ts";
import { sessionIdOf, turnEvents, turnIdOf } from "./support/events.ts";
import { type ContractServer, problem, startContractServer } from "./support/server.ts";

let server: ContractServer;
let client: Client;
let sessionId: string;
beforeEach(() => {
  server = startContractServer();
  client = createClient({ baseUrl: server.url, apiKey: null });
  sessionId = server.createSession();
});
afterEach(() => server.stop());

const answer = (number: number, text = "hello", input = "hi") =>
  turnEvents({ turnId: turnIdOf(number), input, reasons: [{ chunks: [...text] }] });
const streamPath = () => `GET /api/v1/sessions/${sessionId}/sse`;

/** Reads until `count` events are there, calling `onEvent` with each. */
async function take(
  events: AsyncIterable<Event>,
  count: number,
  onEvent: (event: Event, index: number) => void = () => {},
): Promise<Event[]> {
  const taken: Event[] = [];
  for await (const event of events) {
    taken.push(event);
    onEvent(event, taken.length);
    if (taken.length === count) break;
  }
  return taken;
}

describe("the event stream", () => {
  test("replays from the beginning and then goes on live", async () => {
    const events = streamEvents(client, sessionId);
    const first = await events.next();
    expect(first.value).toMatchObject({ type: "session.started", sequence: 1 });
    server.append(sessionId, answer(1));
    expect(await events.next()).toMatchObject({ value: { type: "input.message", sequence: 2 } });
    await events.return();
  });

  test("begins after `sinceId`", async () => {
    server.append(sessionId, answer(1));
    const sinceId = server.log(sessionId)[3]?.id;
    const [event] = await take(streamEvents(client, sessionId, { sinceId }), 1);
    expect(event?.sequence).toBe(5);
  });

  for (const [name, cut] of [
    ["is cut in the middle", () => server.dropStreams()],
    ["is ended with `disconnecting`", () => server.disconnectStreams(1)],
  ] as const) {
    test(`misses nothing and repeats nothing when the connection ${name}, again and again`, async () => {
      const all = answer(1, "a rather long answer");
      const total = 1 + all.length;
      const rest = [...all];
      const taken = await take(streamEvents(client, sessionId, { random: () => 0 }), total, () => {
        cut();
        server.append(sessionId, rest.splice(0, 1));
      });
      expect(taken.map(({ sequence }) => sequence)).toEqual(Array.from({ length: total }, (_, at) => at + 1));
      expect(server.requests.filter((line) => line.includes(`since_id=${taken[4]?.id}`))).toHaveLength(1);
    });
  }

  test("tells of a broken connection, not of one that ended as announced", async () => {
    const reconnects: Reconnect[] = [];
    const events = streamEvents(client, sessionId, {
      random: () => 0,
      onReconnect: (reconnect) => reconnects.push(reconnect),
    });
    await take(events, 3, (_event, index) => {
      if (index === 1) server.disconnectStreams(3);
      if (index === 2) server.dropStreams();
      server.append(sessionId, answer(1, "").slice(index, index + 1));
    });
    expect(reconnects).toMatchObject([
      { attempt: 1, delayMs: 3, reason: null },
      { attempt: 1, reason: expect.stringContaining("the connection broke") },
    ]);
  });

  for (const [name, refusal] of [
    ["an unknown session", problem(404, "not_found", "Session not found")],
    ["a wrong key", problem(401, "unauthorized", "A valid API key is needed.")],
    ["a cursor of another session", problem(400, "invalid_cursor", "The cursor is not of this session.")],
  ] as const) {
    test(`ends with the server's answer for ${name}`, async () => {
      server.intercept(() => refusal.clone() as Response);
      const error = await streamEvents(client, sessionIdOf(99))
        .next()
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ name: "ClientError", status: refusal.status });
      expect(server.requests).toHaveLength(1);
    });
  }

  test("waits as long as a rate limit asks, then goes on", async () => {
    let refusals = 1;
    server.intercept(() =>
      refusals-- > 0 ? problem(429, "rate_limited", "Too many streams", { "retry-after": "30" }) : null,
    );
    const clock = manualClock();
    const reconnecting = Promise.withResolvers<Reconnect>();
    const next = streamEvents(client, sessionId, { clock, onReconnect: reconnecting.resolve }).next();
    expect(await reconnecting.promise).toMatchObject({ delayMs: 30_000 });
    await clock.advance(30_000);
    expect(await next).toMatchObject({ value: { sequence: 1 } });
  });

  test("breaks off a connection on which not even a heartbeat comes", async () => {
    const clock = manualClock();
    const reconnecting = Promise.withResolvers<Reconnect>();
    const events = streamEvents(client, sessionId, {
      clock,
      onReconnect: reconnecting.resolve,
      random: () => 0,
    });
    await events.next();
    const next = events.next();
    // The iterator reaches its wait after a few turns of the event loop: time passes until it has noticed.
    let hasNoticed = false;
    reconnecting.promise.then(() => {
      hasNoticed = true;
    });
    while (!hasNoticed) {
      await clock.advance(STALL_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { reason, delayMs } = await reconnecting.promise;
    expect(reason).toContain("nothing came from the server for 45 s");
    server.append(sessionId, answer(1).slice(0, 1));
    // The pause and no more: with time running on, the new connection would be broken off, too, before it stands.
    await clock.advance(delayMs);
    expect(await next).toMatchObject({ value: { sequence: 2 } });
    await events.return();
  });

  test("finds its server again after a restart", async () => {
    const events = streamEvents(client, sessionId, { random: () => 0 });
    await events.next();
    server.intercept(() => new Response("starting", { status: 503 }));
    server.dropStreams();
    const next = events.next();
    await server.requested("since_id=");
    server.intercept(null);
    server.append(sessionId, answer(1).slice(0, 1));
    expect(await next).toMatchObject({ value: { sequence: 2 } });
    await events.return();
  });

  test("gives up when told to", async () => {
    const events = streamEvents(client, sessionId, { random: () => 0, giveUpAfterMs: 0 });
    await events.next();
    const next = events.next();
    await server.stop();
    expect(await next.catch((thrown: unknown) => thrown)).toMatchObject({ name: "ClientError", status: 0 });
  });

  test("just ends when it is aborted, and closes its connection", async () => {
    const stop = new AbortController();
    const events = streamEvents(client, sessionId, { signal: stop.signal });
    await events.next();
    const next = events.next();
    stop.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    while (server.openStreams() > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test("keeps characters whole that the network cut in two", async () => {
    const [input] = server.append(sessionId, answer(1, "", "héllo 🙂").slice(0, 1));
    const bytes = new TextEncoder().encode(`event: input.message\ndata: ${JSON.stringify(input)}\n\n`);
    server.intercept((request) =>
      request.url.includes("/sse")
        ? new Response(
            new ReadableStream({
              start(controller) {
                for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
              },
            }),
            { headers: { "content-type": "text/event-stream" } },
          )
        : null,
    );
    const [event] = await take(streamEvents(client, sessionId), 1);
    expect(event).toEqual(input as Event);
  });

  test("passes over what a server sends again", async () => {
    const log = [...server.log(sessionId), ...server.append(sessionId, answer(1).slice(0, 2))];
    const frames = [0, 0, 1, 0, 1, 2].map((at) => {
      const event = log[at] as Event;
      return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    });
    server.intercept((request) =>
      request.url.includes("/sse")
        ? new Response(frames.join(""), { headers: { "content-type": "text/event-stream" } })
        : null,
    );
    const taken = await take(streamEvents(client, sessionId), 3);
    expect(taken.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  test("refuses an answer that is no event stream", async () => {
    server.intercept(() => new Response("<h1>hello</h1>", { headers: { "content-type": "text/html" } }));
    const error = await streamEvents(client, sessionId)
      .next()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "not_everruns" });
  });
});

describe("following one turn", () => {
  test("gives its events from the question to the idle, and nothing of turns before or after", async () => {
    server.append(sessionId, answer(1));
    const sinceId = (await client.lastEventId(sessionId)) ?? undefined;
    server.append(sessionId, [...answer(2), ...answer(3)]);
    const events: Event[] = [];
    for await (const event of followTurn(client, sessionId, { sinceId, turnId: turnIdOf(2) }))
      events.push(event);
    expect(events.map(({ type }) => type)).toEqual(answer(2).map(({ type }) => type));
    expect(server.requests.at(-1)).toBe(`${streamPath()}?since_id=${sinceId}`);
  });

  test("passes over what came before the message that joined it", async () => {
    const events = server.append(sessionId, answer(1));
    const sequence = events[4]?.sequence;
    const seen: number[] = [];
    for await (const event of followTurn(client, sessionId, { turnId: turnIdOf(1), sequence })) {
      seen.push(event.sequence);
    }
    expect(seen[0]).toBe(sequence as number);
  });

  for (const end of ["completed", "failed", "sealed", "cancelled"] as const) {
    test(`ends when the turn is ${end}`, async () => {
      server.append(
        sessionId,
        turnEvents({ turnId: turnIdOf(1), input: "x", reasons: [{ chunks: [] }], end }),
      );
      const types: string[] = [];
      for await (const { type } of followTurn(client, sessionId, { turnId: turnIdOf(1) })) types.push(type);
      expect(types.slice(-1)).toEqual(["session.idled"]);
      expect(types).toContain(`turn.${end}`);
    });
  }

  test("does not wait for an idle that the next turn swallowed", async () => {
    const noIdle = answer(1).filter(({ type }) => type !== "session.idled");
    server.append(sessionId, [...noIdle, ...answer(2)]);
    const types: string[] = [];
    for await (const { type } of followTurn(client, sessionId, { turnId: turnIdOf(1) })) types.push(type);
    expect(types.at(-1)).toBe("turn.completed");
  });
});
