/**
 * A worker in a process of its own that can be killed at a failpoint and stopped by signals. It reads one JSON
 * command a line and answers each with one line; between `work` and `rest` it is a worker like any other, so that
 * one process serves many tests until one of them kills it.
 *
 *   bun test/support/worker-process.ts '<address as JSON>'
 */
import { z } from "zod";
import { defineTool, type Effect } from "../../src/capabilities/tool.ts";
import type { DatabaseAddress } from "../../src/db/pool.ts";
import type { Failpoint } from "../../src/engine/failpoint.ts";
import { startEngine, type TestEngine } from "./engine.ts";

export type WorkerCommand =
  | {
      do: "work";
      leaseMs?: number;
      concurrency?: number;
      /** Where the process kills itself with SIGKILL, at the n-th time that it gets there. */
      dieAt?: { failpoint: Failpoint; nth: number };
      /** Offers a tool `hold` of this effect. It waits for `release`, unless `isReleased`, and for nothing else. */
      hold?: { effect: Effect; isReleased: boolean };
    }
  | { do: "release" }
  | { do: "report" }
  | { do: "rest" };

export interface WorkerReport {
  /** Runs in hand. */
  load: number;
  /** How often each failpoint was reached since `work`. */
  reached: Partial<Record<Failpoint, number>>;
  /** Idempotency keys of the calls of `hold` since `work`. */
  held: string[];
}

async function main(address: DatabaseAddress): Promise<void> {
  let engine = null as TestEngine | null;
  let report: WorkerReport = { load: 0, reached: {}, held: [] };
  let released = Promise.withResolvers<void>();

  const perform = async (command: WorkerCommand): Promise<void> => {
    if (command.do === "release") released.resolve();
    if (command.do === "rest") {
      await engine?.stop();
      engine = null;
    }
    if (command.do !== "work") return;
    const { dieAt, hold } = command;
    report = { load: 0, reached: {}, held: [] };
    released = Promise.withResolvers();
    if (hold?.isReleased) released.resolve();
    const tool = defineTool({
      name: "hold",
      displayName: "Hold",
      description: "Waits until it is let go.",
      effect: hold?.effect ?? "pure",
      input: z.object({}),
      async run(_input, context) {
        report.held.push(context.idempotencyKey);
        await released.promise;
        return "held and let go";
      },
    });
    engine = await startEngine(
      { address },
      {
        ...(command.leaseMs === undefined ? {} : { leaseMs: command.leaseMs }),
        concurrency: command.concurrency ?? 1,
        drainMs: 0,
        tools: hold ? [tool] : [],
        failpoint(name) {
          const count = (report.reached[name] ?? 0) + 1;
          report.reached[name] = count;
          if (name === dieAt?.failpoint && count === dieAt.nth) process.kill(process.pid, "SIGKILL");
        },
      },
    );
  };

  for await (const line of console) {
    await perform(JSON.parse(line) as WorkerCommand);
    report.load = engine?.worker.load() ?? 0;
    console.log(JSON.stringify(report));
  }
  await engine?.stop();
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "") as DatabaseAddress);
