import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { migrations } from "../../migrations/index.ts";
import { type MigrationFile, migrate, migrationStatus, requireCurrentSchema } from "../../src/db/migrate.ts";
import { type Db, openDb } from "../../src/db/pool.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const FILES: MigrationFile[] = [
  { version: 1, name: "0001_one", sql: "create table one (id int)" },
  { version: 2, name: "0002_two", sql: "create table two (id int)" },
];

describe("migrations", () => {
  const databases: TestDatabase[] = [];
  let empty: () => Promise<TestDatabase>;
  beforeAll(() => {
    empty = async () => {
      const database = await testDatabase({ migrated: false });
      databases.push(database);
      return database;
    };
  });
  afterAll(async () => {
    for (const database of databases) await database.drop();
  });

  const problemOf = (promise: Promise<unknown>) =>
    promise.then(
      () => null,
      (error: { code?: string; message: string }) => ({ code: error.code, message: error.message }),
    );
  const tables = ({ sql }: Db) =>
    sql<{ name: string }[]>`select tablename as name from pg_tables where schemaname = 'public' order by 1`;

  test("apply what is missing, in order, and nothing twice", async () => {
    const { db } = await empty();
    expect(await migrate(db, FILES.slice(0, 1))).toEqual(["0001_one"]);
    expect(await migrate(db, FILES)).toEqual(["0002_two"]);
    expect(await migrate(db, FILES)).toEqual([]);
    expect((await tables(db)).map((row) => row.name)).toEqual(["one", "schema_migrations", "two"]);
    expect(await problemOf(requireCurrentSchema(db, FILES))).toBeNull();
  });

  test("two at once apply each once", async () => {
    const { db, address } = await empty();
    const others = [openDb(address), openDb(address), openDb(address)];
    const applied = await Promise.all([db, ...others].map((one) => migrate(one, FILES)));
    expect(applied.flat().sort()).toEqual(["0001_one", "0002_two"]);
    for (const other of others) await other.close();
  });

  test("one that fails leaves nothing of itself behind", async () => {
    const { db } = await empty();
    const broken = [
      ...FILES,
      { version: 3, name: "0003_broken", sql: "create table three (id int); select 1 / 0" },
    ];
    expect(await problemOf(migrate(db, broken))).toMatchObject({ message: "division by zero" });
    expect((await tables(db)).map((row) => row.name)).not.toContain("three");
  });

  test("a schema newer than the program is refused, with both versions named", async () => {
    const { db } = await empty();
    await migrate(db, FILES);
    for (const refused of [migrate(db, FILES.slice(0, 1)), requireCurrentSchema(db, FILES.slice(0, 1))]) {
      const problem = await problemOf(refused);
      expect(problem?.code).toBe("schema_newer");
      expect(problem?.message).toContain("schema version 2 (0002_two)");
      expect(problem?.message).toContain("up to 1");
    }
  });

  test("a migration that was edited after it was applied is refused", async () => {
    const { db } = await empty();
    await migrate(db, FILES);
    const edited = [
      FILES[0] as MigrationFile,
      { version: 2, name: "0002_two", sql: "create table other (id int)" },
    ];
    expect((await problemOf(migrate(db, edited)))?.code).toBe("schema_changed");
    expect((await migrationStatus(db, edited)).map((row) => row.isIntact)).toEqual([true, false]);
  });

  test("a missing or old schema says what to type", async () => {
    const { db } = await empty();
    expect(await problemOf(requireCurrentSchema(db, FILES))).toMatchObject({ code: "schema_missing" });
    await migrate(db, FILES.slice(0, 1));
    const behind = await problemOf(requireCurrentSchema(db, FILES));
    expect(behind?.code).toBe("schema_behind");
    expect(behind?.message).toContain("everruns migrate");
  });

  test("the status tells applied from missing, and changes nothing", async () => {
    const { db } = await empty();
    expect((await migrationStatus(db, FILES)).map((row) => row.appliedAt)).toEqual([null, null]);
    expect(await tables(db)).toHaveLength(0);
    await migrate(db, FILES.slice(0, 1));
    const [one, two] = await migrationStatus(db, FILES);
    expect(one?.appliedAt).toMatch(/^\d{4}-\d\d-\d\dT/);
    expect(two).toEqual({ version: 2, name: "0002_two", appliedAt: null, isIntact: true });
  });

  test("the real ones apply to an empty database", async () => {
    const { db } = await empty();
    expect(await migrate(db, migrations)).toHaveLength(migrations.length);
    expect(await problemOf(requireCurrentSchema(db, migrations))).toBeNull();
  });
});
