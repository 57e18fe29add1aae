import { expect, test } from "bun:test";
import postgres from "postgres";
import { createGrouping } from "../../src/db/_grouping.ts";
import type { Db } from "../../src/db/pool.ts";

/** As PostgreSQL refuses a statement. */
const refusal = () => Object.assign(new postgres.PostgresError("no"), { code: "22P02" });
const lane = () => ({ sql: {} }) as unknown as Db;

test("questions of the same moment are one statement, answered each by its place", async () => {
  const groups: number[][] = [];
  const ask = createGrouping<number, string>({
    groupMax: 3,
    answer: async (_, questions) => {
      groups.push([...questions]);
      return questions.map((question) => `${question}!`);
    },
  });
  const db = lane();
  const answers = await Promise.all([1, 2, 3, 4].map((question) => ask(db, question)));
  expect(answers).toEqual(["1!", "2!", "3!", "4!"]);
  expect(groups).toEqual([[1, 2, 3], [4]]);
  expect(await Promise.all([ask(db, 5), ask(lane(), 6)])).toEqual(["5!", "6!"]);
  expect(groups.slice(2)).toEqual([[5], [6]]);
});

test("beside a large statement none goes out for a few", async () => {
  const groups: { questions: readonly number[]; finish(): void }[] = [];
  const ask = createGrouping<number, number>({
    groupMax: 10,
    answer: (_, questions) =>
      new Promise((resolve) => groups.push({ questions, finish: () => resolve(questions) })),
  });
  const db = lane();
  const tick = () => new Promise((resolve) => setImmediate(resolve));
  const asked = [1, 2].map((question) => ask(db, question));
  await tick();
  asked.push(ask(db, 3));
  await tick();
  expect(groups.map((group) => group.questions)).toEqual([[1, 2]]);
  asked.push(ask(db, 4));
  await tick();
  expect(groups.map((group) => group.questions)).toEqual([
    [1, 2],
    [3, 4],
  ]);
  asked.push(...[5, 6, 7, 8, 9].map((question) => ask(db, question)));
  await tick();
  expect(groups.length).toBe(2);
  groups[0]?.finish();
  await tick();
  expect(groups[2]?.questions).toEqual([5, 6, 7, 8, 9]);
  for (const group of groups) group.finish();
  expect(await Promise.all(asked)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test("a question that cannot be answered does not take the others of its group with it", async () => {
  const ask = createGrouping<number, number>({
    groupMax: 10,
    answer: async (_, questions) => {
      if (questions.includes(2)) throw refusal();
      return questions;
    },
  });
  const db = lane();
  const results = await Promise.allSettled([1, 2, 3].map((question) => ask(db, question)));
  expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("I10: what may have been written is not sent again", async () => {
  let sent = 0;
  const ask = createGrouping<number, number>({
    groupMax: 10,
    answer: async () => {
      sent += 1;
      throw new Error("the connection is gone, and nobody knows");
    },
  });
  const db = lane();
  const results = await Promise.allSettled([1, 2, 3].map((question) => ask(db, question)));
  expect(results.map((result) => result.status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(sent).toBe(1);
});
