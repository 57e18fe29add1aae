import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { openPool } from "../../src/db/pool.ts";
import {
  forgetMessages,
  pruneTurns,
  purgeDeletedSessions,
  purgeDeletedTrees,
} from "../../src/db/retention.ts";
import { deleteSession } from "../../src/db/session-rows.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";

describe("retention", () => {
  const databases: TestDatabase[] = [];
  let database: TestDatabase;
  beforeEach(async () => {
    database = await testDatabase();
    databases.push(database);
  });
  afterAll(async () => {
    for (const one of databases) await one.drop();
  });

  /** A session with one ended turn for each age in days: a step, three events, and a file in its workspace. */
  const sessionOf = async (...agesDays: number[]): Promise<string> => {
    const { sql } = database.db;
    const session = await newSession(database.db);
    const workspace = session.replace("session_", "wsp_");
    await sql`insert into file_trees (id, organization_id, name, is_session_default, files_version, size_bytes, entry_count)
              values (${workspace}, ${ORGANIZATION}, ${workspace}, true, 1, 0, 1)`;
    await sql`insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, size_bytes)
              values (${workspace}, '/notes', gen_random_uuid(), ${ORGANIZATION}, true, false, 0)`;
    for (const days of agesDays) {
      const sent = await send(database.db, session, "hello", { clientMessageId: newId("message") });
      if (sent.outcome !== "started") throw new Error(sent.outcome);
      await sql`insert into steps (run_id, name, kind, status, attempt, started_at, finished_at)
                values (${sent.turnId}, 'reason:1', 'reason', 'settled', 1, now(), now())`;
      await sql`update runs set state = 'completed', finished_at = now() - ${days} * interval '1 day'
                 where id = ${sent.turnId}`;
      await sql`update sessions set status = 'idle', active_run_id = null where id = ${session}`;
      await sql`update events set ts = now() - ${days} * interval '1 day'
                 where session_id = ${session} and sequence >= ${sent.sequence}`;
      await sql`update accepted_messages set created_at = now() - ${days} * interval '1 day'
                 where turn_id = ${sent.turnId}`;
    }
    return session;
  };
  const forkOf = async (session: string, upTo: number): Promise<string> => {
    const fork = await newSession(database.db);
    await database.db.sql`
      update sessions set forked_from_session_id = ${session}, forked_from_sequence = ${upTo},
             lineage_ids = array[${session}]::text[], lineage_up_to = array[${upTo}]::bigint[]
       where id = ${fork}`;
    return fork;
  };
  const sequences = async (session: string) =>
    (await readLog(database.db, session)).map((one) => one.sequence);
  /** Rows of every table that knows the session. */
  const rowsOf = async (session: string) => {
    const [row] = await database.db.sql`
      select (select count(*) from sessions where id = ${session}) as sessions,
             (select count(*) from events where session_id = ${session}) as events,
             (select count(*) from runs where session_id = ${session}) as runs,
             (select count(*) from steps join runs on runs.id = run_id where session_id = ${session}) as steps,
             (select count(*) from accepted_messages where session_id = ${session}) as messages,
             (select count(*) from file_trees where id = ${session.replace("session_", "wsp_")}) as workspaces,
             (select count(*) from files where tree_id = ${session.replace("session_", "wsp_")}) as files`;
    return row;
  };
  const NOTHING = { sessions: 0, events: 0, runs: 0, steps: 0, messages: 0, workspaces: 0, files: 0 };
  const deletedAgo = async (session: string, days: number) => {
    expect(await deleteSession(database.db, ORGANIZATION, session)).toBe("deleted");
    await database.db
      .sql`update sessions set deleted_at = now() - ${days} * interval '1 day' where id = ${session}`;
    await database.db.sql`
      update file_trees set updated_at = now() - ${days} * interval '1 day'
       where id = ${session.replace("session_", "wsp_")} and status = 'deleted'`;
  };

  test("prunes the old turns of a log from its beginning, and nothing of a newer one (I1)", async () => {
    const session = await sessionOf(40, 35, 5);
    const young = await sessionOf(3);
    const before = await rowsOf(young);
    expect(await pruneTurns(database.db, { keepDays: 30, after: "" })).toEqual({
      events: 4,
      steps: 2,
      after: "",
      hasMore: false,
    });
    expect(await sequences(session)).toEqual([5, 6]);
    expect(await rowsOf(session)).toMatchObject({ sessions: 1, runs: 3, steps: 1, messages: 3, files: 1 });
    expect(await rowsOf(young)).toEqual(before);
    expect(await send(database.db, session, "on")).toMatchObject({ outcome: "started", sequence: 7 });
  });

  test("an old turn behind one that must stay is kept: what is pruned is a beginning", async () => {
    const session = await sessionOf(40, 5, 35);
    await pruneTurns(database.db, { keepDays: 30, after: "" });
    expect(await sequences(session)).toEqual([3, 4, 5, 6]);
    expect(await rowsOf(session)).toMatchObject({ steps: 2 });
  });

  test("a session with a turn under way is left alone by everything", async () => {
    const session = await sessionOf(40, 35);
    await send(database.db, session, "now");
    const before = await rowsOf(session);
    expect(await pruneTurns(database.db, { keepDays: 30, after: "" })).toMatchObject({ events: 0, steps: 0 });
    expect(await forgetMessages(database.db, { keepDays: 30 })).toMatchObject({ messages: 0 });
    expect(await purgeDeletedSessions(database.db, { keepDays: 0 })).toMatchObject({ sessions: 0 });
    expect(await rowsOf(session)).toEqual(before);
  });

  test("walks over all sessions in portions", async () => {
    const sessions: string[] = [];
    for (let n = 0; n < 60; n += 1) sessions.push(await sessionOf(40));
    const first = await pruneTurns(database.db, { keepDays: 30, after: "" });
    expect(first).toMatchObject({ events: 100, hasMore: true });
    expect(await pruneTurns(database.db, { keepDays: 30, after: first?.after ?? "" })).toMatchObject({
      events: 20,
      after: "",
      hasMore: false,
    });
    for (const session of sessions) expect(await sequences(session)).toEqual([]);
  });

  test("removes a deleted session for good after its grace, table by table, and no other", async () => {
    const [gone, fresh, alive] = [await sessionOf(1, 1), await sessionOf(1), await sessionOf(1)];
    await deletedAgo(gone, 8);
    await deletedAgo(fresh, 1);
    const before = [await rowsOf(fresh), await rowsOf(alive)];
    expect(await purgeDeletedSessions(database.db, { keepDays: 7 })).toEqual({
      sessions: 1,
      events: 4,
      hasMore: false,
    });
    expect(await purgeDeletedTrees(database.db, { keepDays: 7 })).toEqual({
      trees: 1,
      files: 1,
      hasMore: false,
    });
    expect(await rowsOf(gone)).toEqual(NOTHING as never);
    expect([await rowsOf(fresh), await rowsOf(alive)]).toEqual(before);
  });

  test("a workspace stays as long as another session has it", async () => {
    const [gone, sharing] = [await sessionOf(1), await sessionOf()];
    await database.db.sql`
      update sessions set workspace_id = ${gone.replace("session_", "wsp_")} where id = ${sharing}`;
    await deletedAgo(gone, 8);
    expect(await purgeDeletedSessions(database.db, { keepDays: 7 })).toMatchObject({ sessions: 1 });
    expect(await purgeDeletedTrees(database.db, { keepDays: 0 })).toMatchObject({ trees: 0 });
    expect(await rowsOf(gone)).toEqual({ ...NOTHING, workspaces: 1, files: 1 } as never);
    await deletedAgo(sharing, 8);
    await database.db
      .sql`update file_trees set updated_at = now() - interval '8 days' where status = 'deleted'`;
    expect(await purgeDeletedTrees(database.db, { keepDays: 7 })).toMatchObject({ trees: 1 });
    expect(await rowsOf(gone)).toEqual({ ...NOTHING } as never);
  });

  test("a workspace that was made by hand outlives its sessions; one that was never finished does not stay", async () => {
    const { sql } = database.db;
    const [named, begun, young] = [newId("wsp"), newId("wsp"), newId("wsp")];
    for (const [id, status, isDefault] of [
      [named, "active", false],
      [begun, "starting", true],
      [young, "starting", true],
    ] as const) {
      await sql`insert into file_trees (id, organization_id, name, status, is_session_default, files_version, size_bytes, entry_count)
                values (${id}, ${ORGANIZATION}, ${id}, ${status}, ${isDefault}, 1, 0, 0)`;
    }
    const session = await newSession(database.db);
    await sql`update sessions set workspace_id = ${named} where id = ${session}`;
    await deletedAgo(session, 8);
    await sql`update file_trees set updated_at = now() - interval '2 hours' where id = ${begun}`;
    await purgeDeletedSessions(database.db, { keepDays: 0 });
    expect(await purgeDeletedTrees(database.db, { keepDays: 0 })).toMatchObject({ trees: 1 });
    const left = await sql<{ id: string }[]>`select id from file_trees order by created_at`;
    expect(left.map(({ id }) => id)).toEqual([named, young]);
  });

  test("what a fork shows is kept until the fork is deleted, too", async () => {
    const [parent, pruned] = [await sessionOf(40), await sessionOf(40)];
    const forks = [await forkOf(parent, 2), await forkOf(pruned, 2)];
    await deletedAgo(parent, 8);
    expect(await purgeDeletedSessions(database.db, { keepDays: 7 })).toMatchObject({
      sessions: 0,
      events: 0,
    });
    expect(await pruneTurns(database.db, { keepDays: 30, after: "" })).toMatchObject({ events: 0 });
    for (const fork of forks) await deletedAgo(fork, 0);
    expect(await purgeDeletedSessions(database.db, { keepDays: 7 })).toMatchObject({
      sessions: 1,
      events: 2,
    });
    expect(await pruneTurns(database.db, { keepDays: 30, after: "" })).toMatchObject({ events: 2 });
    expect(await purgeDeletedTrees(database.db, { keepDays: 7 })).toMatchObject({ trees: 1 });
    expect(await rowsOf(parent)).toEqual(NOTHING as never);
  });

  test("forgets old message ids, no young ones", async () => {
    const session = await sessionOf(40, 5);
    expect(await forgetMessages(database.db, { keepDays: 30 })).toEqual({ messages: 1, hasMore: false });
    expect(await rowsOf(session)).toMatchObject({ messages: 1, events: 4 });
  });

  test("does nothing while another process is at it", async () => {
    const session = await sessionOf(40);
    const before = await rowsOf(session);
    const other = openPool(database.address, 1);
    const [locked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = other.begin(async (sql) => {
      await sql`select pg_advisory_xact_lock(${0x65_76_73_77})`;
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    expect(await pruneTurns(database.db, { keepDays: 30, after: "" })).toBeNull();
    expect(await purgeDeletedSessions(database.db, { keepDays: 0 })).toBeNull();
    expect(await purgeDeletedTrees(database.db, { keepDays: 0 })).toBeNull();
    expect(await forgetMessages(database.db, { keepDays: 1 })).toBeNull();
    expect(await rowsOf(session)).toEqual(before);
    release.resolve();
    await holding;
    await other.end({ timeout: 1 });
  });
});
