import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { createHints, type Hint, type Hints } from "../../src/db/hints.ts";
import type { Db } from "../../src/db/pool.ts";
import { cutConnections, until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

describe("hints", () => {
  let database: TestDatabase;
  const open: Hints[] = [];
  beforeAll(async () => {
    database = await testDatabase();
  });
  afterAll(async () => {
    for (const hints of open) await hints.stop();
    await database.drop();
  });

  /** One process: its hints and what they told. */
  const startProcess = async (db: Db = database.db) => {
    const hints = createHints({ db, log: silentLog });
    open.push(hints);
    const heard: Hint[] = [];
    hints.subscribe((hint) => heard.push(hint));
    await hints.start();
    return { hints, heard };
  };
  const sessions = (heard: readonly Hint[]) => heard.flatMap((hint) => hint.sessions);

  test("reach the own process at once, the others through the database, each once", async () => {
    const [a, b] = [await startProcess(), await startProcess()];
    // Until it has heard of the other one, `a` sends nothing.
    b.hints.publish({ sessions: ["session_begin"] });
    await until(() => sessions(a.heard).includes("session_begin"));
    for (const { heard } of [a, b]) heard.length = 0;
    const [session, run] = [newId("session"), newId("turn")];
    a.hints.publish({ sessions: [session], cancelled: [run], isQueued: true });
    const expected = { sessions: [session], cancelled: [run], isQueued: true, isEverything: false };
    expect(a.heard).toEqual([expected]);
    await until(() => b.heard.length > 0);
    expect(b.heard).toEqual([expected]);
    // Its own notice comes back to `a`; after the next one it must have.
    b.hints.publish({ sessions: ["session_end"] });
    await until(() => sessions(a.heard).includes("session_end"));
    expect(a.heard).toHaveLength(2);
  });

  test("are gathered: many at once go out in few notices, and none is left out", async () => {
    const [a, b] = [await startProcess(), await startProcess()];
    const ids = Array.from({ length: 1_000 }, () => newId("session"));
    for (const id of ids) a.hints.publish({ sessions: [id] });
    await until(() => sessions(b.heard).length >= ids.length);
    expect(new Set(sessions(b.heard))).toEqual(new Set(ids));
    // The first goes by itself; the 999 that came meanwhile fit into eight payloads.
    expect(b.heard.length).toBeLessThanOrEqual(10);
  });

  test("a process that listens alone sends nothing; one that joins is heard, and told from then on", async () => {
    const own = await testDatabase();
    try {
      let sent = 0;
      let counted = 0;
      const sql = new Proxy(own.db.sql, {
        apply(target, self, args) {
          const text = (args[0] as string[]).join();
          if (text.includes("pg_notify")) sent += 1;
          if (text.includes("pg_stat_activity")) counted += 1;
          return Reflect.apply(target, self, args) as unknown;
        },
      });
      const a = await startProcess({ ...own.db, sql });
      const greetings = sent;
      a.hints.publish({ sessions: ["session_alone"], isQueued: true });
      await a.hints.stop();
      expect(sessions(a.heard)).toEqual(["session_alone"]);
      expect([greetings, sent]).toEqual([1, 1]);

      const isLeft = async () =>
        (
          await own.db.sql`select from pg_stat_activity where datname = current_database()
                             and starts_with(application_name, 'everruns-listen')`
        ).length === 0;
      await until(isLeft);
      counted = 0;
      const b = await startProcess({ ...own.db, sql });
      const c = await startProcess(own.db);
      await until(() => {
        b.hints.publish({ sessions: ["session_joined"] });
        return sessions(c.heard).includes("session_joined");
      });
      // It was not its own count that told it.
      expect(counted).toBe(1);
      expect(b.heard.filter((hint) => hint.sessions.length === 0)).toEqual([]);
      for (const { hints } of [b, c]) await hints.stop();
    } finally {
      await own.drop();
    }
  });

  test("a listener that was cut off looks at everything when it listens again", async () => {
    const { heard } = await startProcess();
    await cutConnections(database.db, { applicationName: "everruns-listen" });
    await until(() => heard.some((hint) => hint.isEverything));
    expect(heard.find((hint) => hint.isEverything)?.isQueued).toBe(true);
    const other = await startProcess();
    other.hints.publish({ sessions: ["session_after"] });
    await until(() => sessions(heard).includes("session_after"));
  });

  for (const payload of ["", "not json", "5", "null", '{"p":"x"}', '{"s":[],"c":1}']) {
    test(`a notice of somebody else (${JSON.stringify(payload)}) means: look at everything`, async () => {
      const { heard } = await startProcess();
      await database.db.sql`select pg_notify('everruns', ${payload})`;
      await until(() => heard.length > 0);
      expect(heard).toEqual([{ sessions: [], cancelled: [], isQueued: true, isEverything: true }]);
    });
  }

  test("that cannot be sent are lost without a word, and the next ones go", async () => {
    let isBroken = true;
    const sql = new Proxy(database.db.sql, {
      apply(target, self, args) {
        if (isBroken) return Promise.reject(new Error("out of reach"));
        return Reflect.apply(target, self, args) as unknown;
      },
    });
    const a = await startProcess({ ...database.db, sql });
    const b = await startProcess();
    a.hints.publish({ sessions: ["session_lost"] });
    await Bun.sleep(0);
    isBroken = false;
    a.hints.publish({ sessions: ["session_found"] });
    await until(() => sessions(b.heard).includes("session_found"));
    expect(sessions(b.heard)).not.toContain("session_lost");
  });

  test("end with `stop`, also without `start` and twice", async () => {
    const hints = createHints({ db: database.db, log: silentLog });
    await hints.stop();
    await hints.stop();
    const { hints: started } = await startProcess();
    await started.stop();
    await started.stop();
  });
});
