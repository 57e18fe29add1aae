/** Schedules are fired by the workers: each due time once, whatever dies when. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import { newId } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Event } from "../../src/contract/event.ts";
import { limits } from "../../src/contract/limits.ts";
import { settleExecutions } from "../../src/db/schedules/executions.ts";
import { fireSchedule } from "../../src/db/schedules/fire.ts";
import {
  createSchedule,
  findSchedule,
  type ScheduleFields,
  type ScheduleRow,
} from "../../src/db/schedules/schedules.ts";
import { createScheduleStores } from "../../src/db/schedules/session-schedules.ts";
import { createScheduler, planFire } from "../../src/engine/scheduler.ts";
import { type TestApp, testApp } from "../support/app.ts";
import { seedModel, startEngine, type TestEngine } from "../support/engine.ts";
import { until } from "../support/live.ts";
import { script } from "../support/scripts.ts";
import { isIdle, logOnce, newSession, ORGANIZATION, readLog, send } from "../support/sessions.ts";
import { completedCalls } from "../support/waiting.ts";

let app: TestApp;
beforeAll(async () => {
  app = await testApp();
  await seedModel(app.db);
});
afterAll(() => app.close());

const OWN = { organizationId: ORGANIZATION, sessionId: null };
let names = 0;

async function newSchedule(session: string, fields: Partial<ScheduleFields> = {}): Promise<ScheduleRow> {
  names += 1;
  const created = await createSchedule(app.db, {
    id: newId("sched"),
    organizationId: ORGANIZATION,
    ownerId: "principal_0",
    fields: {
      name: `schedule ${names}`,
      description: "Look after it.",
      cron_expression: "0 0 1 1 *",
      scheduled_at: null,
      timezone: "UTC",
      target: { type: "workflow", name: "session.run", input: { session_id: session } },
      enabled: true,
      catch_up_missed: false,
      max_catch_up: null,
      max_concurrent: null,
      retry_policy: null,
      next_trigger_at: new Date(Date.now() - 1_000),
      ...fields,
    },
  });
  if (created.outcome !== "created") throw new Error(created.outcome);
  return created.schedule;
}

const executions = (id: string) => app.db.sql`
  select status, error, scheduled_at, turn_id from schedule_executions where schedule_id = ${id} order by scheduled_at`;
const inputs = (log: readonly Event[]) =>
  log.flatMap((event) =>
    event.type === "input.message" || event.type === "input.queued" ? [event.data.message] : [],
  );

/** Looks once, as a worker does. */
async function lookOnce(): Promise<void> {
  const clock = manualClock();
  const signal = new AbortController();
  const running = createScheduler({ db: app.db, clock, log: silentLog, hints: app.hints }).run(signal.signal);
  await clock.advance(limits.scheduleLookMs);
  signal.abort();
  await running;
}

const firing = (schedule: ScheduleRow, nextAt: Date | null = null) => ({
  schedule,
  dueAt: schedule.next_trigger_at as Date,
  isManual: false,
  nextAt,
  skip: null,
});

