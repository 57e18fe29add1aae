/** `sync-models` against servers that answer as the vendors' documentation says, through the real drivers. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { ORGANIZATION, OTHER_ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
let vendor: ReturnType<typeof Bun.serve>;
/** What the vendor lists, or how it refuses. */
let listed: string[] = [];
let refusal: (() => Response) | null = null;
const seen: { path: string; key: string | null }[] = [];

beforeAll(async () => {
  app = await testApp();
  vendor = Bun.serve({
    port: 0,
    fetch: (request) => answerTo(request),
  });
});
afterAll(async () => {
  await vendor.stop(true);
  await app.close();
});

function answerTo(request: Request): Response {
  const url = new URL(request.url);
  const key = request.headers.get("x-api-key") ?? request.headers.get("authorization");
  seen.push({ path: url.pathname + url.search, key });
  if (refusal !== null) return refusal();
  return url.pathname.startsWith("/anthropic") ? anthropicPage(url) : openaiList();
}

const openaiList = () =>
  Response.json({
    object: "list",
    data: listed.map((id) => ({ id, object: "model", created: 1_700_000_000, owned_by: "x" })),
  });

/** Two models a page, whatever the client asks for: so it has to follow `last_id`. */
function anthropicPage(url: URL): Response {
  const after = url.searchParams.get("after_id");
  const from = after === null ? 0 : listed.indexOf(after) + 1;
  const ids = listed.slice(from, from + 2);
  return Response.json({
    data: ids.map((id) => ({ id, type: "model", display_name: id, created_at: "2026-01-01T00:00:00Z" })),
    first_id: ids[0] ?? null,
    last_id: ids.at(-1) ?? null,
    has_more: from + 2 < listed.length,
  });
}

const provider = async (fields: object = {}): Promise<string> =>
  (
    await app.post("/providers", {
      name: "Vendor",
      provider_type: "openai_completions",
      base_url: `http://localhost:${vendor.port}/v1`,
      ...fields,
    })
  ).body.id;
const sync = (id: string) => app.post(`/providers/${id}/sync-models`);
// biome-ignore lint/suspicious/noExplicitAny: the answer's rows
const modelsOf = async (id: string): Promise<any[]> => (await app.get(`/providers/${id}/models`)).body.data;

