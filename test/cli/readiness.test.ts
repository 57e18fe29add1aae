import { afterAll, beforeAll, expect, test } from "bun:test";
import { readiness } from "../../cli/serve.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

test("ready when the schema is this program's, or newer: servers are replaced one by one", async () => {
  const { sql } = database.db;
  expect(await readiness(database.db)).toBeNull();
  await sql`insert into schema_migrations (version, name, checksum) values (9999, '9999_later', 'x')`;
  expect(await readiness(database.db)).toBeNull();
  await sql`delete from schema_migrations where version = 9999`;
});

test("not ready while a migration is missing: the answer says what to type", async () => {
  const { sql } = database.db;
  await sql`delete from schema_migrations where version = (select max(version) from schema_migrations)`;
  expect(await readiness(database.db)).toContain("everruns migrate");
});
