import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createGroupedReader } from "../../src/db/grouped-reader.ts";
import { openDb } from "../../src/db/pool.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, readLog, send } from "../support/sessions.ts";

describe("the grouped reader", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(() => database.drop());

  test("answers each of many readers with its own part of the log, however they are mixed", async () => {
    const sessions: string[] = [];
    for (let n = 0; n < 12; n += 1) {
      const session = await newSession(database.db);
      for (let k = 0; k <= n; k += 1) await send(database.db, session, `${n}.${k}`);
      sessions.push(session);
    }
    const reader = createGroupedReader(database.db, 1_000);
    const wanted = sessions.flatMap((session) =>
      Array.from({ length: 15 }, (_, cursor) => ({ session, cursor })),
    );
    const found = await Promise.all(wanted.map(({ session, cursor }) => reader.read(session, cursor)));
    for (const [index, { session, cursor }] of wanted.entries()) {
      const expected = (await readLog(database.db, session)).filter((event) => event.sequence > cursor);
      expect(found[index]).toEqual(expected);
    }
  });

  test("brings at most its limit, the oldest first", async () => {
    const session = await newSession(database.db);
    for (let k = 0; k < 9; k += 1) await send(database.db, session, `${k}`);
    const reader = createGroupedReader(database.db, 4);
    const [first, second] = await Promise.all([reader.read(session, 0), reader.read(session, 7)]);
    expect(first.map((event) => event.sequence)).toEqual([1, 2, 3, 4]);
    expect(second.map((event) => event.sequence)).toEqual([8, 9, 10]);
    expect(await reader.read(session, 10)).toEqual([]);
  });

  test("tells every reader of a group when the database fails, and the next ones, too", async () => {
    const session = await newSession(database.db);
    await send(database.db, session, "hello");
    const broken = openDb({ socketPath: "/nowhere/.s.PGSQL.5432", user: "x", database: "x" });
    const reader = createGroupedReader(broken, 10);
    const results = await Promise.allSettled([reader.read(session, 0), reader.read(session, 1)]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
    expect((await Promise.allSettled([reader.read(session, 0)]))[0]?.status).toBe("rejected");
    await broken.close();
  });
});
