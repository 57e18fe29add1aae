/** What a session may spend, set in the chat: against the real API. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { Budget } from "../../src/contract/budget.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { type LiveServer, startServer } from "../support/live.ts";
import { openChatScreen } from "./support/chat-screen.tsx";

let app: TestApp;
let server: LiveServer;
let close = () => {};
beforeAll(async () => {
  app = await testApp();
  server = await startServer(app.db);
});
afterEach(() => close());
afterAll(async () => {
  await server.stop();
  await app.close();
});

async function open() {
  const session: string = (await app.post("/sessions", {})).body.id;
  const chat = await openChatScreen(server.url, { session });
  close = chat.close;
  const budgets = async (): Promise<Budget[]> => (await app.get(`/sessions/${session}/budgets`)).body;
  return { session, chat, budgets };
}

test("a limit that is set again is another limit, not another budget", async () => {
  const { chat, budgets } = await open();
  chat.press("/budget 2\r");
  await chat.until("2 of 2 usd left, active");
  chat.press("/budget 5\r");
  await chat.until("5 of 5 usd left, active");
  expect(await budgets()).toMatchObject([{ limit: 5, balance: 5 }]);
  await chat.shows("$5.00 left");
});

test("a soft limit above the new limit goes, and one that was switched off caps again", async () => {
  const { session, chat, budgets } = await open();
  const own = { subject_type: "session", subject_id: session, currency: "usd" };
  const made = await app.post("/budgets", { ...own, limit: 9, soft_limit: 8 });
  await app.call("PATCH", `/budgets/${made.body.id}`, { status: "disabled" });
  chat.press("/budget 3\r");
  await chat.until("3 of 3 usd left, active");
  const [budget] = await budgets();
  expect(budget).toMatchObject({ id: made.body.id, limit: 3, status: "active" });
  expect(budget?.soft_limit).toBeUndefined();
});

test("budgets of a period and of others stay as they are", async () => {
  const { session, chat, budgets } = await open();
  const own = { subject_type: "session", subject_id: session };
  await app.post("/budgets", {
    ...own,
    currency: "usd",
    limit: 7,
    period: { type: "rolling", window: "5h" },
  });
  await app.post("/budgets", { ...own, currency: "tokens", limit: 1_000 });
  chat.press("/budget 4\r");
  await chat.until("4 of 4 usd left, active");
  expect((await budgets()).map(({ currency, limit }) => `${limit} ${currency}`)).toEqual([
    "7 usd",
    "1000 tokens",
    "4 usd",
  ]);
});
