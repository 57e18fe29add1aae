import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { RetryableError } from "../../src/base/errors.ts";
import { defineTool, type Effect } from "../../src/capabilities/tool.ts";
import { UNKNOWN_OUTCOME } from "../../src/engine/act.ts";
import type { Failpoint } from "../../src/engine/failpoint.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { createManualDriver } from "../support/manual-driver.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, send } from "../support/sessions.ts";

describe("a tool call whose worker dies", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
  });
  afterAll(() => database.drop());

  /** Runs a turn with one call of a tool of this effect; the worker stops dead at the failpoint. */
  async function interrupted(effect: Effect, failpoint: Failpoint) {
    const ran: string[] = [];
    const tool = defineTool({
      name: "charge_card",
      displayName: "Charge card",
      description: "Charges a card.",
      effect,
      input: z.object({}),
      async run(_input, context) {
        ran.push(context.idempotencyKey);
        return "charged";
      },
    });
    const session = await newSession(database.db);
    const script = JSON.stringify({
      rate: 0,
      steps: [{ tool_calls: [{ name: "charge_card" }] }, { text: "Done." }],
    });
    await send(database.db, session, `Charge it.\n\`\`\`llmsim\n${script}\n\`\`\``);
    const reached = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const sleeper = await startEngine(database, {
      // One slot, and the dead run sits in it: the sleeper cannot take over from itself.
      concurrency: 1,
      tools: [tool],
      failpoint(name) {
        if (name !== failpoint) return;
        reached.resolve();
        return release.promise;
      },
    });
    await reached.promise;
    await database.db.sql`update runs set lease_expires_at = now() where session_id = ${session}`;
    const rescuer = await startEngine(database, { tools: [tool] });
    const events = await logOnce(database.db, session, isIdle);
    const result = events.find((event) => event.type === "tool.completed");
    const [step] = await database.db.sql<{ status: string }[]>`
      select status from steps where kind = 'tool' and run_id in (select id from runs where session_id = ${session})`;
    release.resolve();
    await sleeper.stop();
    await rescuer.stop();
    return { ran, result, status: step?.status };
  }

  test("I11: an at_most_once call that may have run is not run again, and the model is told", async () => {
    const { ran, result, status } = await interrupted("at_most_once", "tool:before-commit");
    expect(ran).toHaveLength(1);
    expect(result?.data).toMatchObject({ success: false, error: UNKNOWN_OUTCOME });
    expect(status).toBe("unknown");
  });

  test("an idempotent call runs again with the same key", async () => {
    const { ran, result, status } = await interrupted("idempotent", "tool:before-commit");
    expect(ran).toHaveLength(2);
    expect(ran[0]).toBe(ran[1]);
    expect(result?.data).toMatchObject({ success: true });
    expect(status).toBe("settled");
  });

  test("I4: a call that was settled is not run again, whatever its effect", async () => {
    for (const effect of ["pure", "idempotent", "at_most_once"] as const) {
      const { ran, result, status } = await interrupted(effect, "tool:after-commit");
      expect(ran).toHaveLength(1);
      expect(result?.data).toMatchObject({ success: true });
      expect(status).toBe("settled");
    }
  });
});

test("a write that is refused because its step is stored already does not cost the lease: the run goes on", async () => {
  const database = await testDatabase();
  await seedModel(database.db);
  const session = await newSession(database.db);
  const script = JSON.stringify({ rate: 0, steps: [{ tool_calls: [{ name: "note" }] }, { text: "Done." }] });
  const ran: string[] = [];
  const tool = defineTool({
    name: "note",
    displayName: "Note",
    description: "Notes.",
    effect: "idempotent",
    input: z.object({}),
    async run(_input, { turnId, toolCallId }) {
      ran.push(toolCallId);
      // The answer to our own earlier write was lost: the step is stored, and we do not know it.
      await database.db.sql`
        insert into steps (run_id, name, kind, status, attempt, result, started_at, finished_at)
        values (${turnId}, ${`tool:${toolCallId}`}, 'tool', 'settled', 1, '{"ok": true}', now(), now())`;
      return "noted";
    },
  });
  await send(database.db, session, `Note it.\n\`\`\`llmsim\n${script}\n\`\`\``);
  const engine = await startEngine(database, { tools: [tool], leaseMs: 600_000 });
  const events = await logOnce(database.db, session, isIdle);
  expect(events.filter((event) => event.type === "turn.completed")).toHaveLength(1);
  expect(ran).toHaveLength(1);
  await engine.stop();
  await database.drop();
});

describe("two calls at once, of which one result cannot be stored", () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await testDatabase();
    await seedModel(database.db);
  });
  afterAll(() => database.drop());

  test("the act is completed once, after the result that came the second time (I8)", async () => {
    const firstWrite = Promise.withResolvers<void>();
    const ran: string[] = [];
    const tool = (name: string, run: () => Promise<string>) =>
      defineTool({
        name,
        displayName: name,
        description: name,
        effect: "idempotent",
        input: z.object({}),
        run,
      });
    const early = tool("early", async () => {
      ran.push("early");
      return "early";
    });
    const late = tool("late", async () => {
      ran.push("late");
      // The other result is on its way by now, and has not failed yet.
      await firstWrite.promise;
      return "late";
    });
    let hasFailed = false;
    const engine = await startEngine(database, {
      tools: [early, late],
      throughWriter: (writer) => ({
        ...writer,
        async write(lease, what) {
          if (hasFailed || !what.steps?.some((step) => step.toolName === "early")) {
            return writer.write(lease, what);
          }
          hasFailed = true;
          firstWrite.resolve();
          await new Promise((resolve) => setImmediate(resolve));
          throw new RetryableError("unavailable", "the test cuts this connection");
        },
      }),
    });
    const session = await newSession(database.db);
    const script = JSON.stringify({
      rate: 0,
      steps: [{ tool_calls: [{ name: "early" }, { name: "late" }] }, { text: "Done." }],
    });
    await send(database.db, session, `Both.\n\`\`\`llmsim\n${script}\n\`\`\``);
    engine.hint();
    const events = await logOnce(database.db, session, isIdle);
    await engine.stop();
    const act = events.flatMap((event) =>
      event.type === "tool.completed" ? [event.data.tool_name] : event.type === "act.completed" ? ["-"] : [],
    );
    expect(ran).toEqual(["early", "late", "early"]);
    expect(act).toEqual(["late", "early", "-"]);
  });
});

test("an answer that cannot be stored for a while is written again, not asked for again", async () => {
  const database = await testDatabase();
  await seedModel(database.db);
  let refusals = 6;
  const model = createManualDriver();
  const engine = await startEngine(database, {
    driver: model.driver,
    throughWriter: (writer) => ({
      ...writer,
      write(lease, what) {
        if (!what.steps?.some((step) => step.kind === "reason") || refusals === 0)
          return writer.write(lease, what);
        refusals -= 1;
        return Promise.reject(new RetryableError("unavailable", "the test cuts this connection"));
      },
    }),
  });
  const session = await newSession(database.db);
  await send(database.db, session, "Hello.");
  engine.hint();
  const call = await model.nextCall();
  call.say("Hello to you.");
  call.finish();
  const events = await logOnce(database.db, session, isIdle);
  await engine.stop();
  await database.drop();
  expect(refusals).toBe(0);
  expect(model.calls()).toBe(1);
  expect(events.filter((event) => event.type === "output.message.completed")).toHaveLength(1);
});
