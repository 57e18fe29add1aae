import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { migrations } from "../migrations/index.ts";

const DIRECTORY = join(import.meta.dir, "../migrations");

test("the list of migrations is the directory, in order and without a gap", () => {
  const files = readdirSync(DIRECTORY)
    .filter((name) => name.endsWith(".sql"))
    .sort();
  expect(migrations.map((migration) => `${migration.name}.sql`)).toEqual(files);
  expect(migrations.map((migration) => migration.version)).toEqual(files.map((_, index) => index + 1));
  for (const [index, name] of files.entries()) {
    expect(name.startsWith(String(index + 1).padStart(4, "0"))).toBe(true);
    expect(migrations[index]?.sql).toBe(readFileSync(join(DIRECTORY, name), "utf8"));
  }
});
