/** The schedules that an agent has made for its session: made once, bounded, and in the hands of the user. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { newId } from "../../src/base/id.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { createScheduleStores } from "../../src/db/schedules/session-schedules.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { newSession, ORGANIZATION, readLog } from "../support/sessions.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
});
afterAll(() => app.close());

const inputs = (log: readonly Event[]) =>
  log.flatMap((event) =>
    event.type === "input.message" || event.type === "input.queued" ? [event.data.message] : [],
  );

describe("the schedules of a session", () => {
  const cron = "0 9 * * *";
  const make = (session: string, key: string) =>
    createScheduleStores(app.db)({ organizationId: ORGANIZATION, sessionId: session }).create({
      description: "Go.",
      cronExpression: cron,
      scheduledAt: null,
      timezone: "UTC",
      idempotencyKey: key,
    });

  test("a creation that is repeated makes one; at once past the cap none", async () => {
    const session = await newSession(app.db);
    const [first, again] = [await make(session, `${session}:1`), await make(session, `${session}:1`)];
    expect(again).toEqual(first);
    const more = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) => make(session, `${session}:${n + 2}`)),
    );
    expect(more.filter((one) => one.status === "fulfilled")).toHaveLength(
      limits.sessionSchedulesPerSession - 1,
    );
    expect((await app.get(`/sessions/${session}/schedules`)).body).toHaveLength(
      limits.sessionSchedulesPerSession,
    );
  });

  test("are switched off and on, triggered and deleted over REST", async () => {
    const session = await newSession(app.db);
    const { id } = await make(session, session);
    const path = `/sessions/${session}/schedules/${id}`;
    const off = await app.call("PATCH", path, { enabled: false });
    expect(off.body).toMatchObject({ enabled: false });
    expect(off.body.next_trigger_at).toBeUndefined();
    expect((await app.call("PATCH", path, { enabled: true })).body).toMatchObject({
      enabled: true,
      next_trigger_at: expect.any(String),
    });
    expect((await app.post(`${path}/trigger`)).body).toMatchObject({
      trigger_count: 1,
      enabled: true,
      next_trigger_at: expect.any(String),
    });
    expect(inputs(await readLog(app.db, session))).toHaveLength(1);
    expect((await app.call("DELETE", path)).status).toBe(204);
    for (const [method, at] of [
      ["GET", path],
      ["DELETE", path],
      ["POST", `${path}/trigger`],
    ] as const) {
      expect((await app.call(method, at)).status).toBe(404);
    }
    expect((await app.get(`/sessions/${newId("session")}/schedules`)).status).toBe(404);
    expect((await app.get(`/sessions/${session}/schedules/x`)).status).toBe(400);
  });

  test("one whose time is past cannot be switched on", async () => {
    const session = await newSession(app.db);
    const { id } = await make(session, session);
    await app.db.sql`
      update schedules set cron_expression = null, scheduled_at = now() - interval '1 day', enabled = false,
                           next_trigger_at = null where id = ${id}`;
    expect((await app.call("PATCH", `/sessions/${session}/schedules/${id}`, { enabled: true })).status).toBe(
      409,
    );
  });
});
