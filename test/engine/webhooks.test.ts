/** Who wants to be told that a task has ended is told: signed, at least once, and only where requests of ours may go. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { newId } from "../../src/base/id.ts";
import { createWebhookPost } from "../../src/capabilities/webhook-post.ts";
import { createTaskStores } from "../../src/db/tasks/spawn.ts";
import { claimDeliveries, settleDelivery } from "../../src/db/tasks/webhooks.ts";
import { RETRY_AFTER_MS, resultOf } from "../../src/engine/webhook-sender.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { ORGANIZATION } from "../support/sessions.ts";

interface Received {
  path: string;
  headers: Headers;
  body: string;
}

let app: TestApp;
let engine: TestEngine;
let receiver: ReturnType<typeof Bun.serve>;
let answer: (path: string) => number | Response = () => 200;
const received: Received[] = [];

beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
  receiver = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const path = new URL(request.url).pathname;
      received.push({ path, headers: request.headers, body: await request.text() });
      const given = answer(path);
      return typeof given === "number" ? new Response("", { status: given }) : given;
    },
  });
  const post = createWebhookPost({
    allowPrivateHosts: ["hooks.example.com"],
    resolve: async () => ["127.0.0.1"],
  });
  engine = await startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0], {
    webhooks: { post, open: (sealed, place) => app.sealer.open(sealed, place) },
  });
});
afterAll(async () => {
  await engine.stop();
  await receiver.stop(true);
  await app.close();
});

/** The API takes https only; what is stored goes to the receiver of this test. */
async function webhook(path: string, body: object = {}): Promise<{ id: string; secret: string }> {
  const created = await app.post("/task-webhooks", { url: "https://hooks.example.com/x", ...body });
  expect(created.status).toBe(201);
  const { id, secret } = created.body;
  const url = `http://hooks.example.com:${receiver.port}${path}`;
  await app.db.sql`update task_webhooks set url = ${url} where id = ${id}`;
  return { id, secret };
}

/** Hands work out, and lets it end. */
async function endTask(): Promise<string> {
  const session = (await app.post("/sessions", {})).body.id;
  const store = createTaskStores(
    app.db,
    app.hints,
  )({ organizationId: ORGANIZATION, sessionId: session, capabilities: [] });
  // A parent that is there, and waits.
  const { turn_id } = (
    await app.post(`/sessions/${session}/messages`, { message: { content: [{ type: "text", text: "Hi." }] } })
  ).body;
  await app.db
    .sql`update runs set state = 'waiting', waiting_on = 'subagent', lease_owner = null, lease_expires_at = null
                    where id = ${turn_id} and finished_at is null`;
  await app.db
    .sql`update runs set state = 'waiting', waiting_on = 'subagent', finished_at = null, final_message_id = null
                    where id = ${turn_id} and finished_at is not null`;
  const spawned = await store.spawnAgent({
    agent: null,
    title: "Work",
    task: "Say yes.",
    network: { allowed: [], blocked: [] },
    turnId: turn_id,
    toolCallId: "call_1",
    idempotencyKey: session,
  });
  if (spawned.outcome !== "running") throw new Error("it has ended already");
  engine.hint();
  return spawned.taskId;
}

const outcomeOf = async (webhookId: string) => {
  for (;;) {
    const [row] = await app.db.sql`
      select attempts, outcome, last_error, next_attempt_at > now() + interval '1 second' as is_later
        from webhook_deliveries where webhook_id = ${webhookId}`;
    if (row && (row.outcome !== null || (row.last_error !== null && row.is_later))) return row;
    await Bun.sleep(10);
  }
};

