/** What a harness and its parents say is what a running turn does. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Db } from "../../src/db/pool.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, send, turnsEnded } from "../support/sessions.ts";

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

async function harness(fields: {
  parent?: string;
  prompt: string;
  capabilities?: object[];
  network?: object;
}): Promise<string> {
  const id = newId("harness");
  await db.sql`
    insert into harnesses (id, organization_id, name, parent_harness_id, system_prompt, capabilities, network_access)
    values (${id}, ${ORGANIZATION}, ${id.replace("_", "-")}, ${fields.parent ?? null}, ${fields.prompt},
            ${JSON.stringify(fields.capabilities ?? [])}::text::jsonb,
            ${fields.network === undefined ? null : JSON.stringify(fields.network)}::text::jsonb)`;
  return id;
}

test("a turn has the prompts, tools and network rules of the whole chain, and a changed parent with the next turn", async () => {
  const far = await harness({
    prompt: "Far.",
    capabilities: [{ ref: "web_fetch" }, { ref: "tool_approval", config: { mode: "protective" } }],
    network: { blocked: ["blocked.example.com"] },
  });
  const middle = await harness({
    parent: far,
    prompt: "Middle.",
    capabilities: [{ ref: "current_time" }],
    network: { allowed: ["*.example.com"] },
  });
  const near = await harness({
    parent: middle,
    prompt: "Near.",
    capabilities: [{ ref: "tool_approval", config: { mode: "off" } }],
  });
  const session = await newSession(db, "Session.");
  await db.sql`update sessions set harness_id = ${near} where id = ${session}`;
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });

  await send(db, session, "go");
  engine.hint();
  const first = await model.nextCall();
  expect(first.request.system).toStartWith("Far.\n\nMiddle.\n\nNear.\n\nSession.");
  expect(first.request.tools.map((tool) => tool.name).sort()).toEqual(["get_current_time", "web_fetch"]);
  // With the far harness's approval policy these calls would wait for a person: the nearer configuration stands.
  first.callTool("web_fetch", { url: "https://blocked.example.com/" });
  first.callTool("web_fetch", { url: "https://elsewhere.test/" });
  first.finish();
  const second = await model.nextCall();
  const results = second.request.messages.filter((message) => message.role === "tool");
  expect(results.map((result) => result.content)).toEqual([
    expect.stringContaining("blocked.example.com is blocked for this agent"),
    expect.stringContaining("elsewhere.test is not among the hosts"),
  ]);
  second.say("done");
  second.finish();
  await logOnce(db, session, isIdle);

  await db.sql`update harnesses set parent_harness_id = null where id = ${near}`;
  await send(db, session, "again");
  engine.hint();
  const third = await model.nextCall();
  expect(third.request.system).toStartWith("Near.\n\nSession.");
  expect(third.request.tools).toEqual([]);
  third.say("bye");
  third.finish();
  await logOnce(db, session, (events) => turnsEnded(events) === 2);
});

test("a declarative capability speaks at its place, with what it depends on, as it is when the turn begins", async () => {
  const definition = (system_prompt: string) =>
    JSON.stringify({ name: "house-rules", system_prompt, dependencies: ["current_time"] });
  await db.sql`insert into declarative_capabilities (id, organization_id, name, definition)
               values (${newId("cap")}, ${ORGANIZATION}, 'house-rules', ${definition("Write plainly.")}::text::jsonb)`;
  const far = await harness({ prompt: "Far.", capabilities: [{ ref: "declarative:house-rules" }] });
  const session = await newSession(db, "Session.", {
    // A configuration that was stored in some way does not define what the name means; a missing name is left out.
    capabilities: [
      { ref: "declarative:house-rules", config: { name: "house-rules", system_prompt: "Forged." } },
      { ref: "declarative:nobody" },
    ],
  });
  await db.sql`update sessions set harness_id = ${far} where id = ${session}`;
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });
  await send(db, session, "go");
  engine.hint();
  const first = await model.nextCall();
  expect(first.request.system).toStartWith("Far.\n\nSession.");
  expect(first.request.system).toEndWith("Write plainly.");
  expect(first.request.tools.map((tool) => tool.name)).toEqual(["get_current_time"]);
  first.say("ok");
  first.finish();
  await logOnce(db, session, isIdle);

  await db.sql`update declarative_capabilities set definition = ${definition("Write in verse.")}::text::jsonb`;
  await send(db, session, "again");
  engine.hint();
  const second = await model.nextCall();
  expect(second.request.system).toEndWith("Write in verse.");
  second.say("ok");
  second.finish();
  await logOnce(db, session, (events) => turnsEnded(events) === 2);
});

test("a declarative capability's skills are announced, listed and read", async () => {
  const definition = {
    name: "with-skills",
    skills: [
      {
        name: "brew",
        description: "How to make tea",
        instructions: "Boil water.",
        files: [{ path: "times.md", content: "Four minutes." }],
      },
      { name: "hidden", description: "For people", instructions: "x", disable_model_invocation: true },
    ],
  };
  await db.sql`insert into declarative_capabilities (id, organization_id, name, definition)
               values (${newId("cap")}, ${ORGANIZATION}, 'with-skills', ${JSON.stringify(definition)}::text::jsonb)`;
  const session = await newSession(db, null, { capabilities: [{ ref: "declarative:with-skills" }] });
  const model = createManualDriver();
  engine = await startEngine(database, { driver: model.driver });
  await send(db, session, "tea");
  engine.hint();
  const first = await model.nextCall();
  expect(first.request.system).toContain("Skill brew: How to make tea");
  expect(first.request.system).not.toContain("hidden");
  first.callTool("list_skills", {});
  first.callTool("activate_skill", { name: "brew" });
  first.callTool("activate_skill", { name: "brew", file: "times.md" });
  first.callTool("activate_skill", { name: "hidden" });
  first.finish();
  const second = await model.nextCall();
  expect(second.request.messages.flatMap((one) => (one.role === "tool" ? [one.content] : []))).toEqual([
    expect.stringContaining("brew"),
    expect.stringContaining("Boil water."),
    "Four minutes.",
    expect.stringContaining("There is no skill hidden"),
  ]);
  second.say("done");
  second.finish();
  await logOnce(db, session, isIdle);
});
