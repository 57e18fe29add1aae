import { expect, test } from "bun:test";
import { createKeyedMutex } from "../../src/base/keyed-mutex.ts";

test("one at a time for a key, in order; other keys do not wait; a failure lets the next in", async () => {
  const mutex = createKeyedMutex();
  const log: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = mutex.run("a", async () => {
    log.push("first in");
    await gate.promise;
    log.push("first out");
    throw new Error("first failed");
  });
  const second = mutex.run("a", async () => log.push("second"));
  const third = mutex.run("a", async () => log.push("third"));
  await mutex.run("b", async () => log.push("other key"));
  gate.resolve();
  await expect(first).rejects.toThrow("first failed");
  await Promise.all([second, third]);
  expect(log).toEqual(["first in", "other key", "first out", "second", "third"]);
});