describe("what becomes of a due time", () => {
  const now = new Date("2027-06-01T12:00:30.500Z");
  const at = (time: string | null) => (time === null ? null : new Date(`2027-06-01T${time}Z`));
  const row = (fields: object) =>
    ({
      cron_expression: "*/10 * * * *",
      timezone: "UTC",
      catch_up_missed: false,
      max_catch_up: null,
      ...fields,
    }) as ScheduleRow;
  const cases: [name: string, fields: object, dueAt: string, expected: object | null][] = [
    ["one that is not due is left alone", {}, "12:10:00", null],
    [
      "one that is due is fired, and is due again at its next time",
      {},
      "12:00:00",
      { nextAt: at("12:10:00"), skip: null },
    ],
    [
      "one of every second is not jumped over",
      { cron_expression: "* * * * * * *" },
      "12:00:01",
      { nextAt: at("12:00:02"), skip: null },
    ],
    [
      "a missed one is passed over with all that were missed",
      {},
      "09:00:00",
      { nextAt: at("12:00:00"), skip: expect.stringContaining("missed") },
    ],
    [
      "with catching up the newest missed one is left",
      { catch_up_missed: true },
      "09:00:00",
      { nextAt: at("11:50:00"), skip: expect.stringContaining("missed") },
    ],
    ["and is fired", { catch_up_missed: true }, "11:50:00", { nextAt: at("12:00:00"), skip: null }],
    [
      "or so many of the newest",
      { catch_up_missed: true, max_catch_up: 3 },
      "09:00:00",
      { nextAt: at("11:30:00"), skip: expect.anything() },
    ],
    [
      "none of them with 0",
      { catch_up_missed: true, max_catch_up: 0 },
      "09:00:00",
      { nextAt: at("12:00:00"), skip: expect.anything() },
    ],
    [
      "one that is due once is never missed",
      { cron_expression: null },
      "09:00:00",
      { nextAt: null, skip: null },
    ],
    [
      "one without a next time is over",
      { cron_expression: "0 0 12 1 6 * 2027" },
      "12:00:00",
      { nextAt: null, skip: null },
    ],
  ];
  for (const [name, fields, dueAt, expected] of cases) {
    test(name, () => {
      const plan = planFire(row({ ...fields, next_trigger_at: at(dueAt) }), now);
      if (expected === null) expect(plan).toBeNull();
      else expect(plan).toEqual({ dueAt: at(dueAt) as Date, ...expected } as never);
    });
  }
});

