import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Db } from "../../src/db/pool.ts";
import { loadTurnConfig } from "../../src/db/sessions.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const ORGANIZATION = "org_00000000000000000000000000000001";
const OTHER = "org_00000000000000000000000000000002";
let database: TestDatabase;
let db: Db;
const models: Record<string, string> = {};

beforeAll(async () => {
  database = await testDatabase();
  db = database.db;
  await db.sql`insert into organizations (id, name) values (${OTHER}, 'Other')`;
  const provider = newId("prov");
  await db.sql`insert into providers (id, organization_id, name, provider_type, base_url, api_key_sealed)
               values (${provider}, ${ORGANIZATION}, 'P', 'openai', 'https://p.example.com', 'sealed')`;
  for (const name of ["controls", "session", "agent", "near", "far", "default"]) {
    models[name] = newId("model");
    await db.sql`insert into models (id, organization_id, provider_id, model_id, display_name)
                 values (${models[name]}, ${ORGANIZATION}, ${provider}, ${`m-${name}`}, ${name})`;
  }
});
afterAll(() => database.drop());

/** A session whose layers name the models of these names. */
async function sessionWith(named: {
  session?: string;
  agent?: string;
  near?: string;
  far?: string;
}): Promise<string> {
  const [far, near, agent, session] = [newId("harness"), newId("harness"), newId("agent"), newId("session")];
  const id = (name: string | undefined) => (name === undefined ? null : (models[name] ?? name));
  const { sql } = db;
  await sql`insert into harnesses (id, organization_id, name, default_model_id, system_prompt)
            values (${far}, null, ${far.replace("_", "-")}, ${id(named.far)}, 'far')`;
  await sql`insert into harnesses (id, organization_id, name, parent_harness_id, default_model_id, system_prompt, capabilities)
            values (${near}, ${ORGANIZATION}, ${near.replace("_", "-")}, ${far}, ${id(named.near)}, 'near',
                    '[{"ref": "web_fetch", "config": {"a": 1}}]')`;
  await sql`insert into agents (id, organization_id, harness_id, name, system_prompt, default_model_id, max_iterations)
            values (${agent}, ${ORGANIZATION}, ${near}, ${agent.replace("_", "-")}, 'agent', ${id(named.agent)}, 7)`;
  await sql`insert into sessions (id, organization_id, harness_id, agent_id, workspace_id, owner_principal_id, model_id, hints)
            values (${session}, ${ORGANIZATION}, ${near}, ${agent}, ${session.replace("session", "wsp")}, 'p',
                    ${id(named.session)}, '{"h": true}')`;
  return session;
}

const load = (sessionId: string, controlsModelId: string | null = null, organizationId = ORGANIZATION) =>
  loadTurnConfig(db, { sessionId, organizationId, controlsModelId });

