import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId, uuidOf } from "../../src/base/id.ts";
import { limits } from "../../src/contract/limits.ts";
import { HIDDEN_VALUE } from "../../src/contract/mcp-server.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

const CANARY = "canary-71d0c2";

let app: TestApp;
/** What services were asked, with which key. */
const asked: [string, string][] = [];
let answer = { valid: true, error: null as string | null, username: "ann" as string | null, scopes: "repo" };

beforeAll(async () => {
  app = await testApp({
    async checkConnection(provider, { sealed, place }) {
      asked.push([provider, app.sealer.open(sealed, place)]);
      return answer;
    },
  });
});
afterAll(() => app.close());

const noCanary = async () => {
  const rows = [
    await app.db.sql`select * from connections`,
    await app.db.sql`select * from mcp_servers`,
    await app.db.sql`select * from events`,
  ];
  expect(JSON.stringify([rows, app.logged])).not.toContain(CANARY);
};

describe("connections", () => {
  test("are made by a key, verified with it, replaced and forgotten", async () => {
    const made = await app.post("/user/connections/github", { api_key: ` ${CANARY}\n` });
    expect(made.status).toBe(201);
    expect(made.body).toEqual({
      provider: "github",
      connection_type: "api_key",
      connected_at: made.body.created_at,
      created_at: made.body.created_at,
      updated_at: made.body.updated_at,
    });
    expect((await app.post("/user/connections/github/verify")).body).toEqual({ valid: true });
    expect(asked).toEqual([["github", CANARY]]);
    const [listed] = (await app.get("/user/connections")).body.data;
    expect(listed).toMatchObject({ provider: "github", provider_username: "ann", scopes: "repo" });

    const put = await app.call("PUT", "/user/connections/api-key/github", { api_key: `${CANARY}2` });
    expect([put.status, put.body.provider_username, put.body.created_at]).toEqual([
      200,
      undefined,
      made.body.created_at,
    ]);
    answer = { ...answer, valid: false, error: "GitHub refuses the key (status 401)", username: null };
    expect((await app.post("/user/connections/github/verify")).body).toEqual({
      valid: false,
      error: "GitHub refuses the key (status 401)",
    });
    const services = (await app.get("/user/connections/providers")).body.data;
    expect(services.filter((one: { is_connected: boolean }) => one.is_connected)).toMatchObject([
      { provider: "github", connection_type: "api_key" },
    ]);
    expect((await app.call("DELETE", "/user/connections/github")).status).toBe(204);
    expect((await app.call("DELETE", "/user/connections/github")).status).toBe(404);
    expect((await app.get("/user/connections")).body.data).toEqual([]);
  });

  test("what is refused", async () => {
    const refused: [string, string, unknown, number][] = [
      ["POST", "/user/connections/slack", { api_key: CANARY }, 404],
      ["POST", "/user/connections/github/verify", undefined, 404],
      ["GET", "/user/connections/github/authorize", undefined, 404],
      ["POST", "/user/connections/github", {}, 400],
      ["POST", "/user/connections/github", { api_key: "" }, 400],
      ["POST", "/user/connections/github", { api_key: `${CANARY}\nX-Evil: 1` }, 400],
      ["POST", "/user/connections/github", { api_key: "x".repeat(limits.secretCharsMax + 1) }, 400],
    ];
    for (const [method, path, body, status] of refused) {
      const got = await app.call(method, path, body);
      expect([method, path, got.status]).toEqual([method, path, status]);
      expect(JSON.stringify(got.body)).not.toContain(CANARY);
    }
    await noCanary();
  });

  test("belong to their user alone", async () => {
    await app.post("/user/connections/e2b", { api_key: "x" });
    await app.db.sql`insert into users (id, email, name) values (${newId("user")}, 'b@example.com', 'B')`;
    await app.db.sql`
      update connections set user_id = (select id from users where email = 'b@example.com') where provider = 'e2b'`;
    expect((await app.get("/user/connections")).body.data).toEqual([]);
    expect((await app.post("/user/connections/e2b/verify")).status).toBe(404);
    expect((await app.call("DELETE", "/user/connections/e2b")).status).toBe(404);
  });
});

