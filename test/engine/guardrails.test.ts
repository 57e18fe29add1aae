/** What guardrails block in a running turn is neither run, nor stored, nor streamed. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { z } from "zod";
import { defineTool, type Tool } from "../../src/capabilities/tool.ts";
import type { Db } from "../../src/db/pool.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, readLog, send } from "../support/sessions.ts";

let database: TestDatabase;
let db: Db;
let engine: TestEngine | null = null;

beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  await seedModel(db);
});
afterEach(() => engine?.stop());
afterAll(() => database.drop());

const CHECKS = [
  { id: "no-canary", type: "blocklist", stage: "output", words: ["canary"], replacement: "Held back." },
  { id: "no-wiping", type: "regex", stage: "tool_use", patterns: ["wipe"], replacement: "Ask first." },
  { id: "no-results", type: "blocklist", stage: "tool_output", words: ["canary"] },
];

const session = (checks: object[], mode = "active") =>
  newSession(db, null, { capabilities: [{ ref: "guardrails", config: { mode, checks } }] });

/** Gives back its arguments and counts how often it ran. */
function echoTool(): { tool: Tool; ran(): number } {
  let count = 0;
  const tool = defineTool({
    name: "echo",
    displayName: "Echo",
    description: "Says it again.",
    effect: "pure",
    input: z.object({ text: z.string() }),
    async run({ text }) {
      count += 1;
      return text;
    },
  });
  return { tool, ran: () => count };
}

test("a blocked answer is replaced, and no piece of it was sent", async () => {
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });
  const id = await session(CHECKS);
  await send(db, id, "go");
  engine.hint();
  const call = await model.nextCall();
  call.think("the canary is in the mine");
  call.say("The can");
  call.say("ary sings.");
  call.finish();
  const log = await logOnce(db, id, isIdle);
  expect(JSON.stringify(log)).not.toMatch(/canary|ary sings/);
  expect(log.map(({ type }) => type)).not.toContain("output.message.delta");
  const answer = log.find(({ type }) => type === "output.message.completed");
  expect(answer?.data).toMatchObject({ message: { content: [{ type: "text", text: "Held back." }] } });
});

test("an answer that passes comes whole; without a check on answers it comes in pieces", async () => {
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });
  const deltas: number[] = [];
  for (const checks of [CHECKS, CHECKS.slice(1)]) {
    const id = await session(checks);
    await send(db, id, "go");
    engine.hint();
    const call = await model.nextCall();
    call.say("All is well.");
    call.finish();
    const log = await logOnce(db, id, isIdle);
    deltas.push(log.filter(({ type }) => type === "output.message.delta").length);
    expect(JSON.stringify(log)).toContain("All is well.");
  }
  expect([deltas[0], (deltas[1] ?? 0) > 0]).toEqual([0, true]);
});

test("a refused call does not run, a blocked result is not stored, and the model is told", async () => {
  const model = createManualDriver();
  const echo = echoTool();
  engine = await startEngine(database, { driver: model.driver, tools: [echo.tool] });
  const id = await session(CHECKS);
  await send(db, id, "go");
  engine.hint();
  const first = await model.nextCall();
  first.callTool("echo", { text: "wipe it" });
  first.callTool("echo", { text: "the CANARY" });
  first.callTool("echo", { text: "fine" });
  first.finish();
  const second = await model.nextCall();
  expect(second.request.messages.flatMap((one) => (one.role === "tool" ? [one.content] : []))).toEqual([
    "A guardrail (no-wiping) refuses this call; it did not run. Ask first.",
    "The result of this call was held back by a guardrail.",
    "fine",
  ]);
  expect(echo.ran()).toBe(2);
  second.say("ok");
  second.finish();
  await logOnce(db, id, isIdle);
  const results = (await readLog(db, id)).filter(({ type }) => type === "tool.completed");
  expect(JSON.stringify(results)).not.toContain("CANARY");
});

test("in advisory mode nothing is blocked", async () => {
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });
  const id = await session(CHECKS, "advisory");
  await send(db, id, "go");
  engine.hint();
  const call = await model.nextCall();
  call.say("The canary sings.");
  call.finish();
  expect(JSON.stringify(await logOnce(db, id, isIdle))).toContain("The canary sings.");
});
