import { afterAll, beforeAll, expect, test } from "bun:test";
import { newId, uuidOf } from "../../src/base/id.ts";
import { textOf } from "../../src/contract/message.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, send } from "../support/sessions.ts";
import { zip } from "../support/zip.ts";

let app: TestApp;
let engine: Awaited<ReturnType<typeof startEngine>>;
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
  engine = await startEngine({ address: app.db.address });
});
afterAll(async () => {
  await engine.stop();
  await app.close();
});

const document = (name: string, more = "") =>
  `---\nname: ${name}\ndescription: >\n  For ${name},\n  always.\n${more}---\nDo ${name}.`;

/** The uuid of a skill. */
const make = async (name: string, more = "") => {
  const form = new FormData();
  form.set(
    "file",
    new File([zip({ "SKILL.md": document(name, more), "docs/more.md": `More of ${name}.` })], "s.zip"),
  );
  return uuidOf((await app.call("POST", "/skills/upload", form)).body.id);
};

const turn = async (session: string, calls: object[]) => {
  await send(app.db, session, script([...calls.map((call) => ({ tool_calls: [call] })), { text: "Done." }]));
  const events = await logOnce(app.db, session, isIdle);
  return events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.error ?? textOf(event.data.result ?? [])] : [],
  );
};
const activate = (args: object) => ({ name: "activate_skill", arguments: args });
const list = { name: "list_skills", arguments: {} };

test("a turn is offered the skills that it refers to, and reads them when it asks", async () => {
  const [walk, swim, hidden, off] = [
    await make("walk"),
    await make("swim"),
    await make("hidden", "disable-model-invocation: true\n"),
    await make("off"),
  ];
  await make("elsewhere");
  const agent = await app.post("/agents", {
    name: "mover",
    system_prompt: "Move.",
    capabilities: [`skill:${walk}`, `skill:${hidden}`, `skill:${off}`],
  });
  await app.call("PATCH", `/skills/skill_${off.replaceAll("-", "")}`, { status: "disabled" });
  const { body: session } = await app.post("/sessions", {
    agent_id: agent.body.id,
    capabilities: [`skill:skill_${swim.replaceAll("-", "")}`],
  });

  const { body: preview } = await app.post("/agents/preview", {
    name: "preview",
    system_prompt: "Move.",
    capabilities: [`skill:${walk}`, `skill:${hidden}`],
  });
  expect(preview.system_prompt).toContain("Skill walk: For walk, always.");
  expect(preview.system_prompt).not.toContain("Do walk.");
  expect(preview.system_prompt).not.toMatch(/Skill (hidden|off|elsewhere)/);

  const results = await turn(session.id, [
    list,
    activate({ name: "walk" }),
    activate({ name: "swim", file: "./docs/more.md" }),
    activate({ name: "swim", file: "../../etc/passwd" }),
    activate({ name: "hidden" }),
    activate({ name: "off" }),
    activate({ name: "elsewhere" }),
  ]);
  expect(JSON.parse(results[0] ?? "")).toEqual({
    skills: [
      { name: "swim", description: "For swim, always." },
      { name: "walk", description: "For walk, always." },
    ],
  });
  const none = (name: string) => `There is no skill ${name}. You have: swim, walk.`;
  expect(results.slice(1)).toEqual([
    "# Skill: walk\n\nDo walk.\n\nFiles of this skill: docs/more.md",
    "More of swim.",
    "The skill swim has no file ../../etc/passwd. It has: docs/more.md.",
    none("hidden"),
    none("off"),
    none("elsewhere"),
  ]);
});

test("without any reference there is none", async () => {
  const { body: session } = await app.post("/sessions", { capabilities: ["skills"] });
  expect(await turn(session.id, [list, activate({ name: "walk" })])).toEqual([
    '{"skills":[]}',
    "There is no skill walk. You have none.",
  ]);
});

test("a stored reference to a skill that is gone, or of somebody else, is passed over", async () => {
  const { body: session } = await app.post("/sessions", {});
  const refs = [{ ref: `skill:${uuidOf(newId("skill"))}`, config: { name: "made-up", description: "x" } }];
  await app.db.sql`
    update sessions set capabilities = ${JSON.stringify([{ ref: "skills" }, ...refs])}::text::jsonb
     where id = ${session.id}`;
  expect(await turn(session.id, [list])).toEqual(['{"skills":[]}']);
});
