/** How much one organization may have: beyond it nothing is made, and what is there goes on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createOrganizationCaps } from "../../src/api/http/organization-caps.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp({ caps: { agents: 2, sessions: 3, activeTurns: 1 } });
});
afterAll(() => app.close());

const message = { message: { content: [{ type: "text", text: "hello" }] } };

describe("agents", () => {
  test("beyond the cap are refused, however they are made; those that are there can be changed", async () => {
    const first = await app.post("/agents", { name: "first", system_prompt: "x" });
    const second = await app.post("/agents", { name: "second", system_prompt: "x" });
    expect([first.status, second.status]).toEqual([201, 201]);
    await app.post(`/agents/${first.body.id}/versions`, {});
    const version = (await app.get(`/agents/${first.body.id}/versions`)).body[0];
    for (const [path, body] of [
      ["/agents", { name: "third", system_prompt: "x" }],
      ["/agents/import", "You are the third."],
      [`/agents/${first.body.id}/copy`, undefined],
      [`/agents/${first.body.id}/versions/${version.id}/fork`, { name: "third" }],
    ] as const) {
      const headers = path === "/agents/import" ? { "content-type": "text/plain" } : undefined;
      const refused = await app.call("POST", path, body, headers);
      expect([path, refused.status, refused.body.code]).toEqual([path, 409, "conflict"]);
      expect(refused.body.detail).toContain("has 2 agents already");
    }
    const put = await app.call("PUT", "/agents/third", { name: "third", system_prompt: "x" });
    expect(put.status).toBe(409);
    expect((await app.post("/agents", { name: "second", system_prompt: "y" })).status).toBe(200);
    expect(
      (await app.call("PUT", `/agents/${first.body.id}`, { name: "renamed", system_prompt: "y" })).status,
    ).toBe(200);
    expect((await app.get("/agents?include_archived=true")).body.total).toBe(2);
  });

  test("room that was made is there at once", async () => {
    const { id } = (await app.get("/agents/second")).body;
    expect((await app.call("DELETE", `/agents/${id}`)).status).toBe(204);
    expect((await app.post("/agents", { name: "third", system_prompt: "x" })).status).toBe(409);
    expect((await app.post(`/agents/${id}/delete`)).status).toBe(200);
    expect((await app.post("/agents", { name: "third", system_prompt: "x" })).status).toBe(201);
  });
});

describe("turns at work", () => {
  test("beyond the cap wait at the client; messages that start none are taken", async () => {
    const [busy, idle] = [
      (await app.post("/sessions", {})).body.id,
      (await app.post("/sessions", {})).body.id,
    ];
    const sent = { message: { ...message.message }, client_message_id: "once" };
    const started = await app.post(`/sessions/${busy}/messages`, sent);
    expect(started.status).toBe(201);
    const refused = await app.post(`/sessions/${idle}/messages`, message);
    expect([refused.status, refused.body.code]).toEqual([429, "rate_limited"]);
    expect(refused.headers.get("retry-after")).toBe("5");
    expect((await app.get(`/sessions/${idle}/messages`)).body.data).toEqual([]);

    expect((await app.post(`/sessions/${busy}/messages`, message)).body.delivery).toBe("steered");
    await app.post(`/sessions/${busy}/cancel`);
    expect((await app.post(`/sessions/${idle}/messages`, message)).status).toBe(201);
    // The cap is reached again: a repeated message gets its first answer all the same.
    const again = await app.post(`/sessions/${busy}/messages`, sent);
    expect([again.status, again.body.turn_id]).toEqual([started.status, started.body.turn_id]);

    // Nor is there another way to one more.
    const agent = (await app.get("/agents")).body.data[0].id;
    for (const [path, body] of [
      [`/agents/${agent}/health-checks`, {}],
      [`/runs/${started.body.turn_id}/retry`, {}],
      ["/durable/tasks", { activity_type: "turn", input: { session_id: busy, message: "x" } }],
    ] as const) {
      expect([path, (await app.post(path, body)).status]).toEqual([path, 429]);
    }
  });
});

describe("sessions", () => {
  test("beyond the cap are refused, forks too", async () => {
    const { id } = (await app.post("/sessions", {})).body;
    const refused = await app.post("/sessions", {});
    expect([refused.status, refused.body.code]).toEqual([409, "conflict"]);
    expect((await app.post(`/sessions/${id}/fork`, {})).status).toBe(409);
    expect((await app.post("/sessions/chat", {})).status).toBe(409);
    expect((await app.get("/sessions")).body.total).toBe(3);
    expect((await app.call("DELETE", `/sessions/${id}`)).status).toBe(204);
    expect((await app.post("/sessions", {})).status).toBe(201);
  });
});

describe("a count", () => {
  test("is looked at again when it is old, and not before the cap otherwise", async () => {
    let nowMs = 0;
    const asked: string[] = [];
    const counting = await testApp();
    const db = {
      ...counting.db,
      sql: new Proxy(counting.db.sql, {
        apply(target, self, args) {
          asked.push(String(args[0]));
          return Reflect.apply(target, self, args);
        },
      }),
    };
    const caps = createOrganizationCaps(
      db,
      { monotonicMs: () => nowMs },
      { agents: null, sessions: 10, activeTurns: null },
    );
    await caps.admitSession(ORGANIZATION);
    const once = asked.length;
    await caps.admitSession(ORGANIZATION);
    await caps.admitAgent(ORGANIZATION, null);
    expect(asked).toHaveLength(once);
    nowMs = 5_000;
    await caps.admitSession(ORGANIZATION);
    expect(asked.length).toBe(2 * once);
    await counting.close();
  });
});
