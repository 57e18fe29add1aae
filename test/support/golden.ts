import { expect } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Compares text with a file of test/golden. `UPDATE_GOLDEN=1` writes the file instead; review the difference. */
export function expectGolden(name: string, text: string): void {
  const path = join(import.meta.dir, "../golden", name);
  if (process.env.UPDATE_GOLDEN === "1") writeFileSync(path, text);
  if (!existsSync(path)) throw new Error(`no golden file ${name}; UPDATE_GOLDEN=1 makes it`);
  expect(text).toBe(readFileSync(path, "utf8"));
}
