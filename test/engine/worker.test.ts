/** Workers on a real database, with a model that speaks when the test says so. */
import { describe, expect, test } from "bun:test";
import { z } from "zod";
import { defineTool } from "../../src/capabilities/tool.ts";
import { limits } from "../../src/contract/limits.ts";
import { RUN_ATTEMPTS_MAX } from "../../src/engine/retry.ts";
import { seedModel, startEngine } from "../support/engine.ts";
import { cutConnections, until } from "../support/live.ts";
import { type TestDatabase, testDatabase } from "../support/postgres.ts";
import { isIdle, logOnce, newSession, readLog, send, turnsEnded } from "../support/sessions.ts";
import { transcript } from "../support/transcript.ts";
import { workerScene } from "../support/worker-scene.ts";

describe("a worker", () => {
  const scene = workerScene();
  const { start, ask, runOf, loseLease, types, ended, expectWhole, answers, cancel, delta } = scene;

  describe("whose turn is cancelled", () => {
    test("aborts the call in flight, and nothing of it is written after `turn.cancelled`", async () => {
      const engine = await start();
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      call.say("half an ");
      await logOnce(scene.database.db, session, delta);
      const cancelled = await cancel(session);
      if (cancelled.outcome !== "cancelled") throw new Error("the turn was not running");
      engine.cancelled(cancelled.turnId);
      await until(() => call.signal.aborted);
      expect(call.signal.reason).toBe("cancelled");
      await until(() => engine.worker.load() === 0);
      const events = await readLog(scene.database.db, session);
      expectWhole(events);
      expect(types(events.slice(-4))).toEqual([
        "turn.cancelled",
        "input.message",
        "output.message.completed",
        "session.idled",
      ]);
      expect((await runOf(session)).state).toBe("cancelled");
    });

    test("learns it from the next heartbeat when the hint was lost", async () => {
      const engine = await start({ leaseMs: 300 });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      await cancel(session);
      await until(() => call.signal.aborted);
      expect(call.signal.reason).toBe("lost");
    });

    test("looks at once after its listening connection was down", async () => {
      const engine = await start({ leaseMs: 3_600_000 });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      await cancel(session);
      await cutConnections(scene.database.db, { applicationName: "everruns-listen" });
      await until(() => call.signal.aborted);
    });

    test("aborts a tool that waits", async () => {
      const begun = Promise.withResolvers<AbortSignal>();
      const tool = defineTool({
        name: "wait",
        displayName: "Wait",
        description: "Waits until it is told to stop.",
        effect: "pure",
        input: z.object({}),
        async run(_input, { signal }) {
          begun.resolve(signal);
          await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
          return "stopped";
        },
      });
      const engine = await start({ tools: [tool] });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      call.callTool("wait", {});
      call.finish();
      const signal = await begun.promise;
      const { id } = await runOf(session);
      await cancel(session);
      engine.cancelled(id);
      await until(() => signal.aborted && engine.worker.load() === 0);
      const events = await readLog(scene.database.db, session);
      expect(types(events)).not.toContain("tool.completed");
      expectWhole(events);
    });
  });

  describe("whose user speaks while the model does", () => {
    test("answers in a second iteration of the same turn, in the order of the conversation", async () => {
      const engine = await start();
      const session = await ask(engine, "one");
      const first = await scene.model.nextCall();
      expect(await send(scene.database.db, session, "two")).toMatchObject({ outcome: "steered" });
      first.say("answer to one");
      first.finish();
      const second = await scene.model.nextCall();
      expect(second.request.messages.map((message) => message.role)).toEqual(["user", "assistant", "user"]);
      expect(JSON.stringify(second.request.messages[2])).toContain("two");
      second.say("answer to two");
      second.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(answers(events)).toEqual(["answer to one", "answer to two"]);
      expect(events.find((event) => event.type === "turn.completed")?.data).toMatchObject({ iterations: 2 });
    });

    test("sees a message that came between the claim and the first call already there", async () => {
      const release = Promise.withResolvers<void>();
      const reached = Promise.withResolvers<void>();
      const engine = await start({
        failpoint(name) {
          if (name !== "reason:before-start") return;
          reached.resolve();
          return release.promise;
        },
      });
      const session = await ask(engine, "one");
      await reached.promise;
      await send(scene.database.db, session, "two");
      release.resolve();
      const call = await scene.model.nextCall();
      expect(call.request.messages).toHaveLength(2);
      call.finish();
      expectWhole(await logOnce(scene.database.db, session, ended));
      expect(scene.model.calls()).toBe(1);
    });
  });

  describe("that dies", () => {
    test("is buried as soon as its lock is gone, and its runs go on long before the lease ends", async () => {
      const session = await newSession(scene.database.db);
      await send(scene.database.db, session, "go");
      // What a worker that was killed with -9 leaves behind: rows, and no lock.
      await scene.database.db.sql`
        insert into workers (id, hostname, pid, version, concurrency, lock_key)
        values ('worker-dead', 'elsewhere', 1, 'test', 8, 4711)`;
      await scene.database.db.sql`
        update runs set state = 'running', attempt = 1, lease_epoch = 1, lease_owner = 'worker-dead',
                        lease_expires_at = now() + interval '1 day', started_at = now()
         where session_id = ${session}`;
      await start();
      const call = await scene.model.nextCall();
      call.say("taken over");
      call.finish();
      expectWhole(await logOnce(scene.database.db, session, ended));
      expect(await runOf(session)).toMatchObject({ state: "completed", attempt: 2 });
      const [dead] = await scene.database.db.sql`select status from workers where id = 'worker-dead'`;
      expect(dead?.status).toBe("stopped");
    });

    test("does not: one that only lost its connections keeps its runs, though others watch", async () => {
      const engine = await start({ concurrency: 1 });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      const watcher = await start();
      const locks = async () =>
        (
          await scene.database.db.sql`
            select from pg_locks where locktype = 'advisory' and granted
               and database = (select oid from pg_database where datname = current_database())`
        ).length;
      for (let round = 0; round < 3; round += 1) {
        await cutConnections(scene.database.db);
        await until(async () => (await locks().catch(() => 0)) === 2);
      }
      call.say("still here");
      call.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(await runOf(session)).toMatchObject({ attempt: 1 });
      expect(scene.model.calls()).toBe(1);
      expect(watcher.worker.load()).toBe(0);
    });

    test("heartbeats keep a lease beyond its length", async () => {
      const engine = await start({ leaseMs: 400 });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      const renewals = new Set<number>();
      // Ten different ends of the lease: more than three times its length.
      await until(async () => {
        const [row] = await scene.database.db.sql<
          { at: Date | null }[]
        >`select lease_expires_at as at from runs where session_id = ${session}`;
        renewals.add(row?.at?.getTime() ?? 0);
        return renewals.size > 10;
      });
      expect(call.signal.aborted).toBe(false);
      call.say("kept");
      call.finish();
      expectWhole(await logOnce(scene.database.db, session, ended));
      expect(await runOf(session)).toMatchObject({ attempt: 1, lease_epoch: 1 });
    });
  });

  describe("whose provider fails", () => {
    test("tries again later; the second attempt announces itself anew and its answer stands", async () => {
      const engine = await start();
      const session = await ask(engine);
      const first = await scene.model.nextCall();
      first.say("half a");
      await logOnce(scene.database.db, session, delta);
      first.fail({ retryable: true });
      const second = await scene.model.nextCall();
      expect(second.request.messages).toEqual(first.request.messages);
      expect(second.request.idempotencyKey).toBe(first.request.idempotencyKey);
      second.say("whole");
      second.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      const started = events.filter((event) => event.type === "output.message.started");
      expect(started.map((event) => (event.data as { iteration?: number }).iteration)).toEqual([1, 1]);
      expect(types(events).filter((type) => type === "turn.started")).toHaveLength(1);
      expect(answers(events)).toEqual(["whole"]);
      expect(await runOf(session)).toMatchObject({ state: "completed", attempt: 2 });
    });

    test("fails the turn once when the attempts run out, and says so to the user", async () => {
      const engine = await start();
      const session = await ask(engine);
      for (let attempt = 1; attempt <= RUN_ATTEMPTS_MAX; attempt += 1) {
        (await scene.model.nextCall()).fail({ code: "provider_rate_limited", retryable: true });
        engine.hint();
      }
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(types(events.slice(-3))).toEqual(["output.message.completed", "turn.failed", "session.idled"]);
      expect(events.at(-2)?.data).toMatchObject({ error_code: "provider_rate_limited" });
      expect(scene.model.calls()).toBe(RUN_ATTEMPTS_MAX);
      expect(await send(scene.database.db, session, "again")).toMatchObject({ outcome: "started" });
    });

    test("fails at once on what another try cannot help", async () => {
      const engine = await start();
      const session = await ask(engine);
      (await scene.model.nextCall()).fail({ code: "provider_misconfigured", retryable: false });
      expectWhole(await logOnce(scene.database.db, session, ended));
      expect(scene.model.calls()).toBe(1);
      expect((await runOf(session)).state).toBe("failed");
    });
  });

  describe("with a turn that does not end by itself", () => {
    test("ends it at max_iterations, as completed", async () => {
      const engine = await start();
      const session = await newSession(scene.database.db);
      await scene.database.db.sql`update sessions set max_iterations = 3 where id = ${session}`;
      await send(scene.database.db, session, "go");
      engine.hint();
      for (let n = 0; n < 3; n += 1) {
        const call = await scene.model.nextCall();
        call.callTool("no_such_tool", { n });
        call.finish();
      }
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(events.at(-2)).toMatchObject({
        type: "turn.completed",
        data: { iterations: 3, status: "max_iterations", tool_call_count: 3 },
      });
      expect(scene.model.calls()).toBe(3);
    });

    test("seals it at the third worker in a row that is lost with it", async () => {
      const session = await newSession(scene.database.db);
      await send(scene.database.db, session, "go");
      const release = Promise.withResolvers<void>();
      const lost: string[] = [];
      for (let n = 1; n <= limits.takeoversMax; n += 1) {
        const reached = Promise.withResolvers<void>();
        const engine = await start({
          // It reaches the call and never comes back. One slot: it cannot take over from itself.
          concurrency: 1,
          failpoint: (name) => {
            if (name !== "reason:before-call") return;
            reached.resolve();
            return release.promise;
          },
        });
        await reached.promise;
        lost.push(engine.worker.id);
        await loseLease(session);
      }
      await start();
      const events = await logOnce(scene.database.db, session, ended);
      release.resolve();
      expectWhole(events);
      expect(events.at(-2)).toMatchObject({
        type: "turn.sealed",
        data: {
          reason: "no_progress",
          detail:
            "its worker was lost 3 times in a row without a new checkpoint; attempt 4, " +
            `last worker ${lost.at(-1)}, no step is stored`,
        },
      });
      expect(scene.model.calls()).toBe(0);
      expect((await runOf(session)).state).toBe("sealed");
    });

    test("never seals one that stores a step between two losses", async () => {
      const session = await newSession(scene.database.db);
      await send(scene.database.db, session, "go");
      for (let n = 0; n < limits.takeoversMax + 2; n += 1) {
        await start({ concurrency: 1 });
        const call = await scene.model.nextCall();
        call.callTool("no_such_tool", { n });
        call.finish();
        // The step is stored once the next call is made; that one is lost with its worker.
        await scene.model.nextCall();
        await loseLease(session);
      }
      await start();
      const call = await scene.model.nextCall();
      call.say("done");
      call.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expect(answers(events).at(-1)).toBe("done");
      expect(turnsEnded(events)).toBe(1);
      expect(await runOf(session)).toMatchObject({ state: "completed", attempt: limits.takeoversMax + 3 });
    });
  });

  test("whose connections are all cut, again and again, loses and doubles nothing", async () => {
    const script = (steps: object[]) => `Go.\n\`\`\`llmsim\n${JSON.stringify({ rate: 400, steps })}\n\`\`\``;
    const write = (path: string) => ({ name: "write_file", arguments: { path, content: path } });
    const text = script([
      { text: "First a note.", tool_calls: [write("/a.md"), write("/b.md")] },
      { text: "And another one.", tool_calls: [write("/c.md")] },
      { text: "All of it is written now, word by word, as slowly as it goes." },
    ]);
    const sessions = await Promise.all(Array.from({ length: 4 }, () => newSession(scene.database.db)));
    const engine = await startEngine(scene.database);
    scene.engines.push(engine);
    for (const session of sessions) await send(scene.database.db, session, text);
    engine.hint();
    let cuts = 0;
    const isDone = async () => {
      const logs = await Promise.all(sessions.map((session) => readLog(scene.database.db, session)));
      return logs.every(ended);
    };
    while (!(await isDone())) {
      cuts += await cutConnections(scene.database.db);
      await Bun.sleep(200);
    }
    expect(cuts).toBeGreaterThan(0);
    const quiet = await startEngine(await otherDatabase());
    const reference = await newSession(other.db);
    await send(other.db, reference, text);
    quiet.hint();
    const expected = transcript(await logOnce(other.db, reference, isIdle), { durable: true });
    for (const session of sessions) {
      const events = await readLog(scene.database.db, session);
      expectWhole(events);
      expect(transcript(events, { durable: true })).toBe(expected);
    }
    await quiet.stop();
    await other.drop();
  });

  let other: TestDatabase;
  const otherDatabase = async () => {
    other = await testDatabase();
    await seedModel(other.db);
    return other;
  };
});
