import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { claimRuns } from "../../src/db/claim.ts";
import { openPool, type Sql } from "../../src/db/pool.ts";
import {
  buryWorkers,
  heartbeatWorker,
  holdLivenessLock,
  registerWorker,
  workersWithoutLock,
} from "../../src/db/workers.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { newSession, send } from "../support/sessions.ts";

describe("workers in the database", () => {
  let database: TestDatabase;
  const connections: Sql[] = [];
  beforeAll(async () => {
    database = await testDatabase();
  });
  beforeEach(async () => {
    await database.db.sql`delete from workers`;
  });
  afterAll(async () => {
    for (const connection of connections) await connection.end({ timeout: 1 });
    await database.drop();
  });

  const register = async (id: string, lockKey: number) => {
    const connection = openPool(database.address, 1, { isLongLived: true });
    connections.push(connection);
    await registerWorker(database.db, connection, {
      id,
      hostname: "here",
      pid: 1,
      version: "test",
      concurrency: 4,
      lockKey,
    });
    return connection;
  };
  const pidOf = async (connection: Sql) =>
    (await connection<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0;
  const end = async (connection: Sql) => {
    await database.db.sql`select pg_terminate_backend(${await pidOf(connection)}, 5000)`;
  };

  test("one that holds its lock is not missed; one whose connection ended is, until it takes the lock again", async () => {
    await register("worker-a", 1);
    const b = await register("worker-b", 2);
    expect(await workersWithoutLock(database.db)).toEqual([]);
    await end(b);
    expect(await workersWithoutLock(database.db)).toEqual(["worker-b"]);
    await holdLivenessLock(b, 2);
    expect(await workersWithoutLock(database.db)).toEqual([]);
  });

  test("taking the lock again and again takes it once: it goes when the connection does", async () => {
    const connection = await register("worker-a", 3);
    for (let n = 0; n < 5; n += 1) await holdLivenessLock(connection, 3);
    const locks = await connection`
      select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted`;
    expect(locks).toHaveLength(1);
    await connection`select pg_advisory_unlock_all()`;
    expect(await workersWithoutLock(database.db)).toEqual(["worker-a"]);
  });

  test("a lock of the same number in another database does not count", async () => {
    const other = await testDatabase();
    const connection = await register("worker-a", 4);
    const elsewhere = openPool(other.address, 1);
    await holdLivenessLock(elsewhere, 4);
    await end(connection);
    expect(await workersWithoutLock(database.db)).toEqual(["worker-a"]);
    await elsewhere.end({ timeout: 1 });
    await other.drop();
  });

  test("one that has stopped is missed by nobody", async () => {
    const connection = await register("worker-a", 5);
    await heartbeatWorker(database.db, {
      started: 2,
      id: "worker-a",
      load: 0,
      completed: 3,
      failed: 1,
      status: "stopped",
    });
    await end(connection);
    expect(await workersWithoutLock(database.db)).toEqual([]);
    const [row] = await database.db
      .sql`select runs_completed, runs_failed from workers where id = 'worker-a'`;
    expect(row).toEqual({ runs_completed: 3, runs_failed: 1 });
  });

  test("burying frees the runs of the dead, of nobody else, and once", async () => {
    await register("worker-dead", 6);
    await register("worker-alive", 7);
    const claim = async (workerId: string) => {
      await send(database.db, await newSession(database.db), "hello");
      const [run] = await claimRuns(database.db, { workerId, slots: 1, leaseMs: 3_600_000 });
      return run?.id ?? "";
    };
    const [orphan, kept] = [await claim("worker-dead"), await claim("worker-alive")];
    const freed = await Promise.all(
      [1, 2, 3].map(() => buryWorkers(database.db, ["worker-dead", "worker-none"])),
    );
    expect(freed.sort()).toEqual([0, 0, 1]);
    const [next, ...others] = await claimRuns(database.db, {
      workerId: "worker-alive",
      slots: 10,
      leaseMs: 60_000,
    });
    expect(next).toMatchObject({ id: orphan, attempt: 2, lease_epoch: 2 });
    expect(others).toEqual([]);
    const [row] = await database.db.sql`select lease_owner, lease_epoch from runs where id = ${kept}`;
    expect(row).toEqual({ lease_owner: "worker-alive", lease_epoch: 1 });
  });
});
