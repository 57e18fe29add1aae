/** The real worker inside the bench's process, with connections of its own. */
import { z } from "zod";
import { systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createSealer } from "../../src/base/seal.ts";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import { defineTool } from "../../src/capabilities/tool.ts";
import { createFileStores } from "../../src/db/files/files.ts";
import { createHints, type Hints } from "../../src/db/hints.ts";
import { createSkillLibraries } from "../../src/db/integrations/skill-library.ts";
import { type DatabaseAddress, openDb } from "../../src/db/pool.ts";
import { createScheduleStores } from "../../src/db/schedules/session-schedules.ts";
import { createSessionDatabases } from "../../src/db/session-databases.ts";
import { createSessionStorage } from "../../src/db/session-storage.ts";
import { createTaskStores } from "../../src/db/tasks/spawn.ts";
import { createWriter, type LeaseRef, type RunWrite } from "../../src/db/writer.ts";
import { noFailpoint, type ReachFailpoint } from "../../src/engine/failpoint.ts";
import { createProviderGate } from "../../src/engine/provider-gate.ts";
import { createWorker } from "../../src/engine/worker.ts";
import type { Chunk, Driver, ModelRequest } from "../../src/llm/driver.ts";
import { createDriver, createDriverDeps } from "../../src/llm/registry.ts";
import { FILL } from "./rows.ts";

export interface BenchEngine {
  hints: Hints;
  /** Statements of the grouped writer so far. */
  statements(): number;
  stop(): Promise<void>;
}

/** Answers at once with the same kilobyte; asks for the tool when it is told to. */
const noop = defineTool({
  name: "noop",
  displayName: "Nothing",
  description: "Does nothing.",
  effect: "pure",
  input: z.object({}),
  run: async () => FILL,
});

/**
 * @param options.driver   null is the simulated model
 * @param options.onWrite  is shown what the worker writes for its runs
 */
export async function startEngine(
  address: DatabaseAddress,
  options: {
    concurrency: number;
    driver: Driver | null;
    failpoint?: ReachFailpoint;
    onWrite?(lease: LeaseRef, write: RunWrite): void;
  },
): Promise<BenchEngine> {
  const db = openDb(address);
  const hints = createHints({ db, log: silentLog });
  const writer = createWriter({ db, onWritten: (sessions, logs) => hints.publish({ sessions, logs }) });
  const capabilities = createCapabilities();
  const sim = createDriver({ providerType: "llmsim", apiKey: null, baseUrl: null }, createDriverDeps());
  await hints.start();
  const worker = createWorker(
    {
      db,
      writer: {
        ...writer,
        write(lease, write) {
          options.onWrite?.(lease, write);
          return writer.write(lease, write);
        },
      },
      hints,
      clock: systemClock,
      log: silentLog,
      providers: createProviderGate({ db, clock: systemClock, log: silentLog }),
      driverFor: () => options.driver ?? sim,
      resolveCapabilities(refs) {
        const resolved = capabilities.resolve(refs);
        const own = { tool: noop, capabilityId: "bench", capabilityName: "Bench" };
        return { ...resolved, tools: [...resolved.tools, own] };
      },
      filesOf: createFileStores(db),
      databasesOf: createSessionDatabases(db, () => Promise.reject(new Error("no turn of a bench has SQL"))),
      findMcpTools: async () => ({ tools: [], notes: [] }),
      skillsOf: createSkillLibraries(db),
      storageOf: createSessionStorage(db, createSealer(new Uint8Array(32))),
      schedulesOf: createScheduleStores(db),
      tasksOf: createTaskStores(db, hints),
      failpoint: options.failpoint ?? noFailpoint,
    },
    { concurrency: options.concurrency, leaseMs: 30_000, drainMs: 5_000, version: "bench" },
  );
  await worker.start();
  return {
    hints,
    statements: () => writer.statements(),
    async stop() {
      await worker.stop();
      await hints.stop();
      await db.close();
    },
  };
}

/** A model that costs nothing: the answer of each step is a list of chunks. */
export function madeUpDriver(
  answer: (request: ModelRequest, signal: AbortSignal) => Iterable<Chunk> | AsyncIterable<Chunk>,
): Driver {
  return {
    async *stream(request, signal) {
      yield* answer(request, signal);
      yield { kind: "usage", usage: { input_tokens: 100, output_tokens: 100 } };
      yield { kind: "finish", reason: "stop", responseId: null };
    },
    listModels: async () => null,
  };
}
