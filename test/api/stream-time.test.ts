/** What a stream does as time goes by: heartbeats, its end, its credential. The clock is the test's. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openAccess } from "../../src/api/access/access.ts";
import { identifyByCredential } from "../../src/api/access/authenticate.ts";
import { manualClock } from "../../src/base/clock.ts";
import { limits } from "../../src/contract/limits.ts";
import { bearer, makeToken, makeUser } from "../support/callers.ts";
import { append, type LiveServer, openStream, startServer, until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, readLog } from "../support/sessions.ts";

describe("the event stream over time", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.drop());

  /** A server of its own whose clock stands until the test moves it. */
  async function standing() {
    const clock = manualClock();
    const own = await startServer(database, { clock });
    const session = await newSession(database.db);
    const stream = (query = "") => openStream(`${own.url}/v1/sessions/${session}/sse${query}`);
    /** Moves the clock second by second until the promise settles. @returns seconds */
    const secondsUntil = async (promise: Promise<unknown>) => {
      let isSettled = false;
      void promise.finally(() => {
        isSettled = true;
      });
      let seconds = 0;
      for (; !isSettled; seconds += 1) {
        await clock.advance(1_000);
        // What the step set going has to come through a socket.
        await Bun.sleep(2);
      }
      return seconds;
    };
    return { clock, own, session, stream, secondsUntil };
  }
  const heartbeats = (chunks: readonly string[]) =>
    chunks
      .join("")
      .split("\n\n")
      .filter((frame) => frame === ": heartbeat").length;

  test("a heartbeat comes after 15 s of silence", async () => {
    const { own, stream, secondsUntil } = await standing();
    const open = await stream();
    await open.next();
    const frame = open.next();
    const beaten = until(() => heartbeats(open.chunks) === 1);
    expect(await secondsUntil(beaten)).toBeGreaterThanOrEqual(limits.sseHeartbeatMs / 1_000);
    own.shutDown();
    await secondsUntil(frame);
    await own.stop();
  });

  test("a heartbeat comes also while a filter lets nothing through", async () => {
    const { clock, own, session, stream } = await standing();
    const open = await stream("?types=session.idled");
    await open.next();
    const frame = open.next();
    for (let second = 1; second <= 40; second += 1) {
      await append(database.db, session, 1);
      own.hints.publish({ sessions: [session] });
      await Bun.sleep(5);
      await clock.advance(1_000);
    }
    await until(() => heartbeats(open.chunks) >= 2);
    open.close();
    await frame.catch(() => {});
    await own.stop();
  });

  for (const [reason, end] of [
    ["connection_cycle", null],
    ["server_maintenance", (own: LiveServer) => own.shutDown()],
  ] as const) {
    test(`disconnecting (${reason}) comes alone, after a pause, and closes`, async () => {
      const { own, session, stream, secondsUntil } = await standing();
      await append(database.db, session, 2);
      const open = await stream();
      await open.next();
      expect((await open.nextEvent())?.sequence).toBe(1);
      expect((await open.nextEvent())?.sequence).toBe(2);
      const farewell = open.next();
      end?.(own);
      const seconds = await secondsUntil(farewell);
      if (end === null) {
        expect(seconds).toBeGreaterThanOrEqual((limits.sseCycleMs * 0.8) / 1_000);
        expect(seconds).toBeLessThanOrEqual((limits.sseCycleMs * 1.2) / 1_000 + 2);
      }
      const frame = await farewell;
      expect(frame).toMatchObject({ event: "disconnecting", id: null });
      expect(JSON.parse(frame?.data ?? "")).toEqual({
        reason,
        // Minutes without an event, or just after one.
        retry_ms: end === null ? 500 : 100,
      });
      // A comment may share its chunk: clients lose events alone, and the test's clock runs faster than the socket.
      const last = open.chunks.at(-1)?.replaceAll(": heartbeat\n\n", "");
      expect(last).toStartWith("event: disconnecting\n");
      expect(await open.next()).toBeNull();
      expect([own.streams.open(), own.feed.subscribers()]).toEqual([0, 0]);
      await own.stop();
    });
  }

  test("a client that connects again to an idle session costs two statements", async () => {
    const { own, session, stream, secondsUntil } = await standing();
    await append(database.db, session, 3);
    const id = (await readLog(database.db, session)).at(-1)?.id;
    const before = own.statements();
    const open = await stream(`?since_id=${id}&caught_up=true`);
    await open.next();
    expect((await open.next())?.event).toBe("stream.caught_up");
    expect(own.statements() - before).toBe(2);
    own.shutDown();
    await secondsUntil(open.next());
    await own.stop();
  });

  test.each([
    ["a session", (session: string) => `/sessions/${session}/sse`],
    ["the engine", () => "/durable/sse"],
  ])(
    "a stream of %s whose credential ended is sent away within about a minute; others go on",
    async (_, path) => {
      const clock = manualClock();
      const access = openAccess({ jwtKey: new Uint8Array(32), clock });
      const own = await startServer(database, { clock, identify: (db) => identifyByCredential(db, access) });
      const { id } = await makeUser(database.db);
      const [kept, revoked] = [await makeToken(database.db, id), await makeToken(database.db, id)];
      const url = `${own.url}/v1${path(await newSession(database.db))}`;
      const open = (token: string) => openStream(url, { headers: bearer(token) });
      const [one, other] = [await open(kept.token), await open(revoked.token)];
      expect([(await one.next())?.event, (await other.next())?.event]).toEqual(["connected", "connected"]);
      expect((await open("evr_pat_x")).status).toBe(401);

      const next = async (reader: typeof one) => {
        for (;;) {
          const frame = await reader.next();
          if (frame?.event !== "snapshot") return frame;
        }
      };
      await database.db.sql`update access_tokens set revoked_at = now() where id = ${revoked.id}`;
      const [going, farewell] = [next(one), next(other)];
      let isOver = false;
      void farewell.finally(() => {
        isOver = true;
      });
      let seconds = 0;
      for (; !isOver; seconds += 1) {
        await clock.advance(1_000);
        await Bun.sleep(2);
      }
      expect(seconds).toBeGreaterThanOrEqual(limits.sseCheckMs / 1_000);
      expect(seconds).toBeLessThan((limits.sseCycleMs * 0.8) / 1_000);
      expect(await farewell).toMatchObject({ event: "disconnecting" });
      expect(await other.next()).toBeNull();
      expect((await open(revoked.token)).status).toBe(401);
      expect(own.streams.open()).toBe(1);
      one.close();
      await going.catch(() => {});
      await own.stop();
    },
  );

  test("a stream that opens while the server goes down is sent away, too", async () => {
    const { own, stream, secondsUntil } = await standing();
    own.shutDown();
    const open = await stream();
    const end = (async () => {
      await open.next();
      return open.next();
    })();
    await secondsUntil(end);
    expect((await end)?.event).toBe("disconnecting");
    await own.stop();
  });
});
