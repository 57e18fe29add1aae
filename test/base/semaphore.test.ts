import { expect, test } from "bun:test";
import { createKeyedSemaphore, createSemaphore } from "../../src/base/semaphore.ts";

/** Whether it is settled by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol();
  await Promise.resolve();
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

test("who comes when all permits are out waits, first come, first served", async () => {
  const semaphore = createSemaphore(2);
  const [first] = [await semaphore.acquire(), await semaphore.acquire()];
  const [third, fourth] = [semaphore.acquire(), semaphore.acquire()];
  expect(await isDone(third)).toBe(false);
  first?.();
  first?.();
  await third;
  expect(await isDone(fourth)).toBe(false);
});

test("keys do not wait for each other", async () => {
  const semaphore = createKeyedSemaphore(1);
  const release = await semaphore.acquire("a");
  const second = semaphore.acquire("a");
  (await semaphore.acquire("b"))();
  expect(await isDone(second)).toBe(false);
  release();
  (await second)();
  (await semaphore.acquire("a"))();
});
