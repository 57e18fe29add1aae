/** A memory that one session writes and another reads. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { createFileStore } from "../../src/db/files/files.ts";
import { insertTree } from "../../src/db/files/trees.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, send } from "../support/sessions.ts";

let database: TestDatabase;
let engine: TestEngine;
const model = createManualDriver();
beforeAll(async () => {
  database = await testDatabase();
  await seedModel(database.db);
  engine = await startEngine(database, { driver: model.driver });
});
afterAll(async () => {
  await engine.stop();
  await database.drop();
});

test("what one session keeps in a memory, the next one finds, and may not change when it only reads", async () => {
  const memory = newId("mem");
  const tree = { organizationId: ORGANIZATION, id: memory, kind: "memory" as const };
  await insertTree(database.db, { ...tree, name: "team", description: null, source: null });
  const sessionWith = (mode: string) =>
    newSession(database.db, null, {
      capabilities: [{ ref: "memory", config: { mounts: [{ memory, path: "/workspace/team", mode }] } }],
    });
  const turn = async (session: string, tool: string, args: object) => {
    await send(database.db, session, "go");
    engine.hint();
    const call = await model.nextCall();
    call.callTool(tool, args);
    call.finish();
    const after = await model.nextCall();
    after.finish();
    const log = await logOnce(database.db, session, isIdle);
    return { request: call.request, events: log, result: after.request.messages.at(-1) };
  };

  const writer = await sessionWith("readwrite");
  const written = await turn(writer, "write_file", { path: "/team/fact.md", content: "the sky is blue" });
  expect(written.request.system).toContain("/team (you may write");
  expect(written.request.tools.map((tool) => tool.name)).toContain("read_file");
  expect(written.events.find((event) => event.type === "file.written")?.data).toMatchObject({
    path: "/team/fact.md",
    created: true,
  });
  const store = createFileStore(database.db, { organizationId: ORGANIZATION, treeId: memory });
  expect((await store.read("/fact.md"))?.content).toBe("the sky is blue");

  const found = await turn(await sessionWith("readonly"), "grep_files", { pattern: "blue" });
  expect(found.result).toMatchObject({ content: "/team/fact.md:1: the sky is blue" });
  const refused = await turn(await sessionWith("readonly"), "delete_file", { path: "/team/fact.md" });
  expect(refused.result).toMatchObject({ isError: true, content: expect.stringContaining("read-only") });
  expect((await store.read("/fact.md"))?.content).toBe("the sky is blue");
});
