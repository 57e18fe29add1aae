import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { textOf } from "../../src/contract/message.ts";
import { insertMcpServer, mcpHeaderPlace, mcpKeyPlace } from "../../src/db/integrations/mcp-servers.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { startMcpServer, type TestMcpServer } from "../support/mcp-server.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, send } from "../support/sessions.ts";

const CANARY = "canary-5b20e9";

let app: TestApp;
let server: TestMcpServer;
beforeAll(async () => {
  app = await testApp();
  server = startMcpServer();
  await seedModel(app.db);
});
afterAll(async () => {
  await server.stop();
  await app.close();
});

/** The reference to a server that is stored as it is: the API would refuse an address of this machine. */
const stored = async (name: string, url = server.url) => {
  const id = newId("mcp");
  await insertMcpServer(app.db, {
    organizationId: ORGANIZATION,
    id,
    serversMax: 100,
    fields: {
      name,
      description: null,
      url,
      auth_mode: "api_key",
      protocol_mode: "auto",
      api_key_sealed: app.sealer.seal(CANARY, mcpKeyPlace(ORGANIZATION, id)),
      headers_sealed: {
        "X-Tenant": app.sealer.seal(`${CANARY}-2`, mcpHeaderPlace(ORGANIZATION, id, "X-Tenant")),
      },
    },
  });
  return `mcp:${id}`;
};

const turn = async (
  capabilities: string[],
  calls: object[],
  options: { allowPrivateHosts?: string[]; network_access?: object; mcpServers?: object } = {},
) => {
  const engine = await startEngine(
    { address: app.db.address },
    { allowPrivateHosts: options.allowPrivateHosts ?? ["127.0.0.1"] },
  );
  const { network_access, mcpServers } = options;
  const { body: session } = await app.post("/sessions", { capabilities, network_access, mcpServers });
  await send(
    app.db,
    session.id,
    script([...calls.map((call) => ({ tool_calls: [call] })), { text: "Done." }]),
  );
  const events = await logOnce(app.db, session.id, isIdle);
  await engine.stop();
  expect(events.map((event) => event.type)).toContain("turn.completed");
  const results = events.flatMap((event) =>
    event.type === "tool.completed" ? [event.data.error ?? textOf(event.data.result ?? [])] : [],
  );
  return { results, events };
};

describe("tools of an MCP server", () => {
  test("are called with its key and headers, which nobody sees", async () => {
    const ref = await stored("Number Works");
    const { results, events } = await turn(
      [ref],
      [
        { name: "mcp_number_works__add", arguments: { a: 2, b: 3 } },
        { name: "mcp_number_works__fail", arguments: {} },
        { name: "mcp_number_works__look", arguments: {} },
        { name: "mcp_number_works__add", arguments: { a: "two" } },
      ],
    );
    expect(results.slice(0, 2)).toEqual(["5", "It broke."]);
    expect(results[2]).toContain('"authorization":"[secret]"');
    expect(results[2]).toContain("[image image/png, not shown]");
    expect(results[3]).toContain("Invalid arguments");
    const done = events.find((event) => event.type === "tool.completed");
    expect(done?.data).toMatchObject({ capability_id: ref, capability_name: "Number Works" });
    expect(JSON.stringify(events)).not.toContain(CANARY);
    expect(
      server.seen.every(
        ({ method, headers }) => method !== "GET" && headers.get("authorization") === `Bearer ${CANARY}`,
      ),
    ).toBe(true);
    expect(server.seen.at(-1)?.headers.get("x-tenant")).toBe(`${CANARY}-2`);
    // Asked for its tools once, whatever the number of calls.
    expect(server.seen.filter(({ body }) => body.includes("tools/list"))).toHaveLength(1);
    const steps = await app.db.sql<
      { effect: string }[]
    >`select distinct effect from steps where tool_name like 'mcp_%'`;
    expect(steps.map(({ effect }) => effect)).toEqual(["at_most_once"]);
  });

  test("that a session brings along itself", async () => {
    const { results, events } = await turn(
      [],
      [
        { name: "mcp_own__add", arguments: { a: 1, b: 1 } },
        { name: "mcp_own__look", arguments: {} },
        { name: "mcp_local__add", arguments: {} },
      ],
      {
        mcpServers: {
          own: { url: server.url, headers: { "X-Key": CANARY } },
          local: { type: "stdio", command: "/bin/sh" },
          plain: { url: "http://mcp.example.com/" },
        },
      },
    );
    expect(results[0]).toBe("2");
    expect(results[1]).toContain('"x-key":"[secret]"');
    expect(results[2]).toContain("There is no tool named");
    expect(events.some((event) => JSON.stringify(event.data).includes(CANARY))).toBe(false);
  });

  const unreachable: [string, string | null, object][] = [
    ["an address of this machine", null, { allowPrivateHosts: [] }],
    ["a host that the agent may not reach", null, { network_access: { allowed: ["docs.example.com"] } }],
    ["a redirect", "/moved", {}],
    ["a page that is no MCP server", "http://127.0.0.1:1/mcp", {}],
  ];
  for (const [what, path, options] of unreachable) {
    test(`${what}: the turn goes on without`, async () => {
      const url = path === null ? server.url : new URL(path, server.url).href;
      const ref = await stored(`Away ${what}`, url);
      const before = server.seen.length;
      const { results } = await turn(
        [ref, "current_time"],
        [{ name: "mcp_away__add", arguments: {} }],
        options,
      );
      expect(results[0]).toContain("There is no tool named");
      expect(results[0]).toContain("get_current_time");
      expect(server.seen.length - before).toBeLessThanOrEqual(1);
    });
  }
});