describe("MCP servers", () => {
  const make = (body: object) => app.post("/mcp-servers", { url: "https://mcp.example.com/mcp", ...body });

  test("secrets go in, are kept or replaced, and never come out", async () => {
    const { body: made, status } = await make({
      name: "Secretive",
      api_key: CANARY,
      headers: { "X-One": CANARY, "X-Two": CANARY },
    });
    expect([status, made.api_key_set, made.auth_mode, made.headers]).toEqual([
      201,
      true,
      "api_key",
      { "X-One": HIDDEN_VALUE, "X-Two": HIDDEN_VALUE },
    ]);
    const sealed = async () =>
      (await app.db.sql`select api_key_sealed, headers_sealed from mcp_servers where id = ${made.id}`)[0] as {
        api_key_sealed: string | null;
        headers_sealed: Record<string, string>;
      };
    const before = await sealed();
    const patch = (body: object) => app.call("PATCH", `/mcp-servers/${made.id}`, body);
    const kept = await patch({ headers: { "X-One": HIDDEN_VALUE, "X-Three": "3" } });
    expect(Object.keys(kept.body.headers)).toEqual(["X-One", "X-Three"]);
    const after = await sealed();
    expect(after.headers_sealed["X-One"]).toBe(before.headers_sealed["X-One"] as string);
    const place = `${ORGANIZATION}/mcp_servers/${made.id}/headers_sealed:X-One`;
    expect(app.sealer.open(after.headers_sealed["X-One"] as string, place)).toBe(CANARY);
    expect((await patch({ api_key: null, headers: null })).body).toMatchObject({
      api_key_set: false,
      headers: {},
    });
    await patch({ api_key: CANARY });
    expect((await patch({ status: "deleted" })).body.status).toBe("deleted");
    expect(await sealed()).toEqual({ api_key_sealed: null, headers_sealed: {} });
    expect((await app.get(`/mcp-servers/${made.id}`)).status).toBe(404);
    await noCanary();
  });

  test("secrets do not go to another host than they were stored for", async () => {
    const { body: made } = await make({ name: "Moving", api_key: CANARY, headers: { "X-One": CANARY } });
    const patch = async (body: object) => {
      const answer = await app.call("PATCH", `/mcp-servers/${made.id}`, {
        url: "https://elsewhere.example/mcp",
        ...body,
      });
      return [answer.status, answer.body.detail ?? ""];
    };
    expect(await patch({})).toEqual([
      400,
      expect.stringContaining("api_key, X-One: stored for another address"),
    ]);
    expect(await patch({ api_key: CANARY, headers: { "X-One": HIDDEN_VALUE } })).toEqual([
      400,
      expect.stringMatching(/^X-One: /),
    ]);
    expect(await patch({ headers: null })).toEqual([400, expect.stringMatching(/^api_key: /)]);
    expect((await app.get(`/mcp-servers/${made.id}`)).body.url).toBe(made.url);
    expect(await patch({ api_key: CANARY, headers: {} })).toEqual([200, ""]);
    const same = await app.call("PATCH", `/mcp-servers/${made.id}`, {
      url: "https://elsewhere.example/other",
    });
    expect([same.status, same.body.api_key_set]).toEqual([200, true]);
  });

  const urls: [string, number][] = [
    ["https://mcp.example.com/mcp?tenant=1", 201],
    ["http://mcp.example.com/mcp", 400],
    ["https://user:pw@mcp.example.com/", 400],
    ["ftp://mcp.example.com/", 400],
    ["mcp.example.com", 400],
    ["https://localhost/mcp", 400],
    ["https://metadata.google.internal/", 400],
    ["https://printer.local/", 400],
    ["https://intranet/", 400],
    ["https://127.0.0.1/", 400],
    ["https://2130706433/", 400],
    ["https://169.254.169.254/latest", 400],
    ["https://10.1.2.3/", 400],
    ["https://[::1]/", 400],
    ["https://[::ffff:127.0.0.1]/", 400],
    ["https://[fd00::1]/", 400],
  ];
  for (const [index, [url, status]] of urls.entries()) {
    test(`${url}: ${status}`, async () => {
      expect((await make({ name: `Address ${index}`, url })).status).toBe(status);
    });
  }

  test("what else is refused", async () => {
    await make({ name: "Taken" });
    const refused: [object, number, string][] = [
      [{ name: "Taken" }, 409, "name_taken"],
      [{ name: " " }, 400, "invalid_request"],
      [{ name: "s", transport_type: "stdio" }, 400, "invalid_request"],
      [{ name: "h", headers: { Host: "evil" } }, 400, "invalid_request"],
      [{ name: "h", headers: { "a b": "x" } }, 400, "invalid_request"],
      [{ name: "h", headers: { A: "x\r\nB: y" } }, 400, "invalid_request"],
      [{ name: "h", headers: { A: "ü" } }, 400, "invalid_request"],
      [
        {
          name: "h",
          headers: Object.fromEntries(
            Array.from({ length: limits.mcpHeadersMax + 1 }, (_, n) => [`X-${n}`, "1"]),
          ),
        },
        400,
        "limit_exceeded",
      ],
    ];
    for (const [body, status, code] of refused) {
      const got = await make(body);
      expect([body, got.status, got.body.code]).toEqual([body, status, code]);
    }
  });

  test("are archived and taken back; the list leaves archived ones out", async () => {
    const { body: made } = await make({ name: "Comes and goes" });
    await app.call("DELETE", `/mcp-servers/${made.id}`);
    const ids = async (query: string) =>
      (await app.get(`/mcp-servers${query}`)).body.data.map((one: { id: string }) => one.id);
    expect(await ids("?search=comes")).toEqual([]);
    expect(await ids("?search=comes&include_archived=true")).toEqual([made.id]);
    const back = await app.call("PATCH", `/mcp-servers/${made.id}`, { status: "active" });
    expect([back.body.status, back.body.archived_at]).toEqual(["active", undefined]);
  });
});