describe("syncing the models of a provider", () => {
  test("finds new ones, keeps what people decided, and marks what is gone", async () => {
    const id = await provider();
    const manual = await app.post(`/providers/${id}/models`, { model_id: "mine", display_name: "Mine" });
    listed = ["gpt-4.1", "qwen3-coder", "text-embedding-3-small"];
    expect((await sync(id)).body).toEqual({ status: "success", created: 2, updated: 0, stale: 0 });
    const rows = await modelsOf(id);
    expect(rows.map((row) => [row.model_id, row.source]).sort()).toEqual([
      ["gpt-4.1", "discovered"],
      ["mine", "manual"],
      ["qwen3-coder", "discovered"],
    ]);
    const known = rows.find((row) => row.model_id === "gpt-4.1");
    expect(known.display_name).toBe("GPT-4.1");
    expect(typeof (await app.get(`/providers/${id}`)).body.last_synced_at).toBe("string");
    await app.call("PATCH", `/models/${known.id}`, {
      display_name: "Ours",
      is_favorite: true,
      enabled: false,
    });

    listed = ["qwen3-coder"];
    expect((await sync(id)).body).toEqual({ status: "success", created: 0, updated: 0, stale: 1 });
    const gone = (await app.get(`/models/${known.id}`)).body;
    expect([gone.is_stale, gone.healthy, gone.display_name]).toEqual([true, false, "Ours"]);
    expect((await app.get(`/models/${manual.body.id}`)).body.is_stale).toBeUndefined();
    const shown = async (query: string) =>
      (await app.get(`/models${query}`)).body.data.some((row: { id: string }) => row.id === known.id);
    expect([await shown(""), await shown("?include_stale=true")]).toEqual([false, true]);

    listed = ["gpt-4.1", "qwen3-coder", "mine"];
    expect((await sync(id)).body).toEqual({ status: "success", created: 0, updated: 1, stale: 0 });
    const back = (await app.get(`/models/${known.id}`)).body;
    expect([back.is_stale, back.display_name, back.is_favorite, back.enabled]).toEqual([
      undefined,
      "Ours",
      true,
      false,
    ]);
    expect((await sync(id)).body).toEqual({ status: "success", created: 0, updated: 0, stale: 0 });
  });

  test("follows Anthropic's pages, with the key that is stored", async () => {
    const id = await provider({
      provider_type: "anthropic",
      base_url: `http://localhost:${vendor.port}/anthropic`,
      api_key: "sk-ant-canary",
    });
    listed = ["claude-a", "claude-b", "claude-c", "claude-d", "claude-e"];
    seen.length = 0;
    expect((await sync(id)).body.created).toBe(5);
    expect(seen.map(({ path }) => path.replace(/limit=\d+&?/, ""))).toEqual([
      "/anthropic/v1/models?",
      "/anthropic/v1/models?after_id=claude-b",
      "/anthropic/v1/models?after_id=claude-d",
    ]);
    expect(new Set(seen.map(({ key }) => key))).toEqual(new Set(["sk-ant-canary"]));
  });

  test("knows the simulated models", async () => {
    const simulated = (await app.get("/providers")).body.data[0];
    expect((await sync(simulated.id)).body.status).toBe("success");
  });

  const refusals: [what: string, answer: () => Response, status: number, code: string][] = [
    [
      "a key that the provider refuses",
      () => Response.json({ error: { message: "Incorrect API key: sk-canary" } }, { status: 401 }),
      400,
      "provider_misconfigured",
    ],
    [
      "a provider that is down",
      () => Response.json({ error: { message: "overloaded" } }, { status: 503 }),
      502,
      "provider_unavailable",
    ],
    [
      "a page that is no list",
      () => new Response("<html>hello</html>", { headers: { "content-type": "text/html" } }),
      502,
      "provider_unavailable",
    ],
  ];
  for (const [what, answer, status, code] of refusals) {
    test(`${what} is the caller's to read; nothing changes`, async () => {
      const id = await provider({ api_key: "sk-canary" });
      listed = ["kept"];
      await sync(id);
      refusal = answer;
      const refused = await sync(id);
      refusal = null;
      expect([refused.status, refused.body.code]).toEqual([status, code]);
      expect(JSON.stringify(refused.body)).not.toContain("sk-canary");
      expect((await modelsOf(id)).map((row) => [row.model_id, row.is_stale])).toEqual([["kept", undefined]]);
    });
  }

  test("an answer that is no list is none for Anthropic, too", async () => {
    const id = await provider({
      provider_type: "anthropic",
      base_url: `http://localhost:${vendor.port}/anthropic`,
    });
    refusal = () => Response.json({ hello: "world" });
    const refused = await sync(id);
    refusal = null;
    expect(refused.body.code).toBe("provider_unavailable");
  });

  test("a provider without key and address, one that is not there, and another organization's", async () => {
    const bare = (await app.post("/providers", { name: "Bare", provider_type: "openai" })).body.id;
    expect((await sync(bare)).body.code).toBe("provider_misconfigured");
    expect((await sync(newId("prov"))).status).toBe(404);
    expect((await sync("nonsense")).body.code).toBe("invalid_id");
    const id = await provider();
    await app.db.sql`insert into organizations (id, name) values (${OTHER_ORGANIZATION}, 'Other')`;
    await app.db.sql`update providers set organization_id = ${OTHER_ORGANIZATION} where id = ${id}`;
    expect((await sync(id)).status).toBe(404);
  });
});

test("an organization has no default model once that is deleted, alone or with its provider", async () => {
  const chosen = async () => {
    const [row] = await app.db.sql<{ default_model_id: string | null }[]>`
      select default_model_id from organizations where id = ${ORGANIZATION}`;
    return row?.default_model_id;
  };
  for (const path of [
    (row: { id: string }) => `/models/${row.id}`,
    (row: { provider_id: string }) => `/providers/${row.provider_id}`,
  ]) {
    const id = await provider();
    const { body } = await app.post(`/providers/${id}/models`, { model_id: "d", display_name: "D" });
    await app.db.sql`update organizations set default_model_id = ${body.id}`;
    expect((await app.call("DELETE", path(body))).status).toBe(204);
    expect(await chosen()).toBeNull();
  }
});
