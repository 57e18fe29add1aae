/** One event, many readers: what they share, and what a reader that does not read is given. */
import { describe, expect, test } from "bun:test";
import type { Subscription } from "../../src/api/events/feed.ts";
import { createStreamEncoder, streamEvents } from "../../src/api/events/sse.ts";
import { manualClock } from "../../src/base/clock.ts";
import { createSseDecoder } from "../../src/base/sse.ts";
import type { Event } from "../../src/contract/event.ts";

const eventOf = (sequence: number, type = "tool.progress") =>
  ({ id: `event_${sequence}`, type, sequence, data: { message: `n ${sequence}` } }) as unknown as Event;
const sequencesIn = (text: string) =>
  createSseDecoder()
    .feed(text)
    .flatMap((frame) => (frame.id === null ? [] : [(JSON.parse(frame.data) as Event).sequence]));

describe("the stream's encoder", () => {
  const all = { types: null, exclude: [] };
  const decode = (chunk: Uint8Array | null) =>
    sequencesIn(new TextDecoder().decode(chunk ?? new Uint8Array()));

  test("gives the same bytes for the same list and filter, and what passes for each other filter", () => {
    const encode = createStreamEncoder();
    const events = [eventOf(1), eventOf(2, "turn.started"), eventOf(3)];
    const first = encode(events, all);
    expect(encode(events, { types: null, exclude: ["turn.started"] })).not.toBe(first);
    expect(encode(events, all)).toBe(first);
    expect(decode(first)).toEqual([1, 2, 3]);
    expect(decode(encode(events, { types: ["turn.started"], exclude: [] }))).toEqual([2]);
    expect(encode(events, { types: ["session.idled"], exclude: [] })).toBeNull();
    expect(decode(encode([eventOf(4)], all))).toEqual([4]);
    expect(decode(encode(events, all))).toEqual([1, 2, 3]);
  });
});

describe("a stream", () => {
  /** A subscription whose events are the test's. */
  function opened() {
    let pending: Event[] = [];
    let taken = 0;
    let onReady = () => {};
    let isClosed = false;
    const subscription: Subscription = {
      take() {
        taken += 1;
        const events = pending;
        pending = [];
        return isClosed ? null : events;
      },
      caughtUpTo: () => null,
      close() {
        isClosed = true;
      },
    };
    const response = streamEvents(
      (ready) => {
        onReady = ready;
        return subscription;
      },
      null,
      {
        filter: { types: null, exclude: [] },
        shutdown: new AbortController().signal,
        clock: manualClock(),
        encode: createStreamEncoder(),
        onClose: () => {},
      },
    );
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    return {
      taken: () => taken,
      isClosed: () => isClosed,
      add(...events: Event[]) {
        pending.push(...events);
        onReady();
      },
      async read() {
        const { value } = await reader.read();
        return new TextDecoder().decode(value);
      },
      cancel: () => reader.cancel(),
    };
  }

  test("takes nothing more from the feed while its reader does not read, and then all in one chunk", async () => {
    const stream = opened();
    expect(await stream.read()).toContain("event: connected");
    stream.add(eventOf(1));
    expect(sequencesIn(await stream.read())).toEqual([1]);
    // One chunk may wait in the stream; what comes behind it stays with the feed.
    stream.add(eventOf(2));
    await Bun.sleep(0);
    const taken = stream.taken();
    for (let sequence = 3; sequence <= 50; sequence += 1) stream.add(eventOf(sequence));
    await Bun.sleep(0);
    expect(stream.taken() - taken).toBeLessThanOrEqual(1);
    const seen = sequencesIn(await stream.read());
    expect(seen).toEqual([2]);
    const rest = sequencesIn(await stream.read());
    expect(rest).toEqual(Array.from({ length: 48 }, (_, n) => n + 3));
  });

  test("that is left closes its subscription, and no notice opens it again", async () => {
    const stream = opened();
    await stream.read();
    await stream.cancel();
    expect(stream.isClosed()).toBe(true);
    const taken = stream.taken();
    stream.add(eventOf(1));
    expect(stream.taken()).toBe(taken);
  });
});
