/** Fetches the files of memories that have a repository as their source. Each worker looks; one memory at a time. */
import type { Clock } from "../base/clock.ts";
import { describeError, UserError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { FetchRepository } from "../capabilities/repository.ts";
import { limits } from "../contract/limits.ts";
import { claimSync, type DueMemory, failSync, storeSync } from "../db/files/memory-sync.ts";
import type { Db } from "../db/pool.ts";

const LOOK_MS = 5_000;

export function createMemorySyncer(deps: {
  db: Db;
  clock: Clock;
  log: Log;
  fetchRepository: FetchRepository;
}) {
  const sync = async (memory: DueMemory, signal: AbortSignal): Promise<void> => {
    const about = { memory_id: memory.id, source: memory.source.provider };
    try {
      const files = await deps.fetchRepository(memory.source, signal);
      if (files.length > limits.workspaceEntriesMax) {
        throw new UserError("not_fetched", `it has more than ${limits.workspaceEntriesMax} files`);
      }
      const isStored = await storeSync(deps.db, memory, files);
      if (isStored) deps.log.info("the files of a memory were fetched", { ...about, files: files.length });
    } catch (error) {
      // Whoever stops us leaves the memory as it is: the next worker takes it up again.
      if (signal.aborted) throw error;
      const reason = error instanceof UserError ? error.message : "something broke on our side; try again";
      await failSync(deps.db, memory, reason);
      deps.log.warn("the files of a memory could not be fetched", { ...about, cause: describeError(error) });
    }
  };

  return {
    /** Looks until the signal fires. Contract: never rejects. */
    async run(signal: AbortSignal): Promise<void> {
      let isMore = false;
      while (!signal.aborted) {
        if (!isMore) await deps.clock.sleep(LOOK_MS, signal);
        if (signal.aborted) return;
        try {
          const memory = await claimSync(deps.db);
          isMore = memory !== null;
          if (memory) await sync(memory, signal);
        } catch (error) {
          isMore = false;
          deps.log.debug("memories could not be looked at", { cause: describeError(error) });
        }
      }
    },
  };
}
