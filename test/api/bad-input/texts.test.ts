/** Bodies that are almost right, and text that a database cannot store. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";

import { type TestApp, testApp } from "../../support/app.ts";

let app: TestApp;

beforeAll(async () => {
  app = await testApp();
  await app.post("/agents", { name: "taken", system_prompt: "x" });
});
afterAll(() => app.close());

describe("a body that is almost what it should be", () => {
  test("JSON under a vendor's content type is taken", async () => {
    const answer = await app.call("POST", "/agents/taken/copy", "{}", {
      "content-type": "application/x+json",
    });
    expect(answer.status).toBe(201);
  });

  test("a body where none is wanted is not looked at", async () => {
    expect((await app.call("POST", "/agents/taken/copy", "{nope")).status).toBe(201);
  });
});

describe("text that a database cannot store", () => {
  test("a NUL or half a surrogate pair becomes U+FFFD, in texts, in names of fields and in lists", async () => {
    const body = `{"name":"odd","system_prompt":"a\\u0000b\\ud83d","description":"\\udc00","tags":["\\u0000"],
      "capabilities":[{"ref":"current_time","config":{"a\\u0000":"b\\u0000"}}]}`;
    const { status, body: agent } = await app.call("POST", "/agents", body);
    expect(status).toBe(201);
    expect([agent.system_prompt, agent.description, agent.tags]).toEqual([
      "a\uFFFDb\uFFFD",
      "\uFFFD",
      ["\uFFFD"],
    ]);
    expect(agent.capabilities[0].config).toEqual({ "a\uFFFD": "b\uFFFD" });
  });

  test("a search for one finds nothing and breaks nothing", async () => {
    expect((await app.get("/agents?search=%00zz")).body.total).toBe(0);
    expect((await app.get("/runs?worker_id=%00")).body.total).toBe(0);
  });

  test("__proto__ in a body is no prototype", async () => {
    const { body } = await app.call(
      "POST",
      "/sessions",
      '{"__proto__":{"title":"polluted"},"hints":{"__proto__":{"x":1}}}',
    );
    expect([body.title, body.hints]).toEqual([undefined, {}]);
    expect(({} as Record<string, unknown>).title).toBeUndefined();
  });

  test("fields that we do not know are passed over", async () => {
    expect((await app.post("/sessions", { no_such_field: [1, 2], title: "x" })).status).toBe(201);
  });
});
