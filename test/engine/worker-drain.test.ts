/** A worker that is asked to stop: what it has in hand is finished or handed back, and nothing of it is lost. */
import { describe, expect, test } from "bun:test";
import { until } from "../support/live.ts";
import { logOnce, readLog } from "../support/sessions.ts";
import { workerScene } from "../support/worker-scene.ts";

describe("a worker", () => {
  const scene = workerScene();
  const { start, ask, runOf, types, ended, expectWhole, answers, cancel } = scene;

  describe("that drains", () => {
    test("hands a run back at its step boundary; another finishes it; no attempt is counted", async () => {
      const first = await start({ drainMs: 60_000 });
      const session = await ask(first);
      const call = await scene.model.nextCall();
      const stopping = first.stop();
      call.callTool("no_such_tool", {});
      call.finish();
      await stopping;
      expect(await runOf(session)).toMatchObject({ state: "queued", attempt: 0, lease_owner: null });
      const second = await start();
      second.hint();
      const next = await scene.model.nextCall();
      next.say("done");
      next.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(types(events).filter((type) => type === "tool.completed")).toHaveLength(1);
      expect(await runOf(session)).toMatchObject({ state: "completed", attempt: 1 });
      const [worker] = await scene.database.db
        .sql`select status, load from workers where id = ${first.worker.id}`;
      expect(worker).toMatchObject({ status: "stopped", load: 0 });
    });

    test("aborts what takes longer than the grace, and hands it back", async () => {
      const first = await start({ drainMs: 1 });
      const session = await ask(first);
      const call = await scene.model.nextCall();
      call.say("never to be ");
      await first.stop();
      expect(call.signal.reason).toBe("drained");
      expect(await runOf(session)).toMatchObject({ state: "queued", attempt: 0 });
      await start();
      const next = await scene.model.nextCall();
      next.say("finished");
      next.finish();
      const events = await logOnce(scene.database.db, session, ended);
      expectWhole(events);
      expect(answers(events)).toEqual(["finished"]);
    });

    test("hands back also what its last claim brought", async () => {
      for (let round = 0; round < 20; round += 1) {
        const engine = await start();
        const session = await ask(engine);
        // The hint has set the claim going; whether it or the drain comes first is left to chance.
        await engine.stop();
        expect(await runOf(session)).toMatchObject({ state: "queued", lease_owner: null });
        await cancel(session);
      }
    });

    test("still hears of a cancelled turn", async () => {
      const engine = await start({ drainMs: 3_600_000, leaseMs: 3_600_000 });
      const session = await ask(engine);
      const call = await scene.model.nextCall();
      const stopping = engine.stop();
      await until(async () => {
        const [row] = await scene.database.db.sql`select status from workers where id = ${engine.worker.id}`;
        return row?.status === "draining";
      });
      const { id } = await runOf(session);
      await cancel(session);
      engine.cancelled(id);
      await until(() => call.signal.aborted);
      await stopping;
      expectWhole(await readLog(scene.database.db, session));
    });
  });
});
