/** Wires the engine's workers for `serve` and `worker`. */
import { systemClock } from "../src/base/clock.ts";
import type { Sealer } from "../src/base/seal.ts";
import { createMcpClients } from "../src/capabilities/mcp.ts";
import type { Capabilities } from "../src/capabilities/registry.ts";
import { createRepositoryFetch } from "../src/capabilities/repository.ts";
import { createWebhookPost } from "../src/capabilities/webhook-post.ts";
import { createFileStores } from "../src/db/files/files.ts";
import type { Hints } from "../src/db/hints.ts";
import { createSkillLibraries } from "../src/db/integrations/skill-library.ts";
import { createScheduleStores } from "../src/db/schedules/session-schedules.ts";
import { createSessionDatabases } from "../src/db/session-databases.ts";
import { createSessionStorage } from "../src/db/session-storage.ts";
import { createTaskStores } from "../src/db/tasks/spawn.ts";
import { createWriter } from "../src/db/writer.ts";
import { createDrivers } from "../src/engine/drivers.ts";
import { noFailpoint } from "../src/engine/failpoint.ts";
import { createMcpTools } from "../src/engine/mcp.ts";
import { createProviderGate } from "../src/engine/provider-gate.ts";
import { createWorker, type Worker } from "../src/engine/worker.ts";
import { createDriverDeps } from "../src/llm/registry.ts";
import type { Platform } from "./platform.ts";
import { openSqlRunner } from "./sql-child.ts";
import { versionText } from "./version.ts";

export interface WorkerGroup {
  /** Stops when every worker has drained. */
  stop(): Promise<void>;
}

/** Starts `count` workers that share one writer: what their runs commit at the same moment goes out together. */
export async function startWorkers(
  platform: Platform,
  parts: { sealer: Sealer; hints: Hints; capabilities: Capabilities; count: number },
): Promise<WorkerGroup> {
  const { db, log, config } = platform;
  const { hints, capabilities, sealer } = parts;
  const deps = {
    db,
    writer: createWriter({ db, onWritten: (sessions, logs) => hints.publish({ sessions, logs }) }),
    clock: systemClock,
    log,
    hints,
    providers: createProviderGate({ db, clock: systemClock, log }),
    driverFor: createDrivers(sealer, createDriverDeps()),
    resolveCapabilities: (refs: Parameters<Capabilities["resolve"]>[0]) => capabilities.resolve(refs),
    filesOf: createFileStores(db),
    databasesOf: createSessionDatabases(db, openSqlRunner()),
    findMcpTools: createMcpTools({
      db,
      sealer,
      clients: createMcpClients({ allowPrivateHosts: config.allowPrivateHosts, version: versionText() }),
      clock: systemClock,
      log,
    }),
    skillsOf: createSkillLibraries(db),
    storageOf: createSessionStorage(db, sealer),
    schedulesOf: createScheduleStores(db),
    tasksOf: createTaskStores(db, hints),
    failpoint: noFailpoint,
  };
  const fetchRepository = createRepositoryFetch({ allowPrivateHosts: config.allowPrivateHosts });
  const postWebhook = createWebhookPost({ allowPrivateHosts: config.allowPrivateHosts });
  const workers: Worker[] = [];
  for (let n = 0; n < parts.count; n += 1) {
    const worker = createWorker(deps, {
      concurrency: config.concurrency,
      leaseMs: config.leaseMs,
      drainMs: config.drainMs,
      version: versionText(),
      retention: {
        eventsDays: config.keepEventsDays,
        deletedDays: config.keepDeletedDays,
        messageIdsDays: config.keepMessageIdsDays,
      },
      fetchRepository,
      webhooks: { post: postWebhook, open: (sealed, place) => sealer.open(sealed, place) },
    });
    await worker.start();
    workers.push(worker);
  }
  return {
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()));
    },
  };
}
