import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FileLock } from "../../src/embedded/lock.ts";

const directory = mkdtempSync(join(tmpdir(), "everruns-lock-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function locks(name: string): [FileLock, FileLock] {
  const path = join(directory, name);
  return [new FileLock(path), new FileLock(path)];
}

test("several hold it shared, nobody exclusively meanwhile", () => {
  const [one, two] = locks("shared");
  expect([one.tryShared(), two.tryShared()]).toEqual([true, true]);
  expect(one.tryExclusive()).toBe(false);
  two.release();
  expect(one.tryExclusive()).toBe(true);
  expect(two.tryShared()).toBe(false);
  one.close();
  expect(two.tryExclusive()).toBe(true);
  two.close();
});

test("a refused upgrade lets go of the shared hold", () => {
  const [one, two] = locks("upgrade");
  one.tryShared();
  two.tryShared();
  expect(one.tryExclusive()).toBe(false);
  expect(two.tryExclusive()).toBe(true);
  one.close();
  two.close();
});

test("a holder killed with -9 holds nothing any more", async () => {
  const path = join(directory, "killed");
  const source = join(import.meta.dir, "../../src/embedded/lock.ts");
  const child = Bun.spawn(
    [
      process.execPath,
      "-e",
      `const { FileLock } = await import(${JSON.stringify(source)});
       const lock = new FileLock(${JSON.stringify(path)});
       console.log(lock.tryExclusive());
       await Bun.stdin.text();`,
    ],
    { stdin: "pipe", stdout: "pipe" },
  );
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("true\n");
  const lock = new FileLock(path);
  expect(lock.tryShared()).toBe(false);
  child.kill("SIGKILL");
  await child.exited;
  expect(lock.tryExclusive()).toBe(true);
  lock.close();
});
