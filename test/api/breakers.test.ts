import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import { changeBreaker, loadBreakerView } from "../../src/db/providers/breakers.ts";
import { FAILURES_TO_OPEN, nextBreaker } from "../../src/engine/breaker.ts";
import { ORGANIZATION, type TestApp, testApp } from "../support/app.ts";

let app: TestApp;
let providerId: string;
beforeAll(async () => {
  app = await testApp();
  providerId = (await app.post("/providers", { name: "P", provider_type: "llmsim" })).body.id;
});
afterAll(() => app.close());

const keyOf = (model: string) => ({ organizationId: ORGANIZATION, providerId, model });
const fail = (model: string) =>
  changeBreaker(app.db, keyOf(model), (breaker, now) =>
    nextBreaker(breaker, { kind: "failed", isProbe: false }, now),
  );
const path = (model: string, action = "") => `/durable/circuit-breakers/${providerId}:${model}${action}`;

describe("circuit breakers", () => {
  test("show what the provider did, and close by hand", async () => {
    for (let n = 0; n < FAILURES_TO_OPEN; n += 1) await fail("a/b:latest");
    const name = encodeURIComponent("a/b:latest");
    const { body } = await app.get(path(name));
    expect(body).toMatchObject({
      key: `${providerId}:a/b:latest`,
      state: "open",
      failure_count: FAILURES_TO_OPEN,
      success_count: 0,
    });
    expect(Date.parse(body.half_open_at) - Date.parse(body.opened_at)).toBe(5_000);
    expect((await app.get("/durable/circuit-breakers")).body).toMatchObject({ total: 1, data: [body] });

    expect((await app.post(path(name, "/close"))).status).toBe(200);
    expect(await loadBreakerView(app.db, keyOf("a/b:latest"))).toMatchObject({
      state: "closed",
      failure_count: 0,
    });
    expect((await app.call("DELETE", path(name))).status).toBe(200);
    expect((await app.get(path(name))).status).toBe(404);
  });

  test("opened by hand, one stays open, also if its model was never in trouble", async () => {
    expect((await app.post(path("calm", "/open"))).status).toBe(200);
    const { body } = await app.get(path("calm"));
    expect([body.state, body.half_open_at]).toEqual(["open", undefined]);
    expect(await loadBreakerView(app.db, keyOf("calm"))).toMatchObject({ reason: "operator", wait_ms: null });
    expect(app.logged.join("\n")).toContain("a circuit breaker was opened by an operator");
  });

  test("of nothing are not found, whatever is asked of them", async () => {
    const unknown = `/durable/circuit-breakers/${newId("prov")}:m`;
    const answers = [
      await app.get(path("never")),
      await app.post(path("never", "/close")),
      await app.call("DELETE", path("never")),
      await app.post(`${unknown}/open`),
      await app.post("/durable/circuit-breakers/nonsense/open"),
      await app.get("/durable/circuit-breakers/%E0%A4%A"),
    ];
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 404));
  });

  test("of changes that are decided on the same row all are counted", async () => {
    await Promise.all(Array.from({ length: 4 }, () => fail("busy")));
    expect(await loadBreakerView(app.db, keyOf("busy"))).toMatchObject({ failure_count: 4 });
  });

  test("go with their provider", async () => {
    const { id } = (await app.post("/providers", { name: "Q", provider_type: "llmsim" })).body;
    await app.post(`/durable/circuit-breakers/${id}:m/open`);
    expect((await app.call("DELETE", `/providers/${id}`)).status).toBe(204);
    expect((await app.get(`/durable/circuit-breakers/${id}:m`)).status).toBe(404);
  });
});

describe("a provider's limits", () => {
  test("are kept, changed and removed; nonsense is refused", async () => {
    const { id, limits } = (
      await app.post("/providers", {
        name: "L",
        provider_type: "llmsim",
        limits: { max_concurrent_requests: 3 },
      })
    ).body;
    expect(limits).toEqual({ max_concurrent_requests: 3 });
    const change = async (value: unknown) => app.call("PATCH", `/providers/${id}`, { limits: value });
    expect((await change({ requests_per_minute: 60 })).body.limits).toEqual({ requests_per_minute: 60 });
    expect((await app.call("PATCH", `/providers/${id}`, { name: "M" })).body.limits).toEqual({
      requests_per_minute: 60,
    });
    expect((await change({ max_concurrent_requests: 0 })).status).toBe(400);
    expect((await change(null)).body.limits).toBeUndefined();
  });
});
