import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createSealer } from "../../src/base/seal.ts";
import { DEFAULT_MODELS } from "../../src/contract/model-table.ts";
import type { Db } from "../../src/db/pool.ts";
import {
  deleteModel,
  deleteProvider,
  listModels,
  listProviders,
  providerKeyPlace,
  updateProvider,
} from "../../src/db/providers/providers.ts";
import { defaultModel, type SeedCredentials, seedProviders } from "../../src/db/seed.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";

const ORGANIZATION = "org_00000000000000000000000000000001";
const sealer = createSealer(new Uint8Array(32).fill(1));
let database: TestDatabase;
let db: Db;
beforeEach(async () => {
  database = await testDatabase();
  db = database.db;
});
afterEach(() => database.drop());

const key = (apiKey: string, baseUrl: string | null = null): SeedCredentials => ({ apiKey, baseUrl });
const seed = (environment: { openai?: SeedCredentials; anthropic?: SeedCredentials } = {}) =>
  seedProviders(db, {
    organizationId: ORGANIZATION,
    sealer,
    openai: environment.openai ?? null,
    anthropic: environment.anthropic ?? null,
  });
const providers = async () =>
  (await listProviders(db, ORGANIZATION)).map((row) => [row.name, row.provider_type, row.api_key_set]);
const providerId = async (name: string) => {
  const row = (await listProviders(db, ORGANIZATION)).find((candidate) => candidate.name === name);
  if (!row) throw new Error(`no provider ${name}`);
  return row.id;
};
const openedKey = async (name: string) => {
  const id = await providerId(name);
  const [row] = await db.sql<
    { api_key_sealed: string }[]
  >`select api_key_sealed from providers where id = ${id}`;
  return sealer.open(row?.api_key_sealed ?? "", providerKeyPlace(ORGANIZATION, id));
};
const chosen = async () => (await defaultModel(db, ORGANIZATION))?.model_id;

describe("the seed", () => {
  test("without keys there is the simulated provider, and its model is the default", async () => {
    await seed();
    expect(await providers()).toEqual([["Simulated", "llmsim", false]]);
    const models = await listModels(db, {
      organizationId: ORGANIZATION,
      source: null,
      includeStale: true,
      favoritesOnly: false,
    });
    expect(models.map((row) => row.model_id)).toEqual([...DEFAULT_MODELS.llmsim]);
    expect(await chosen()).toBe("llmsim");
  });

  test("with keys their providers are there, and the first model of the first one is the default", async () => {
    await seed({ openai: key("sk-1"), anthropic: key("sk-ant-1", "https://proxy.example.com") });
    expect(await providers()).toEqual([
      ["Simulated", "llmsim", false],
      ["OpenAI", "openai", true],
      ["Anthropic", "anthropic", true],
    ]);
    expect([await openedKey("OpenAI"), await openedKey("Anthropic")]).toEqual(["sk-1", "sk-ant-1"]);
    expect(await chosen()).toBe(DEFAULT_MODELS.openai[0]);
  });

  test("again changes nothing, ten at once either", async () => {
    const environment = { openai: key("sk-1"), anthropic: key("sk-ant-1") };
    await Promise.all(Array.from({ length: 10 }, () => seed(environment)));
    const before = await db.sql`select * from providers order by id`;
    await Promise.all(Array.from({ length: 10 }, () => seed(environment)));
    expect(await db.sql`select * from providers order by id`).toEqual(before);
    expect(before).toHaveLength(3);
    const [count] = await db.sql`select count(*) as models from models`;
    expect(count?.models).toBe(
      DEFAULT_MODELS.llmsim.length + DEFAULT_MODELS.openai.length + DEFAULT_MODELS.anthropic.length,
    );
  });

  test("a key that comes later makes its provider, and the default is a real model from then on", async () => {
    await seed();
    await seed({ anthropic: key("sk-ant-1") });
    expect(await chosen()).toBe(DEFAULT_MODELS.anthropic[0]);
    await seed({ openai: key("sk-1"), anthropic: key("sk-ant-1") });
    expect(await chosen()).toBe(DEFAULT_MODELS.anthropic[0]);
  });

  test("a key or address that changed is taken over; one that is gone stays", async () => {
    await seed({ openai: key("sk-1") });
    await seed({ openai: key("sk-2", "https://proxy.example.com/v1") });
    expect(await openedKey("OpenAI")).toBe("sk-2");
    expect((await listProviders(db, ORGANIZATION))[1]?.base_url).toBe("https://proxy.example.com/v1");
    await seed();
    expect(await openedKey("OpenAI")).toBe("sk-2");
  });

  test("a key that this server's encryption key cannot open is replaced by the environment's", async () => {
    await seed({ openai: key("sk-1") });
    await db.sql`update providers set api_key_sealed = 'v1.deadbeef.AAAA.AAAA' where name = 'OpenAI'`;
    await seed({ openai: key("sk-1") });
    expect(await openedKey("OpenAI")).toBe("sk-1");
  });

  test("a row whose key a person changed is the person's; a new name alone does not make it so", async () => {
    await seed({ openai: key("sk-1"), anthropic: key("sk-ant-1") });
    const mine = sealer.seal("sk-mine", providerKeyPlace(ORGANIZATION, await providerId("OpenAI")));
    await updateProvider(db, {
      organizationId: ORGANIZATION,
      id: await providerId("OpenAI"),
      changes: { api_key_sealed: mine },
    });
    await updateProvider(db, {
      organizationId: ORGANIZATION,
      id: await providerId("Anthropic"),
      changes: { name: "Claude" },
    });
    await seed({ openai: key("sk-2"), anthropic: key("sk-ant-2") });
    expect([await openedKey("OpenAI"), await openedKey("Claude")]).toEqual(["sk-mine", "sk-ant-2"]);
    expect(await providers()).toHaveLength(3);
  });

  test("a default that a person chose stays, one that is gone is replaced", async () => {
    await seed({ openai: key("sk-1") });
    const [other] = await db.sql<{ id: string }[]>`select id from models where model_id = 'llmsim-echo'`;
    await db.sql`update organizations set default_model_id = ${other?.id ?? ""}`;
    await seed({ openai: key("sk-1") });
    expect(await chosen()).toBe("llmsim-echo");
    await deleteModel(db, ORGANIZATION, other?.id ?? "");
    await seed({ openai: key("sk-1") });
    expect(await chosen()).toBe(DEFAULT_MODELS.openai[0]);
    await deleteProvider(db, ORGANIZATION, await providerId("OpenAI"));
    await seed();
    expect(await chosen()).toBe("llmsim");
  });
});