describe("firing", () => {
  test("sends the message with its notice, writes the execution, and moves the schedule on", async () => {
    const session = await newSession(app.db);
    const schedule = await newSchedule(session);
    await lookOnce();
    const log = await readLog(app.db, session);
    expect(log.map((event) => event.type)).toEqual([
      "schedule.triggered",
      "input.message",
      "session.activated",
    ]);
    expect(log[0]?.data).toEqual({ schedule_id: schedule.id, description: "Look after it." });
    expect(inputs(log)).toMatchObject([
      {
        content: [{ type: "text", text: "Look after it." }],
        metadata: { source: "schedule", schedule_id: schedule.id },
      },
    ]);
    const [execution] = await executions(schedule.id);
    expect(execution).toMatchObject({ status: "running", scheduled_at: schedule.next_trigger_at });
    const after = await findSchedule(app.db, OWN, schedule.id);
    expect(after).toMatchObject({ trigger_count: 1, enabled: true });
    expect(Number(after?.next_trigger_at)).toBeGreaterThan(Date.now());
    await lookOnce();
    expect(await executions(schedule.id)).toHaveLength(1);
    await app.post(`/sessions/${session}/cancel`);
  });

  test("however many fire the same due time at once, one does", async () => {
    const session = await newSession(app.db);
    const schedule = await newSchedule(session);
    const fired = await Promise.all(Array.from({ length: 12 }, () => fireSchedule(app.db, firing(schedule))));
    expect(fired.filter((one) => one.outcome === "fired")).toHaveLength(1);
    expect(fired.filter((one) => one.outcome === "stale")).toHaveLength(11);
    expect(inputs(await readLog(app.db, session))).toHaveLength(1);
  });

  test("whatever connection is killed when: every due time of many is fired once", async () => {
    const sessions = await Promise.all([1, 2, 3].map(() => newSession(app.db)));
    const schedules = await Promise.all(
      sessions.map((session) =>
        newSchedule(session, {
          cron_expression: "* * * * * * *",
          next_trigger_at: new Date(Math.floor(Date.now() / 1_000) * 1_000 - 20_000),
        }),
      ),
    );
    const stop = new AbortController();
    const clock = { ...manualClock(), sleep: () => Bun.sleep(1) };
    const schedulers = [1, 2, 3].map(() =>
      createScheduler({ db: app.db, clock, log: silentLog, hints: app.hints }).run(stop.signal),
    );
    const isThrough = async () => {
      const rows = await Promise.all(schedules.map(({ id }) => executions(id)));
      return rows.every((list) => list.length >= 21);
    };
    let killed = 0;
    while (!(await isThrough().catch(() => false))) {
      const rows = await app.db.sql`
        select pg_terminate_backend(pid) as is_killed from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null
           and query like '%schedule%' and state <> 'idle' limit 1`.catch(() => []);
      killed += rows.length;
      await Bun.sleep(5);
    }
    stop.abort();
    await Promise.all(schedulers);
    expect(killed).toBeGreaterThan(0);
    for (const [index, { id }] of schedules.entries()) {
      const rows = await executions(id);
      const dueTimes = rows.map((row) => Number(row.scheduled_at));
      expect(dueTimes).toEqual(dueTimes.map((_, n) => (dueTimes[0] ?? 0) + n * 1_000));
      const log = await readLog(app.db, sessions[index] ?? "");
      const sent = inputs(log).map((message) => Date.parse(String(message.metadata?.scheduled_at)));
      expect(sent).toEqual(dueTimes);
      await app.db.sql`update schedules set enabled = false, next_trigger_at = null where id = ${id}`;
    }
  }, 30_000);

  test("a busy session gets the message behind its turn; past max_concurrent it gets none", async () => {
    const session = await newSession(app.db);
    await send(app.db, session, "Something else.");
    const schedule = await newSchedule(session, { max_concurrent: 1, cron_expression: "0 0 1 1 *" });
    await lookOnce();
    expect((await app.get(`/sessions/${session}/queue`)).body.data).toHaveLength(1);
    await app.db
      .sql`update schedules set next_trigger_at = now() - interval '1 second' where id = ${schedule.id}`;
    await lookOnce();
    expect(await executions(schedule.id)).toMatchObject([
      { status: "running" },
      { status: "skipped", error: expect.stringContaining("under way") },
    ]);
    const [queued] = (await app.get(`/sessions/${session}/queue`)).body.data;
    await app.call("DELETE", `/sessions/${session}/queue/${queued.id ?? queued.message.id}`);
    await settleExecutions(app.db, 100);
    expect((await executions(schedule.id))[0]).toMatchObject({
      status: "cancelled",
      error: expect.stringContaining("withdrawn"),
    });
  });

  test("a session that is gone: the execution fails; its own schedules are switched off, the organization's are not", async () => {
    const session = await newSession(app.db);
    const own = await newSchedule(session);
    const store = createScheduleStores(app.db)({ organizationId: ORGANIZATION, sessionId: session });
    const made = await store.create({
      description: "Again.",
      cronExpression: "0 0 1 1 *",
      scheduledAt: null,
      timezone: "UTC",
      idempotencyKey: session,
    });
    await app.db
      .sql`update schedules set next_trigger_at = now() - interval '1 second' where id = ${made.id}`;
    await app.db.sql`update sessions set deleted_at = now() where id = ${session}`;
    await lookOnce();
    for (const id of [own.id, made.id]) {
      expect(await executions(id)).toMatchObject([
        { status: "failed", error: expect.stringContaining("does not exist") },
      ]);
    }
    const rows = await app.db.sql`
      select id, enabled from schedules where id in (${own.id}, ${made.id}) order by session_id nulls first`;
    expect(rows.map((row) => row.enabled)).toEqual([true, false]);
  });

  test("an agent gets a new session each time, the same one when the fire is repeated", async () => {
    const agent = (
      await app.post("/agents", {
        name: "gardener",
        system_prompt: "Water the plants.",
        initial_files: [{ path: "/plan.md", content: "rose" }],
      })
    ).body;
    const target = {
      type: "workflow",
      name: "agent.run",
      input: { agent_id: agent.id, message: "Water.", title: "Watering" },
    };
    const schedule = await newSchedule("", { target });
    await fireSchedule(app.db, firing(schedule, new Date(Date.now() - 500)));
    const again = await findSchedule(app.db, OWN, schedule.id);
    await fireSchedule(app.db, firing(again as ScheduleRow));
    const sessions = (await app.get(`/sessions?agent_id=${agent.id}`)).body.data;
    expect(sessions).toHaveLength(2);
    expect(sessions[0]).toMatchObject({ title: "Watering", status: "active", agent_id: agent.id });
    expect((await app.get(`/sessions/${sessions[0].id}/fs/plan.md`)).body.content).toBe("rose");
    await app.call("DELETE", `/agents/${agent.id}`);
    await app.db
      .sql`update schedules set enabled = true, next_trigger_at = now() - interval '1 second' where id = ${schedule.id}`;
    await lookOnce();
    const failed = (await executions(schedule.id)).filter((row) => row.status === "failed");
    expect(failed).toMatchObject([{ error: expect.stringContaining("archived") }]);
  });
});

