import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { providerKeyPlace } from "../../src/db/providers/providers.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const KEY = "sk-canary-51c0ffee";
const create = async (fields: object = {}) =>
  (await app.post("/providers", { name: "P", provider_type: "openai", ...fields })).body;
const storedKey = async (id: string) => {
  const [row] = await app.db.sql<
    { api_key_sealed: string | null }[]
  >`select api_key_sealed from providers where id = ${id}`;
  return row?.api_key_sealed ?? null;
};

describe("a provider's key", () => {
  test("is sealed for its row and opens there only", async () => {
    const { id } = await create({ api_key: KEY });
    const sealed = (await storedKey(id)) ?? "";
    expect(sealed).not.toContain(KEY);
    expect(app.sealer.open(sealed, providerKeyPlace(ORGANIZATION, id))).toBe(KEY);
    const other = await create();
    expect(() => app.sealer.open(sealed, providerKeyPlace(ORGANIZATION, other.id))).toThrow();
  });

  test("is in no answer and in no line of the log", async () => {
    const { id } = await create({ api_key: KEY, credentials: { api_key: KEY } });
    const answers = [
      await app.get("/providers"),
      await app.get(`/providers/${id}`),
      await app.get("/models"),
      await app.call("PATCH", `/providers/${id}`, { api_key: KEY, name: "Q" }),
      await app.call("PATCH", `/providers/${id}`, { api_key: KEY, status: "nonsense" }),
      await app.post("/providers", { provider_type: "openai", api_key: KEY }),
      await app.post("/providers", { name: "P", provider_type: "openai", api_key: `${KEY} ${KEY}` }),
      await app.call("POST", "/providers", `{"api_key": "${KEY}`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 400, 400, 400, 400]);
    for (const { body } of answers) expect(JSON.stringify(body)).not.toContain("canary");
    expect(app.logged.join("\n")).not.toContain("canary");
  });

  test("stays when it is not spoken of, is replaced, and is removed by null or an empty one", async () => {
    const { id } = await create({ api_key: KEY });
    const change = async (body: object) =>
      (await app.call("PATCH", `/providers/${id}`, body)).body.api_key_set;
    const first = await storedKey(id);
    expect([await change({ name: "Renamed" }), await storedKey(id)]).toEqual([true, first]);
    expect(await change({ credentials: { api_key: "  sk-second\n" } })).toBe(true);
    expect(app.sealer.open((await storedKey(id)) ?? "", providerKeyPlace(ORGANIZATION, id))).toBe(
      "sk-second",
    );
    expect([await change({ api_key: "" }), await storedKey(id)]).toEqual([false, null]);
    await change({ api_key: KEY });
    expect([await change({ api_key: null }), await storedKey(id)]).toEqual([false, null]);
  });

  test("does not go to another host than it was stored for", async () => {
    const { id } = await create({ api_key: KEY, base_url: "https://models.example.com/v1" });
    const change = (body: object) => app.call("PATCH", `/providers/${id}`, body);
    const refused = await change({ base_url: "https://elsewhere.example/v1" });
    expect([refused.status, refused.body.detail]).toEqual([400, expect.stringContaining("send it again")]);
    expect((await app.get(`/providers/${id}`)).body.base_url).toBe("https://models.example.com/v1");
    expect((await change({ base_url: "https://models.example.com/v2" })).body.api_key_set).toBe(true);
    const moved = await change({ base_url: "https://elsewhere.example/v1", api_key: KEY });
    expect([moved.status, moved.body.api_key_set]).toEqual([200, true]);
    const without = await change({ base_url: "https://third.example/v1", api_key: null });
    expect([without.status, without.body.api_key_set]).toEqual([200, false]);
    expect((await change({ base_url: "https://fourth.example/v1" })).status).toBe(200);
  });
});

