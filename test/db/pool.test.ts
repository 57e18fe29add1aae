/**
 * Connections that are cut. The driver as published loses queries, blocks connections for good and ends the process
 * in these tests; patches/ mends that (upstream: porsager/postgres issues 1193 and 1208).
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Db, openDb } from "../../src/db/pool.ts";
import { isTransientDatabaseError } from "../../src/db/sqlstate.ts";
import { transaction } from "../../src/db/tx.ts";
import { cutConnections } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

describe("a pool whose connections are cut", () => {
  let database: TestDatabase;
  let db: Db;
  beforeAll(async () => {
    database = await testDatabase();
    db = openDb(database.address);
  });
  afterAll(async () => {
    await db.close();
    await database.drop();
  });

  /** Runs eight loops while every connection is cut again and again, then asks each for one more answer. */
  async function underCuts(query: () => Promise<unknown>): Promise<unknown[]> {
    const errors: unknown[] = [];
    let isOver = false;
    const loop = async () => {
      while (!isOver) {
        await query().catch((error: unknown) => errors.push(error));
        // Reconnecting is what is tested, not spinning.
        await Bun.sleep(1);
      }
    };
    const loops = Array.from({ length: 8 }, loop);
    while (errors.length < 40) {
      await cutConnections(database.db);
      await Bun.sleep(20);
    }
    isOver = true;
    await Promise.all(loops);
    return errors;
  }

  test("answers every query, if only with an error that says: try again", async () => {
    const errors = await underCuts(() => db.sql`select 1`);
    expect(errors.filter((error) => !isTransientDatabaseError(error))).toEqual([]);
    await Promise.all(Array.from({ length: 32 }, () => db.sql`select pg_sleep(0.001)`.catch(() => null)));
    expect(await Promise.all(Array.from({ length: 32 }, () => db.sql`select 1 as one`))).toHaveLength(32);
  });

  test("ends every transaction, whole or not at all", async () => {
    await db.sql`create table ledger (pair integer not null)`;
    let pair = 0;
    const errors = await underCuts(async () => {
      pair += 1;
      const own = pair;
      await transaction(db, async (sql) => {
        await sql`insert into ledger values (${own})`;
        await sql`insert into ledger values (${own})`;
      });
    });
    expect(errors.filter((error) => !isTransientDatabaseError(error))).toEqual([]);
    const broken = await database.db.sql`select pair from ledger group by pair having count(*) <> 2`;
    expect(broken).toHaveLength(0);
  });
});