describe("a task that has ended", () => {
  test("is told, signed in both ways", async () => {
    const { id, secret } = await webhook("/ok");
    expect(secret).toStartWith("whsec_");
    const off = await webhook("/off", { enabled: false });
    const taskId = await endTask();
    expect(await outcomeOf(id)).toMatchObject({ attempts: 1, outcome: "delivered" });
    const [got, ...more] = received.filter((one) => one.path === "/ok");
    expect(more).toEqual([]);
    const { headers, body } = got as Received;
    const told = JSON.parse(body);
    expect(told).toMatchObject({
      type: "task.succeeded",
      data: { task: { id: taskId, state: "succeeded" } },
    });
    const signed = `${headers.get("webhook-id")}.${headers.get("webhook-timestamp")}.${body}`;
    const key = Buffer.from(secret.slice("whsec_".length), "base64");
    expect(headers.get("webhook-signature")).toBe(
      `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
    );
    expect(headers.get("x-everruns-signature")).toBe(
      `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`,
    );
    expect(headers.get("content-type")).toBe("application/json");
    expect(Math.abs(Number(headers.get("webhook-timestamp")) - Date.now() / 1_000)).toBeLessThan(300);
    expect(received.filter((one) => one.path === "/off")).toEqual([]);
    for (const one of [id, off.id]) await app.call("DELETE", `/task-webhooks/${one}`);
  });

  test("is told again, under the same id, when the receiver fails", async () => {
    answer = (path) => (path === "/fails" ? 500 : 200);
    const { id } = await webhook("/fails");
    await endTask();
    expect(await outcomeOf(id)).toMatchObject({ attempts: 1, outcome: null, last_error: "it answered 500" });
    answer = () => 204;
    await app.db
      .sql`update webhook_deliveries set next_attempt_at = now(), last_error = null where webhook_id = ${id}`;
    expect(await outcomeOf(id)).toMatchObject({ attempts: 2, outcome: "delivered" });
    const ids = received.filter((one) => one.path === "/fails").map((one) => one.headers.get("webhook-id"));
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
    await app.call("DELETE", `/task-webhooks/${id}`);
  });

  test("is not told any more to who is gone, and a redirect is not followed", async () => {
    answer = (path) =>
      path === "/gone"
        ? 410
        : path === "/moved"
          ? Response.redirect("http://hooks.example.com/ok", 307)
          : 200;
    const [gone, moved] = [await webhook("/gone"), await webhook("/moved")];
    const before = received.filter((one) => one.path === "/ok").length;
    await endTask();
    expect(await outcomeOf(gone.id)).toMatchObject({ outcome: "failed" });
    expect((await app.get(`/task-webhooks/${gone.id}`)).body.enabled).toBe(false);
    expect(await outcomeOf(moved.id)).toMatchObject({
      outcome: null,
      last_error: expect.stringContaining("redirect"),
    });
    expect(received.filter((one) => one.path === "/ok")).toHaveLength(before);
    for (const one of [gone.id, moved.id]) await app.call("DELETE", `/task-webhooks/${one}`);
  });

  test("is not told to this machine's own network", async () => {
    const { id } = await webhook("/never");
    await app.db
      .sql`update task_webhooks set url = ${`http://inside.example.org:${receiver.port}/never`} where id = ${id}`;
    await endTask();
    expect(await outcomeOf(id)).toMatchObject({
      outcome: null,
      last_error: expect.stringContaining("loopback"),
    });
    expect(received.filter((one) => one.path === "/never")).toEqual([]);
    await app.call("DELETE", `/task-webhooks/${id}`);
  });
});

describe("the outbox", () => {
  test("gives a delivery to one sender at a time, and to another when that one is lost", async () => {
    await engine.stop();
    const { id } = await webhook("/x");
    await app.db.sql`
      insert into webhook_deliveries (id, webhook_id, organization_id, body)
      select 'msg_' || n, ${id}, ${ORGANIZATION}, '{}' from generate_series(1, 20) n`;
    const claim = () => claimDeliveries(app.db, { limit: 7, leaseMs: 60_000 });
    const claimed = (await Promise.all([claim(), claim(), claim(), claim()])).flat();
    expect(claimed.map((one) => one.id).toSorted()).toEqual(
      Array.from({ length: 20 }, (_, n) => `msg_${n + 1}`).toSorted(),
    );
    expect(await claim()).toEqual([]);
    await app.db.sql`update webhook_deliveries set next_attempt_at = now() where id = 'msg_1'`;
    const [again] = await claim();
    expect(again).toMatchObject({ id: "msg_1", attempts: 2 });
    // The first sender comes back late: its word does not count any more.
    await settleDelivery(app.db, { id: "msg_1", attempts: 1 }, { outcome: "failed", error: "late" });
    await settleDelivery(app.db, { id: "msg_1", attempts: 2 }, { outcome: "delivered" });
    const [row] = await app.db
      .sql`select outcome, next_attempt_at from webhook_deliveries where id = 'msg_1'`;
    expect(row).toEqual({ outcome: "delivered", next_attempt_at: null });
  });

  const cases: [
    name: string,
    answered: { status: number } | { error: string },
    attempts: number,
    expected: object,
  ][] = [
    ["any 2xx is received", { status: 299 }, 1, { outcome: "delivered" }],
    ["a 300 is not", { status: 300 }, 1, { outcome: "again", inMs: 5_000 }],
    ["an error waits longer each time", { error: "no" }, 4, { outcome: "again", inMs: 600_000, error: "no" }],
    ["at last it is given up", { status: 503 }, RETRY_AFTER_MS.length + 1, { outcome: "failed" }],
    ["who is gone is not asked again", { status: 410 }, 1, { outcome: "failed" }],
  ];
  for (const [name, answered, attempts, expected] of cases) {
    test(name, () => expect(resultOf(answered, attempts, () => 0.5)).toMatchObject(expected));
  }
});

describe("webhooks over REST", () => {
  test("a secret is shown once, and only when the server made it", async () => {
    const made = (await app.post("/task-webhooks", { url: "https://hooks.example.com/a" })).body;
    const given = (
      await app.post("/task-webhooks", { url: "https://hooks.example.com/b", secret: "my own secret text" })
    ).body;
    expect([made.has_secret, given.has_secret, given.secret]).toEqual([true, true, undefined]);
    const rest = JSON.stringify([
      (await app.get("/task-webhooks")).body,
      (await app.get(`/task-webhooks/${made.id}`)).body,
      (await app.call("PATCH", `/task-webhooks/${given.id}`, { secret: "another secret text" })).body,
      await app.db.sql`select * from task_webhooks`,
      app.logged,
    ]);
    for (const secret of [made.secret, "my own secret text", "another secret text"])
      expect(rest).not.toContain(secret);
  });

  for (const [name, body] of [
    ["plain http", { url: "http://hooks.example.com/x" }],
    ["an address of this machine", { url: "https://127.0.0.1/x" }],
    ["a name of this network", { url: "https://hooks.internal/x" }],
    ["no address", { url: "x" }],
    ["a password in it", { url: "https://a:b@hooks.example.com/x" }],
    ["a short secret", { url: "https://hooks.example.com/x", secret: "short" }],
  ] as const) {
    test(`${name} is refused`, async () => {
      expect((await app.post("/task-webhooks", body)).status).toBe(400);
    });
  }

  test("those of nobody are 404", async () => {
    for (const method of ["GET", "PATCH", "DELETE"]) {
      const body = method === "PATCH" ? {} : undefined;
      expect((await app.call(method, `/task-webhooks/${newId("wh")}`, body)).status).toBe(404);
      expect((await app.call(method, "/task-webhooks/x", body)).status).toBe(400);
    }
  });
});