describe("providers", () => {
  test("an address loses its last slash; null and an empty one mean none", async () => {
    expect((await create({ base_url: " http://127.0.0.1:11434/v1/ " })).base_url).toBe(
      "http://127.0.0.1:11434/v1",
    );
    const { id } = await create({ base_url: "https://proxy.example.com" });
    expect((await app.call("PATCH", `/providers/${id}`, { base_url: null })).body.base_url).toBeUndefined();
    expect((await create({ base_url: "" })).base_url).toBeUndefined();
  });

  test("go with their models, and the models are healthy only when they can be used", async () => {
    const { id } = await create();
    const add = async (model: string) =>
      (await app.post(`/providers/${id}/models`, { model_id: model, display_name: model })).body;
    const model = await add("claude-sonnet-5-5");
    const healthy = async () => (await app.get(`/models/${model.id}`)).body.healthy;
    expect(await healthy()).toBe(false);
    await app.call("PATCH", `/providers/${id}`, { api_key: KEY });
    expect(await healthy()).toBe(true);
    await app.call("PATCH", `/providers/${id}`, { status: "disabled" });
    expect(await healthy()).toBe(false);
    await app.call("PATCH", `/providers/${id}`, {
      status: "active",
      provider_type: "openai_completions",
      api_key: "",
    });
    expect(await healthy()).toBe(true);
    await app.call("PATCH", `/models/${model.id}`, { enabled: false });
    expect(await healthy()).toBe(false);
    expect((await app.call("DELETE", `/providers/${id}`)).status).toBe(204);
    expect((await app.get(`/models/${model.id}`)).status).toBe(404);
  });

  test("every driver has a form", async () => {
    const { drivers } = (await app.get("/providers/config")).body;
    expect(drivers.map((entry: { driver: string }) => entry.driver)).toEqual([
      "openai",
      "openai_completions",
      "anthropic",
      "llmsim",
    ]);
  });
});

describe("models", () => {
  test("show vendor and profile by their name, and neither when nobody knows it", async () => {
    const { id } = await create({ name: "Proxy" });
    const add = async (model: string) =>
      (await app.post(`/providers/${id}/models`, { model_id: model, display_name: "x" })).body.id;
    const known = (await app.get(`/models/${await add("claude-sonnet-5-5")}`)).body;
    expect([known.model_vendor, known.provider_name, known.profile.limits.context > 0]).toEqual([
      "anthropic",
      "Proxy",
      true,
    ]);
    const unknown = (await app.get(`/models/${await add("my-own-7b")}`)).body;
    expect([unknown.model_vendor, unknown.profile]).toEqual([undefined, undefined]);
  });

  test("move to another provider, unless it has one of this name", async () => {
    const [a, b] = [await create(), await create()];
    const model = (await app.post(`/providers/${a.id}/models`, { model_id: "m", display_name: "M" })).body;
    await app.post(`/providers/${b.id}/models`, { model_id: "m", display_name: "M" });
    expect((await app.call("PATCH", `/models/${model.id}`, { provider_id: b.id })).status).toBe(409);
    const moved = await app.call("PATCH", `/models/${model.id}`, { provider_id: b.id, model_id: "n" });
    expect([moved.status, moved.body.provider_id, moved.body.model_id]).toEqual([200, b.id, "n"]);
    expect((await app.get(`/providers/${b.id}/models`)).body.total).toBe(2);
  });

  test("filters", async () => {
    const { id } = await create();
    const model = (
      await app.post(`/providers/${id}/models`, { model_id: "fav", display_name: "F", is_favorite: true })
    ).body;
    const ids = async (query: string) =>
      (await app.get(`/models?${query}`)).body.data.map((row: { id: string }) => row.id);
    expect(await ids("favorites_only=true")).toEqual([model.id]);
    expect(await ids("source=predefined")).not.toContain(model.id);
    await app.db.sql`update models set is_stale = true where id = ${model.id}`;
    expect(await ids("")).not.toContain(model.id);
    expect(await ids("include_stale=true")).toContain(model.id);
  });
});