describe("a turn's configuration", () => {
  test("has every layer, the harnesses nearest first, and the way to the model", async () => {
    const config = await load(await sessionWith({ agent: "agent" }));
    expect(config?.harnesses.map((harness) => harness.system_prompt)).toEqual(["near", "far"]);
    expect(config?.harnesses[0]?.capabilities).toEqual([{ ref: "web_fetch", config: { a: 1 } }]);
    expect([config?.agent?.system_prompt, config?.agent?.max_iterations]).toEqual(["agent", 7]);
    expect([config?.session.hints, config?.session.capabilities, config?.session.tags]).toEqual([
      { h: true },
      [],
      [],
    ]);
    expect(config?.model).toEqual({
      model: { id: models.agent ?? "", model_id: "m-agent", display_name: "agent", capabilities: [] },
      provider: {
        id: expect.stringMatching(/^prov_/) as unknown as string,
        name: "P",
        provider_type: "openai",
        base_url: "https://p.example.com",
        api_key_sealed: "sealed",
        limits: null,
      },
      breaker: null,
    });
  });

  test("of many runs at once is each one's own, also where there is none", async () => {
    const named = ["session", "agent", "near", "far"] as const;
    const sessions = await Promise.all(named.map((layer) => sessionWith({ [layer]: layer })));
    const configs = await Promise.all([
      ...sessions.map((session) => load(session)),
      load(sessions[0] ?? "", models.controls),
      load(sessions[0] ?? "", null, OTHER),
      load(newId("session")),
    ]);
    expect(configs.map((config) => config?.session.id)).toEqual([
      ...sessions,
      sessions[0],
      undefined,
      undefined,
    ]);
    expect(configs.map((config) => config?.requestedModelId)).toEqual([
      ...named.map((layer) => models[layer] ?? ""),
      models.controls,
      undefined,
      undefined,
    ]);
  });

  const order: [
    what: string,
    named: Parameters<typeof sessionWith>[0],
    controls: string | null,
    expected: string,
  ][] = [
    [
      "the turn's own wish",
      { session: "session", agent: "agent", near: "near", far: "far" },
      "controls",
      "controls",
    ],
    ["then the session", { session: "session", agent: "agent", near: "near", far: "far" }, null, "session"],
    ["then the agent", { agent: "agent", near: "near", far: "far" }, null, "agent"],
    ["then the nearest harness", { near: "near", far: "far" }, null, "near"],
    ["then its parent", { far: "far" }, null, "far"],
    ["then the organization", {}, null, "default"],
  ];
  for (const [what, named, controls, expected] of order) {
    test(`the model comes from ${what}`, async () => {
      await db.sql`update organizations set default_model_id = ${models.default ?? ""} where id = ${ORGANIZATION}`;
      const config = await load(
        await sessionWith(named),
        controls === null ? null : (models[controls] ?? null),
      );
      expect([config?.model?.model.model_id, config?.requestedModelId]).toEqual([
        `m-${expected}`,
        models[expected] ?? "",
      ]);
    });
  }

  test("a model that cannot be used is not replaced by another: it is named, and there is none", async () => {
    const session = await sessionWith({ session: "session", agent: "agent" });
    const missing = newId("model");
    const withMissing = await load(session, missing);
    expect([withMissing?.model, withMissing?.requestedModelId]).toEqual([null, missing]);
    await db.sql`update models set enabled = false where id = ${models.session ?? ""}`;
    expect((await load(session))?.model).toBeNull();
    await db.sql`update models set enabled = true where id = ${models.session ?? ""}`;
    await db.sql`update providers set status = 'disabled'`;
    expect((await load(session))?.model).toBeNull();
    await db.sql`update providers set status = 'active'`;
    expect((await load(session))?.model?.model.model_id).toBe("m-session");
  });

  test("without any model there is none to name", async () => {
    await db.sql`update organizations set default_model_id = null where id = ${ORGANIZATION}`;
    const config = await load(await sessionWith({}));
    expect([config?.model, config?.requestedModelId, config?.defaultModelId]).toEqual([null, null, null]);
  });

  test("a deleted session and another organization's have none", async () => {
    const session = await sessionWith({});
    expect(await load(session, null, OTHER)).toBeNull();
    await db.sql`update sessions set deleted_at = now() where id = ${session}`;
    expect(await load(session)).toBeNull();
    expect(await load(newId("session"))).toBeNull();
  });

  test("a loop of harnesses ends", async () => {
    const [a, b] = [newId("harness"), newId("harness")];
    const { sql } = db;
    await sql`insert into harnesses (id, name) values (${a}, ${a.replace("_", "-")})`;
    await sql`insert into harnesses (id, name, parent_harness_id) values (${b}, ${b.replace("_", "-")}, ${a})`;
    await sql`update harnesses set parent_harness_id = ${b} where id = ${a}`;
    const session = newId("session");
    await sql`insert into sessions (id, organization_id, harness_id, workspace_id, owner_principal_id)
              values (${session}, ${ORGANIZATION}, ${a}, ${session.replace("session", "wsp")}, 'p')`;
    expect((await load(session))?.harnesses.length).toBe(16);
  });
});
