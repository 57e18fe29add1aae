import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createFeed, type Feed } from "../../src/api/events/feed.ts";
import { type ManualClock, manualClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { readEventsAfter } from "../../src/db/events.ts";
import { createHints, type Hints } from "../../src/db/hints.ts";
import { ownLog } from "../../src/db/lineage.ts";
import { append, until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession } from "../support/sessions.ts";

const FOREVER_MS = 1e9;

/** A subscription whose next events can be awaited. */
function subscribe(feed: Feed, session: string, cursor: number) {
  let ready = Promise.withResolvers<void>();
  const subscription = feed.subscribe(session, cursor, () => ready.resolve());
  return {
    close: () => subscription.close(),
    /** Whether it has read all there was, and will be handed what is new. */
    isLive: () => subscription.caughtUpTo() !== null,
    /** The next events; an empty list when the time has come; null when it is over. */
    async next(deadlineMs: number, clock?: ManualClock): Promise<readonly Event[] | null> {
      for (;;) {
        ready = Promise.withResolvers();
        const events = subscription.take(deadlineMs);
        if (events === null || events.length > 0) return events;
        // It is also woken when it has caught up.
        if (clock && clock.monotonicMs() >= deadlineMs) return events;
        await ready.promise;
      }
    },
  };
}
type Subscription = ReturnType<typeof subscribe>;

describe("the feed", () => {
  let database: TestDatabase;
  let hints: Hints;
  const feeds: Feed[] = [];
  beforeAll(async () => {
    database = await testDatabase();
    // Not started: what is published reaches the feeds of this process, and nothing else does.
    hints = createHints({ db: database.db, log: silentLog });
  });
  afterAll(async () => {
    for (const feed of feeds) await feed.stop();
    await hints.stop();
    await database.drop();
  });

  const startFeed = async (clock: ManualClock = manualClock()) => {
    const feed = createFeed({ db: database.db, hints, log: silentLog, clock });
    feeds.push(feed);
    await feed.start();
    return feed;
  };
  const hint = (session: string) => hints.publish({ sessions: [session] });
  /** Appends, and gives the notice of a process that wrote it itself. */
  const appendHere = async (session: string, count: number): Promise<[total: number, tell: () => void]> => {
    const total = await append(database.db, session, count);
    const events = await readEventsAfter(database.db, ownLog(session), total - count, count);
    const log = { after: total - count, events: () => events };
    return [total, () => hints.publish({ sessions: [session], logs: new Map([[session, log]]) })];
  };
  /** Reads until the sequence has come. @returns everything that came */
  const readTo = async (subscription: Subscription, last: number, seen: number[] = []) => {
    while ((seen.at(-1) ?? 0) < last) {
      const events = await subscription.next(FOREVER_MS);
      if (events === null) throw new Error("the subscription was closed");
      seen.push(...events.map((event) => event.sequence));
    }
    return seen;
  };
  const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

  test("200 subscribers of one session get each of 500 events once and in order (I1, I2)", async () => {
    const feed = await startFeed();
    const session = await newSession(database.db);
    const readers = Array.from({ length: 200 }, () => readTo(subscribe(feed, session, 0), 500));
    for (let n = 0; n < 100; n += 1) {
      await append(database.db, session, 5);
      hint(session);
    }
    for (const seen of await Promise.all(readers)) expect(seen).toEqual(numbers(1, 500));
  });

  test("one wake-up costs one read, however many watch", async () => {
    const session = await newSession(database.db);
    let reads = 0;
    const sql = new Proxy(database.db.sql, {
      apply(target, self, args) {
        if (String(args[0]).includes("from events")) reads += 1;
        return Reflect.apply(target, self, args) as unknown;
      },
    });
    const feed = createFeed({ db: { ...database.db, sql }, hints, log: silentLog, clock: manualClock() });
    feeds.push(feed);
    await feed.start();
    const subscriptions = Array.from({ length: 50 }, () => subscribe(feed, session, 0));
    const first = subscriptions.map((subscription) => readTo(subscription, 1));
    await append(database.db, session, 1);
    hint(session);
    await Promise.all(first);
    // Waiting again, every one of them has joined the live ones.
    const second = subscriptions.map((subscription) => readTo(subscription, 2));
    await until(() => subscriptions.every((subscription) => subscription.isLive()));
    reads = 0;
    await append(database.db, session, 1);
    hint(session);
    await Promise.all(second);
    expect(reads).toBeLessThanOrEqual(2);
  });

  test("what this process wrote comes along with the hint and is not read", async () => {
    const session = await newSession(database.db);
    let reads = 0;
    const sql = new Proxy(database.db.sql, {
      apply(target, self, args) {
        reads += 1;
        return Reflect.apply(target, self, args) as unknown;
      },
    });
    const feed = createFeed({ db: { ...database.db, sql }, hints, log: silentLog, clock: manualClock() });
    feeds.push(feed);
    await feed.start();
    const subscriptions = Array.from({ length: 5 }, () => subscribe(feed, session, 0));
    const first = subscriptions.map((subscription) => readTo(subscription, 2));
    (await appendHere(session, 2))[1]();
    await Promise.all(first);
    const second = subscriptions.map((subscription) => readTo(subscription, 5));
    await until(() => subscriptions.every((subscription) => subscription.isLive()));
    reads = 0;
    const [, tell] = await appendHere(session, 3);
    tell();
    for (const seen of await Promise.all(second)) expect(seen).toEqual([3, 4, 5]);
    expect(reads).toBe(0);
    // Told twice, or told what is older than what is known, it hands on nothing twice.
    tell();
    const third = subscriptions.map((subscription) => readTo(subscription, 6));
    (await appendHere(session, 1))[1]();
    for (const seen of await Promise.all(third)) expect(seen).toEqual([6]);
    // What is no news costs a look, and what comes during the look another.
    expect(reads).toBeLessThanOrEqual(2);
  });

  test("a reader that does not read loses its buffer, not its place", async () => {
    const feed = await startFeed();
    const session = await newSession(database.db);
    const slow = subscribe(feed, session, 0);
    const quick = subscribe(feed, session, 0);
    const bystander = readTo(quick, 3 * limits.sseBufferEvents);
    const seen = await (async () => {
      const first = readTo(slow, 1);
      await append(database.db, session, 1);
      hint(session);
      return first;
    })();
    // Live now, it stops reading while more comes than its buffer takes.
    let total = 1;
    while (total < 3 * limits.sseBufferEvents) {
      total = await append(database.db, session, Math.min(100, 3 * limits.sseBufferEvents - total));
      hint(session);
      await Bun.sleep(0);
    }
    expect(await bystander).toEqual(numbers(1, total));
    expect(await readTo(slow, total, seen)).toEqual(numbers(1, total));
  });

  test("a lost hint is found by the poll", async () => {
    const clock = manualClock();
    const feed = await startFeed(clock);
    const session = await newSession(database.db);
    const reading = readTo(subscribe(feed, session, 0), 2);
    await append(database.db, session, 1);
    hint(session);
    await append(database.db, session, 1);
    let isDone = false;
    void reading.then(() => {
      isDone = true;
    });
    await until(async () => {
      await clock.advance(1_000);
      return isDone;
    });
    expect(await reading).toEqual([1, 2]);
  });

  test("a session that was quiet for long is polled, too, more rarely", async () => {
    const clock = manualClock();
    const feed = await startFeed(clock);
    const session = await newSession(database.db);
    const subscription = subscribe(feed, session, 0);
    const reading = readTo(subscription, 1);
    for (let minute = 0; minute < 10; minute += 1) await clock.advance(60_000);
    await append(database.db, session, 1);
    let isDone = false;
    void reading.then(() => {
      isDone = true;
    });
    await until(async () => {
      await clock.advance(1_000);
      return isDone;
    });
    expect(await reading).toEqual([1]);
  });

  test("waiting ends with the time, with `close` and with the feed", async () => {
    const clock = manualClock();
    const feed = createFeed({ db: database.db, hints, log: silentLog, clock });
    await feed.start();
    const session = await newSession(database.db);
    const [timed, closed, stopped] = [0, 0, 0].map(() => subscribe(feed, session, 0));
    let isTimedOut = false;
    const timing = timed?.next(2_500, clock).finally(() => {
      isTimedOut = true;
    });
    await until(async () => {
      await clock.advance(1_000);
      return isTimedOut;
    });
    expect(clock.monotonicMs()).toBeGreaterThanOrEqual(2_500);
    expect(await timing).toEqual([]);
    const waiting = closed?.next(FOREVER_MS);
    closed?.close();
    closed?.close();
    expect(await waiting).toBeNull();
    expect(feed.subscribers()).toBe(2);
    const last = stopped?.next(60_000);
    await feed.stop();
    expect(await last).toBeNull();
  });

  test("a read that fails costs nothing but the wait for the poll", async () => {
    const clock = manualClock();
    let isBroken = false;
    const sql = new Proxy(database.db.sql, {
      apply(target, self, args) {
        if (isBroken) return Promise.reject(new Error("the database is out of reach"));
        return Reflect.apply(target, self, args) as unknown;
      },
    });
    const feed = createFeed({ db: { ...database.db, sql }, hints, log: silentLog, clock });
    feeds.push(feed);
    await feed.start();
    const session = await newSession(database.db);
    const subscription = subscribe(feed, session, 0);
    await append(database.db, session, 1);
    expect(await readTo(subscription, 1)).toEqual([1]);
    const reading = readTo(subscription, 2);
    await until(() => subscription.isLive());
    await append(database.db, session, 1);
    isBroken = true;
    hint(session);
    await clock.advance(1_000);
    isBroken = false;
    let isDone = false;
    void reading.then(() => {
      isDone = true;
    });
    await until(async () => {
      await clock.advance(1_000);
      return isDone;
    });
    expect(await reading).toEqual([2]);
  });

  /** What may happen in any order. Readers are named by a number, taken modulo how many there are. */
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("append"), count: fc.integer({ min: 1, max: 8 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("flood"), count: fc.integer({ min: 400, max: 700 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ kind: fc.constant("write"), count: fc.integer({ min: 1, max: 8 }) }),
    },
    // Written by this process, but its notice comes later, or behind that of a later write.
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("hold"), count: fc.integer({ min: 1, max: 8 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("release"), at: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("hint") }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("poll") }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("subscribe"), at: fc.nat() }) },
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("read"), reader: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("close"), reader: fc.nat() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("yield"), ms: fc.integer({ min: 0, max: 2 }) }) },
  );
  type Step = { kind: string; count?: number; at?: number; reader?: number; ms?: number };

  test("whatever the order of appends, hints, polls and readers, each reader gets everything after its cursor once (I1, I2)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step as fc.Arbitrary<Step>, { minLength: 5, maxLength: 40 }),
        async (steps) => {
          const clock = manualClock();
          const feed = createFeed({ db: database.db, hints, log: silentLog, clock });
          await feed.start();
          const session = await newSession(database.db);
          const readers: { subscription: Subscription; from: number; seen: number[]; busy: boolean }[] = [];
          const held: (() => void)[] = [];
          let total = 0;
          const read = async (reader: (typeof readers)[number]) => {
            if (reader.busy) return;
            reader.busy = true;
            const events = await reader.subscription.next(FOREVER_MS);
            reader.seen.push(...(events ?? []).map((event) => event.sequence));
            reader.busy = false;
          };
          const pick = (n = 0) => readers[n % Math.max(1, readers.length)];
          for (const { kind, count = 0, at = 0, reader = 0, ms = 0 } of steps) {
            const one = pick(reader);
            if (kind === "append" || kind === "flood") total = await append(database.db, session, count);
            else if (kind === "write" || kind === "hold") {
              const [last, tell] = await appendHere(session, count);
              total = last;
              if (kind === "write") tell();
              else held.push(tell);
            } else if (kind === "release") held.splice(at % Math.max(1, held.length), 1)[0]?.();
            else if (kind === "hint") hint(session);
            else if (kind === "poll") await clock.advance(1_000);
            else if (kind === "yield") await Bun.sleep(ms);
            else if (kind === "subscribe") {
              const from = at % (total + 1);
              readers.push({ subscription: subscribe(feed, session, from), from, seen: [], busy: false });
            } else if (kind === "read" && one) void read(one);
            else if (kind === "close" && one) {
              one.subscription.close();
              readers.splice(readers.indexOf(one), 1);
            }
          }
          total = await append(database.db, session, 1);
          const deadline = Date.now() + 5_000;
          const isBehind = () => readers.filter(({ seen }) => (seen.at(-1) ?? 0) < total);
          while (isBehind().length > 0 && Date.now() < deadline) {
            for (const reader of isBehind()) void read(reader);
            await clock.advance(1_000);
            await Bun.sleep(1);
          }
          for (const { from, seen } of readers) expect(seen).toEqual(numbers(from + 1, total));
          for (const { subscription } of readers) subscription.close();
          expect(feed.subscribers()).toBe(0);
          await feed.stop();
        },
      ),
      { numRuns: 60 },
    );
  });
});