describe("references to what the organization made", () => {
  test("are taken in every spelling while it is active, and refused otherwise", async () => {
    const { body: server } = await app.post("/mcp-servers", { name: "Ref", url: "https://a.example.com" });
    const { body: skill } = await app.post("/skills", {
      skill_md: "---\nname: ref\ndescription: d\n---\nx",
    });
    const create = async (ref: unknown) =>
      (await app.post("/sessions", { capabilities: ["current_time", ref] })).status;
    for (const ref of [
      `mcp:${server.id}`,
      `mcp:${uuidOf(server.id)}`,
      `skill:${skill.id.slice("skill_".length)}`,
      { ref: `skill:${uuidOf(skill.id).toUpperCase()}`, config: {} },
    ]) {
      expect([ref, await create(ref)]).toEqual([ref, 201]);
    }
    for (const ref of [
      `mcp:${uuidOf(skill.id)}`,
      `skill:${uuidOf(newId("skill"))}`,
      "skill:ref",
      "mcp:",
      "plugin:x",
      { ref: `skill:${skill.id}`, config: { a: 1 } },
    ]) {
      expect([ref, await create(ref)]).toEqual([ref, 400]);
    }
    const agent = (
      await app.post("/agents", { name: "ref", system_prompt: "", capabilities: [`skill:${skill.id}`] })
    ).body;
    expect((await app.get("/skills/usage")).body).toEqual({ [skill.id]: { agents: 1, harnesses: 0 } });
    await app.call("PATCH", `/skills/${skill.id}`, { status: "disabled" });
    expect(await create(`skill:${skill.id}`)).toBe(400);
    // A stored agent outlives its skill.
    expect((await app.post("/sessions", { agent_id: agent.id })).status).toBe(201);
  });
});
