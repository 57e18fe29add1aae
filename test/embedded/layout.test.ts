import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Identity, privateDirectory } from "../../src/embedded/layout.ts";
import { isRoot, workDirectory } from "./support/clusters.ts";

const work = workDirectory();
afterAll(() => work.remove());

const uid = process.getuid?.() ?? 0;
const identity: Identity = isRoot
  ? { uid: 65_534, gid: 65_534, isOther: true }
  : { uid, gid: process.getgid?.() ?? 0, isOther: false };

describe("the socket's directory", () => {
  const prepared: [string, (path: string) => void][] = [
    ["missing", () => {}],
    ["left with open doors", (path) => chmodSync(mkdirSync(path, { recursive: true }) ?? path, 0o777)],
    ["made by another process a moment ago", (path) => mkdirSync(path, { mode: 0o700 })],
  ];
  for (const [title, prepare] of prepared) {
    test(`${title}: becomes private to the server's user`, () => {
      const path = join(work.path, title);
      prepare(path);
      privateDirectory(path, identity);
      expect(statSync(path).mode & 0o777).toBe(0o700);
      expect(statSync(path).uid).toBe(identity.uid);
    });
  }

  const refused: [string, (path: string) => void][] = [
    ["a symbolic link", (path) => symlinkSync(work.fresh("elsewhere"), path)],
    ["a file", (path) => writeFileSync(path, "")],
  ];
  for (const [title, prepare] of refused) {
    test(`${title} is refused`, () => {
      const path = join(work.path, title);
      prepare(path);
      expect(() => privateDirectory(path, identity)).toThrow("is not a directory of uid");
    });
  }

  test.if(isRoot)("another user's is refused", () => {
    const path = join(work.path, "stranger's");
    mkdirSync(path);
    chownSync(path, 54_321, 54_321);
    expect(() => privateDirectory(path, identity)).toThrow("is not a directory of uid");
  });
});