describe("with a worker", () => {
  let engine: TestEngine;
  beforeAll(async () => {
    engine = await startEngine({ address: app.db.address } as Parameters<typeof startEngine>[0]);
  });
  afterAll(() => engine.stop());

  test("a due time becomes a turn, and the execution ends with it", async () => {
    const session = await newSession(app.db);
    const schedule = await newSchedule(session);
    await logOnce(app.db, session, isIdle);
    await until(async () => (await executions(schedule.id))[0]?.status !== "running");
    expect((await executions(schedule.id))[0]).toMatchObject({ status: "completed", error: null });
  });

  test("the agent makes a schedule, sees it, is told when it is due, and cancels it", async () => {
    const session = await newSession(app.db, null, { capabilities: [{ ref: "session_schedule" }] });
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    const calls = [
      {
        name: "create_schedule",
        arguments: {
          description: "Water the plants.",
          cron_expression: "0 9 * * *",
          timezone: "Europe/Kyiv",
        },
      },
      { name: "create_schedule", arguments: { description: "Call Ann.", scheduled_at: soon } },
      { name: "create_schedule", arguments: { description: "Too often.", cron_expression: "*/4 * * * *" } },
      { name: "create_schedule", arguments: { description: "Never.", scheduled_at: "2020-01-01T00:00:00Z" } },
      {
        name: "create_schedule",
        arguments: { description: "Both.", cron_expression: "0 9 * * *", scheduled_at: soon },
      },
      { name: "create_schedule", arguments: { description: "When?", scheduled_at: "tomorrow" } },
      {
        name: "create_schedule",
        arguments: { description: "Where?", cron_expression: "0 9 * * *", timezone: "Mars/Base" },
      },
    ];
    await send(
      app.db,
      session,
      `Go.\n${script([{ tool_calls: calls }, { tool_calls: [{ name: "list_schedules", arguments: {} }] }, { text: "Done." }])}`,
    );
    engine.hint();
    const log = await logOnce(app.db, session, isIdle);
    const errors = completedCalls(log).flatMap((call) => (call.success ? [] : [call.error ?? ""]));
    expect(errors).toHaveLength(5);
    for (const why of ["300 seconds", "past", "either", "offset", "Mars/Base"]) {
      expect(errors.filter((error) => error.includes(why))).toHaveLength(1);
    }
    const { body: found } = await app.get(`/sessions/${session}/schedules`);
    const listed = found.toSorted((a: { schedule_type: string }, b: { schedule_type: string }) =>
      b.schedule_type.localeCompare(a.schedule_type),
    );
    expect(listed).toMatchObject([
      {
        description: "Water the plants.",
        schedule_type: "recurring",
        timezone: "Europe/Kyiv",
        trigger_count: 0,
      },
      { description: "Call Ann.", schedule_type: "oneshot", scheduled_at: soon, next_trigger_at: soon },
    ]);

    const [plants, ann] = listed;
    await app.db.sql`update schedules set next_trigger_at = now() - interval '1 second' where id = ${ann.id}`;
    const told = await logOnce(
      app.db,
      session,
      (events) => events.filter((event) => event.type === "session.idled").length === 2,
    );
    expect(told.filter((event) => event.type === "schedule.triggered").map((event) => event.data)).toEqual([
      { schedule_id: ann.id, description: "Call Ann." },
    ]);
    expect((await app.get(`/sessions/${session}/schedules/${ann.id}`)).body).toMatchObject({
      enabled: false,
      trigger_count: 1,
    });

    await send(
      app.db,
      session,
      `Stop.\n${script([{ tool_calls: [{ name: "cancel_schedule", arguments: { schedule_id: plants.id } }] }, { text: "Done." }])}`,
    );
    engine.hint();
    await logOnce(
      app.db,
      session,
      (events) => events.filter((event) => event.type === "session.idled").length === 3,
    );
    expect(
      (await app.get(`/sessions/${session}/schedules`)).body.map((one: { id: string }) => one.id),
    ).toEqual([ann.id]);
  });
});
