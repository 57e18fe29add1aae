/** Stored images in a conversation: what the model is shown of them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { ContentPart } from "../../src/contract/message.ts";
import { deleteImage, insertImage } from "../../src/db/files/images.ts";
import type { UserPart } from "../../src/llm/driver.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { createManualDriver, type ModelCallInHand } from "../support/manual-driver.ts";
import { GIF } from "../support/pictures.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, send, turnsEnded } from "../support/sessions.ts";

const OTHER = "org_00000000000000000000000000000002";
let database: TestDatabase;
let engine: TestEngine;
const model = createManualDriver();

beforeAll(async () => {
  database = await testDatabase();
  await seedModel(database.db);
  await database.db.sql`insert into organizations (id, name) values (${OTHER}, 'Other')`;
  engine = await startEngine(database, { driver: model.driver });
});
afterAll(async () => {
  await engine.stop();
  await database.drop();
});

const store = async (
  options: { organizationId?: string; content?: Uint8Array; modelContent?: Uint8Array } = {},
) => {
  const row = await insertImage(database.db, {
    organizationId: options.organizationId ?? ORGANIZATION,
    id: newId("img"),
    sessionId: null,
    filename: "p.gif",
    contentType: "image/gif",
    width: 1,
    height: 1,
    content: options.content ?? GIF,
    thumbnail: GIF,
    modelContent: options.modelContent ?? null,
  });
  return row.id;
};
const part = (image_id: string): ContentPart => ({ type: "image_file", image_id, filename: "p.gif" });
/** What a new session's model is shown of its first message. */
const shownOf = async (
  content: ContentPart[],
): Promise<{ call: ModelCallInHand; parts: UserPart[]; session: string }> => {
  const session = await newSession(database.db);
  await send(database.db, session, "", { content });
  engine.hint();
  const call = await model.nextCall();
  return { call, parts: partsOf(call), session };
};
const partsOf = (call: ModelCallInHand): UserPart[] =>
  call.request.messages.flatMap((message) => (message.role === "user" ? message.content : []));
const finish = async ({ call, session }: { call: ModelCallInHand; session: string }) => {
  call.say("seen");
  call.finish();
  await logOnce(database.db, session, isIdle);
};

describe("a stored image", () => {
  test("is shown to the model as bytes, in its place; the log has the reference alone", async () => {
    const id = await store();
    const shown = await shownOf([
      { type: "text", text: "look" },
      part(id),
      { type: "text", text: "and say" },
    ]);
    expect(shown.parts).toEqual([
      { type: "text", text: "look" },
      { type: "image", mediaType: "image/gif", data: GIF.toString("base64") },
      { type: "text", text: "and say" },
    ]);
    await finish(shown);
    const [row] = await database.db.sql`
      select count(*) as events from events
       where session_id = ${shown.session} and data::text like ${`%${GIF.toString("base64")}%`}`;
    expect(row?.events).toBe(0);
  });

  test("that is too large for a vendor is shown in its smaller copy", async () => {
    const id = await store({ modelContent: Buffer.from("small") });
    const shown = await shownOf([part(id)]);
    expect(shown.parts).toEqual([
      { type: "image", mediaType: "image/jpeg", data: Buffer.from("small").toString("base64") },
    ]);
    await finish(shown);
  });

  test("that is deleted, or belongs to another organization, is named as missing, and the turn goes on", async () => {
    const [gone, foreign] = [await store(), await store({ organizationId: OTHER })];
    const shown = await shownOf([part(gone), part(foreign)]);
    expect(shown.parts.map((one) => one.type)).toEqual(["image", "text"]);
    await finish(shown);
    await deleteImage(database.db, ORGANIZATION, gone);
    await send(database.db, shown.session, "again");
    engine.hint();
    const next = await model.nextCall();
    const missing = "[The image p.gif is not available any more.]";
    expect(partsOf(next)).toEqual([
      { type: "text", text: missing },
      { type: "text", text: missing },
      { type: "text", text: "again" },
    ]);
    next.finish();
    await logOnce(database.db, shown.session, (events) => turnsEnded(events) === 2);
  });

  test("gives way to newer ones when they do not fit into one call", async () => {
    const content = new Uint8Array(3_400_000).fill(7);
    const ids: string[] = [];
    for (let n = 0; n < 9; n += 1) ids.push(await store({ content }));
    const shown = await shownOf([...ids.map(part), part(ids[8] ?? "")]);
    expect(shown.parts.map((one) => (one.type === "text" ? one.text : one.type))).toEqual([
      ...Array(2).fill("[The image p.gif is left out, to make room.]"),
      ...Array(8).fill("image"),
    ]);
    await finish(shown);
  });
});
