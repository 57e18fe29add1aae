import { afterAll, beforeAll, expect, test } from "bun:test";
import { UserError } from "../../src/base/errors.ts";
import { checkEncryptionKey } from "../../src/db/installation.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await testDatabase();
});
afterAll(() => database.drop());

test("the first key is remembered, the same one passes, another is refused with both names", async () => {
  const first = { keyId: "aaaa1111", source: "file /data/encryption.key" };
  await Promise.all(Array.from({ length: 5 }, () => checkEncryptionKey(database.db, first)));
  const other = { keyId: "bbbb2222", source: "environment EVERRUNS_ENCRYPTION_KEY" };
  const error = await checkEncryptionKey(database.db, other).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as UserError).code).toBe("encryption_key_wrong");
  for (const part of ["aaaa1111", "bbbb2222", "environment EVERRUNS_ENCRYPTION_KEY", "in use since"]) {
    expect((error as UserError).message).toContain(part);
  }
  await checkEncryptionKey(database.db, first);
});
