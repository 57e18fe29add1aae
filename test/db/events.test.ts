import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import {
  countEvents,
  type EventFilter,
  listEvents,
  newestSequences,
  readEventsAfter,
  resolveCursor,
  sessionHead,
  turnStartAtOrBefore,
} from "../../src/db/events.ts";
import { ownLog } from "../../src/db/lineage.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { append } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { GOLDEN_SCRIPTS } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

const EVERYTHING: EventFilter = {
  types: null,
  exclude: [],
  afterSequence: null,
  beforeSequence: null,
  since: null,
  until: null,
  turnId: null,
  execId: null,
  traceId: null,
  toolName: null,
  tags: null,
  q: null,
};

describe("reading the log", () => {
  let database: TestDatabase;
  let session: string;
  let log: Event[];
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
    const engine = await startEngine(database);
    session = await newSession(database.db);
    for (const name of ["parallel-tools", "answer"]) {
      const before = log?.length ?? 0;
      await send(database.db, session, GOLDEN_SCRIPTS.find((one) => one.name === name)?.message ?? "");
      engine.hint();
      log = await logOnce(database.db, session, (events) => events.length > before && isIdle(events));
    }
    await engine.stop();
    const tags = ["blue", 'a "b", c'];
    await database.db.sql`
      update events set tags = ${tags}::text[] where session_id = ${session} and sequence in (1, 3)`;
    log = await readLog(database.db, session);
  });
  afterAll(() => database.drop());

  const cases: [string, (log: Event[]) => Partial<EventFilter>, (event: Event, log: Event[]) => boolean][] = [
    ["everything", () => ({}), () => true],
    ["types", () => ({ types: ["turn.started"] }), (event) => event.type === "turn.started"],
    ["no type at all", () => ({ types: [] }), () => false],
    ["exclude", () => ({ exclude: ["turn.started"] }), (event) => event.type !== "turn.started"],
    [
      "types and exclude",
      () => ({ types: ["turn.started", "turn.completed"], exclude: ["turn.started"] }),
      (event) => event.type === "turn.completed",
    ],
    ["after a sequence", () => ({ afterSequence: 5 }), (event) => event.sequence > 5],
    ["before a sequence", () => ({ beforeSequence: 5 }), (event) => event.sequence < 5],
    [
      "between",
      () => ({ afterSequence: 3, beforeSequence: 7 }),
      (event) => event.sequence > 3 && event.sequence < 7,
    ],
    [
      "since",
      (all) => ({ since: new Date(all[9]?.ts ?? 0) }),
      (event, all) => event.ts >= (all[9]?.ts ?? ""),
    ],
    ["until long ago", () => ({ until: new Date(0) }), () => false],
    [
      "a turn",
      (all) => ({ turnId: all[0]?.context?.turn_id ?? "" }),
      (event, all) => event.context?.turn_id === all[0]?.context?.turn_id,
    ],
    [
      "a tool, by the name of the call and of the result",
      () => ({ toolName: "read_file" }),
      (event) => /^tool\./.test(event.type) && JSON.stringify(event.data).includes('"read_file"'),
    ],
    ["any of the tags", () => ({ tags: ["blue", "none"] }), (event) => event.tags !== undefined],
    ["a tag that needs quotes", () => ({ tags: ['a "b", c'] }), (event) => event.tags !== undefined],
    [
      "text in the data, whatever the case",
      () => ({ q: "ALL DONE" }),
      (event) => /all done/i.test(JSON.stringify(event.data)),
    ],
    [
      "text with the wildcards of SQL",
      () => ({ q: "%" }),
      (event) => JSON.stringify(event.data).includes("%"),
    ],
  ];
  for (const [name, filterOf, passes] of cases) {
    test(`filter: ${name}`, async () => {
      const filter = { ...EVERYTHING, ...filterOf(log) };
      const expected = log.filter((event) => passes(event, log));
      const page = (limit: number | null, from: "start" | "end") =>
        listEvents(database.db, ownLog(session), filter, { limit, from });
      expect(await page(null, "start")).toEqual(expected);
      expect(await page(3, "start")).toEqual(expected.slice(0, 3));
      expect(await page(3, "end")).toEqual(expected.slice(-3));
      // The count is of the log, wherever the page lies: a window of sequences does not narrow it.
      const isWindow = filter.afterSequence !== null || filter.beforeSequence !== null;
      expect(await countEvents(database.db, ownLog(session), filter)).toBe(
        (isWindow ? log : expected).filter((event) => !event.type.endsWith(".delta")).length,
      );
    });
  }

  test("after a cursor: oldest first, at most the limit, of this session only", async () => {
    const other = await newSession(database.db);
    await append(database.db, other, 5);
    expect(await readEventsAfter(database.db, ownLog(session), 4, 3)).toEqual(log.slice(4, 7));
    expect(await readEventsAfter(database.db, ownLog(session), log.length, 3)).toEqual([]);
    expect(
      (await readEventsAfter(database.db, ownLog(other), 0, 100)).map((event) => event.sequence),
    ).toEqual([1, 2, 3, 4, 5]);
  });

  test("the start of a turn is found at it and behind it, not before the first", async () => {
    const starts = log.filter((event) => event.type === "turn.started").map((event) => event.sequence);
    const [first = 0, second = 0] = starts;
    const find = (sequence: number) => turnStartAtOrBefore(database.db, ownLog(session), sequence);
    expect(await find(first - 1)).toBeNull();
    expect(await find(first)).toBe(first);
    expect(await find(second - 1)).toBe(first);
    expect(await find(1_000_000)).toBe(second);
  });

  test("a cursor is an id of this very session, also of an event that is pruned", async () => {
    const resolve = (id: string, of = session) => resolveCursor(database.db, ownLog(of), id);
    const last = log.at(-1);
    expect(await resolve(last?.id ?? "")).toBe(last?.sequence ?? -1);
    const other = await newSession(database.db);
    await append(database.db, other, 3);
    const [foreign] = await readLog(database.db, other);
    expect(await resolve(foreign?.id ?? "")).toBeNull();
    expect(await resolve(last?.id ?? "", other)).toBeNull();
    expect(await resolve(last?.id ?? "", newId("session"))).toBeNull();
    for (const id of ["", "event_1", newId("turn"), `event_${"f".repeat(32)}`])
      expect(await resolve(id)).toBeNull();
    await database.db.sql`delete from events where session_id = ${other} and sequence = 1`;
    expect(await resolve(foreign?.id ?? "", other)).toBe(1);
  });

  test("newest sequences and heads; a foreign or deleted session has none (I12)", async () => {
    const gone = newId("session");
    expect(await newestSequences(database.db, [session, gone])).toEqual(new Map([[session, log.length]]));
    expect(await newestSequences(database.db, [])).toEqual(new Map());
    expect(await sessionHead(database.db, ORGANIZATION, session)).toEqual({
      log: ownLog(session),
      lastSequence: log.length,
      status: "idle",
    });
    expect(await sessionHead(database.db, newId("org"), session)).toBeNull();
    const deleted = await newSession(database.db);
    await database.db.sql`update sessions set deleted_at = now() where id = ${deleted}`;
    expect(await sessionHead(database.db, ORGANIZATION, deleted)).toBeNull();
  });
});
