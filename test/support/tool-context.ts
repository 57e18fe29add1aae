/** What a tool is given, for tests of tools without an engine. */
import { type Clock, manualClock } from "../../src/base/clock.ts";
import type { ToolContext } from "../../src/capabilities/tool.ts";
import type { FileStore } from "../../src/contract/file-store.ts";
import type { ScheduleStore } from "../../src/contract/schedule-store.ts";
import type { SessionDatabases } from "../../src/contract/session-database.ts";
import type { SessionStorage } from "../../src/contract/session-storage.ts";
import type { TaskStore } from "../../src/contract/task-store.ts";

export interface RecordedContext extends ToolContext {
  said: string[];
  written: { path: string; operation: string; sizeBytes: number; created: boolean }[];
}

let calls = 0;

export function toolContext(
  options: {
    files?: FileStore;
    storage?: SessionStorage;
    schedules?: ScheduleStore;
    tasks?: TaskStore;
    clock?: Clock;
    signal?: AbortSignal;
    network?: Partial<ToolContext["network"]>;
    idempotencyKey?: string;
  } = {},
): RecordedContext {
  calls += 1;
  const said: string[] = [];
  const written: RecordedContext["written"] = [];
  return {
    clock: options.clock ?? manualClock(),
    signal: options.signal ?? new AbortController().signal,
    sessionId: `session_${"0".repeat(32)}`,
    turnId: `turn_${"0".repeat(32)}`,
    toolCallId: `call_${calls}`,
    idempotencyKey: options.idempotencyKey ?? `turn_0:call_${calls}`,
    files: options.files ?? noFiles,
    storage: options.storage ?? noStorage,
    databases: noDatabases,
    skills: { list: refuse, read: refuse },
    schedules: options.schedules ?? noSchedules,
    tasks: options.tasks ?? { spawnAgent: refuse },
    network: { allowed: [], blocked: [], ...options.network },
    said,
    written,
    progress: (message) => said.push(message),
    fileWritten: ({ path, operation, sizeBytes, created }) =>
      written.push({ path, operation, sizeBytes, created }),
  };
}

const refuse = () => Promise.reject(new Error("this test has none of it"));
const noSchedules: ScheduleStore = { create: refuse, list: refuse, cancel: refuse };
const noFiles: FileStore = {
  read: refuse,
  readMany: refuse,
  write: refuse,
  list: refuse,
  stat: refuse,
  remove: refuse,
  recall: refuse,
};
const noStorage: SessionStorage = {
  value: refuse,
  values: refuse,
  putValue: refuse,
  deleteValue: refuse,
  secrets: refuse,
  openSecret: refuse,
  putSecrets: refuse,
  deleteSecret: refuse,
};
const noDatabases: SessionDatabases = { list: refuse, execute: refuse, query: refuse, schema: refuse };
