/** A worker on a real database with the simulated model, and sessions for it to work on. */
import { systemClock } from "../../src/base/clock.ts";
import { newId } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { createSealer } from "../../src/base/seal.ts";
import { createMcpClients } from "../../src/capabilities/mcp.ts";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import type { Tool } from "../../src/capabilities/tool.ts";
import { createFileStores } from "../../src/db/files/files.ts";
import { createHints } from "../../src/db/hints.ts";
import { createSkillLibraries } from "../../src/db/integrations/skill-library.ts";
import { type Db, openDb } from "../../src/db/pool.ts";
import { createScheduleStores } from "../../src/db/schedules/session-schedules.ts";
import { createSessionDatabases } from "../../src/db/session-databases.ts";
import { createSessionStorage } from "../../src/db/session-storage.ts";
import { createTaskStores } from "../../src/db/tasks/spawn.ts";
import { createWriter, type Writer } from "../../src/db/writer.ts";
import { noFailpoint, type ReachFailpoint } from "../../src/engine/failpoint.ts";
import { createMcpTools } from "../../src/engine/mcp.ts";
import { createProviderGate } from "../../src/engine/provider-gate.ts";
import type { EngineDeps } from "../../src/engine/scope.ts";
import type { WebhookSending } from "../../src/engine/webhook-sender.ts";
import { createWorker, type Worker } from "../../src/engine/worker.ts";
import type { Driver } from "../../src/llm/driver.ts";
import { createDriver, createDriverDeps } from "../../src/llm/registry.ts";
import type { TestDatabase } from "./postgres.ts";
import { ORGANIZATION } from "./sessions.ts";
import { testSqlRunner } from "./sql-runner.ts";

export interface TestEngine {
  worker: Worker;
  statements(): number;
  /** Tells the worker that runs are queued, as the API does. */
  hint(): void;
  /** Tells the worker that a run was cancelled, as the API does. */
  cancelled(runId: string): void;
  stop(): Promise<void>;
}

/** Starts one worker with connections of its own, as another process would have. */
export async function startEngine(
  database: Pick<TestDatabase, "address">,
  options: {
    failpoint?: ReachFailpoint;
    concurrency?: number;
    leaseMs?: number;
    drainMs?: number;
    heartbeatMs?: number;
    webhooks?: WebhookSending;
    driver?: Driver;
    tools?: readonly Tool[];
    /** Where MCP servers of a test may be. */
    allowPrivateHosts?: readonly string[];
    /** Stands between the engine and its writer, to let writes fail. */
    throughWriter?: (writer: Writer) => Writer;
  } = {},
): Promise<TestEngine> {
  const db = openDb(database.address);
  const hints = createHints({ db, log: silentLog });
  const stored = createWriter({ db, onWritten: (sessions, logs) => hints.publish({ sessions, logs }) });
  const writer = options.throughWriter?.(stored) ?? stored;
  const capabilities = createCapabilities();
  const sim = createDriver({ providerType: "llmsim", apiKey: null, baseUrl: null }, createDriverDeps());
  const deps: EngineDeps = {
    db,
    writer,
    hints,
    clock: systemClock,
    log: silentLog,
    providers: createProviderGate({ db, clock: systemClock, log: silentLog, random: () => 0 }),
    driverFor: () => options.driver ?? sim,
    resolveCapabilities(refs) {
      const resolved = capabilities.resolve(refs);
      const extra = (options.tools ?? []).map((tool) => ({
        tool,
        capabilityId: "test",
        capabilityName: "Test",
      }));
      return { ...resolved, tools: [...resolved.tools, ...extra] };
    },
    filesOf: createFileStores(db),
    findMcpTools: createMcpTools({
      db,
      sealer: createSealer(new Uint8Array(32).fill(7)),
      clients: createMcpClients({ allowPrivateHosts: options.allowPrivateHosts ?? [], version: "test" }),
      clock: systemClock,
      log: silentLog,
    }),
    skillsOf: createSkillLibraries(db),
    databasesOf: createSessionDatabases(db, testSqlRunner()),
    // The key of the test app, so that a worker opens what the API has sealed.
    storageOf: createSessionStorage(db, createSealer(new Uint8Array(32).fill(7))),
    schedulesOf: createScheduleStores(db),
    tasksOf: createTaskStores(db, hints),
    failpoint: options.failpoint ?? noFailpoint,
    random: () => 0,
  };
  await hints.start();
  const worker = createWorker(deps, {
    concurrency: options.concurrency ?? 8,
    leaseMs: options.leaseMs ?? 30_000,
    drainMs: options.drainMs ?? 5_000,
    version: "test",
    ...(options.webhooks ? { webhooks: options.webhooks } : {}),
    ...(options.heartbeatMs === undefined ? {} : { heartbeatMs: options.heartbeatMs }),
  });
  await worker.start();
  let stopped: Promise<void> | null = null;
  return {
    worker,
    statements: () => stored.statements(),
    hint: () => hints.publish({ isQueued: true }),
    cancelled: (runId) => hints.publish({ cancelled: [runId] }),
    stop() {
      stopped ??= (async () => {
        await worker.stop();
        await hints.stop();
        await db.close();
      })();
      return stopped;
    },
  };
}

/** The simulated model as the organization's default; a session can do nothing without a model. */
export async function seedModel({ sql }: Db): Promise<void> {
  const [provider, model] = [newId("prov"), newId("model")];
  await sql`insert into providers (id, organization_id, name, provider_type)
            values (${provider}, ${ORGANIZATION}, 'Simulated', 'llmsim')`;
  await sql`insert into models (id, organization_id, provider_id, model_id, display_name)
            values (${model}, ${ORGANIZATION}, ${provider}, 'llmsim', 'llmsim')`;
  await sql`update organizations set default_model_id = ${model} where id = ${ORGANIZATION}`;
}
