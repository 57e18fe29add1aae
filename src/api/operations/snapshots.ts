/**
 * Snapshots of something that changes, shared by all who watch it: it is loaded again when a hint says that it may
 * have changed, and every few seconds in any case, but never more than once in a second however many hints come.
 */
import type { Clock } from "../../base/clock.ts";
import { describeError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { limits } from "../../contract/limits.ts";
import type { Hint, Hints } from "../../db/hints.ts";

export interface Watched {
  /** Watchers of one key share what is loaded. */
  key: string;
  /** The snapshot. */
  load(): Promise<unknown>;
  isTouchedBy(hint: Hint): boolean;
}

export interface Watch {
  /** The newest snapshot as JSON, once: null when there is none that was not taken yet. */
  take(): string | null;
  close(): void;
}

export interface Snapshots {
  /** @param onReady  called when there is something to take */
  watch(watched: Watched, onReady: () => void): Watch;
}

interface Watcher {
  onReady(): void;
  taken: string | null;
}

interface Topic {
  latest: string | null;
  watchers: Set<Watcher>;
  /** Ends the current wait. */
  touch: AbortController;
  isClosed: boolean;
}

export function createSnapshots(deps: { hints: Hints; clock: Clock; log: Log }): Snapshots {
  const topics = new Map<string, Topic>();

  const follow = async (topic: Topic, watched: Watched) => {
    const unsubscribe = deps.hints.subscribe((hint) => {
      if (hint.isEverything || watched.isTouchedBy(hint)) topic.touch.abort();
    });
    while (!topic.isClosed) {
      // Set before the load: what is touched meanwhile is loaded again.
      topic.touch = new AbortController();
      try {
        const text = JSON.stringify(await watched.load());
        if (text !== topic.latest) {
          topic.latest = text;
          for (const watcher of topic.watchers) watcher.onReady();
        }
      } catch (error) {
        deps.log.debug("a snapshot could not be taken", { key: watched.key, cause: describeError(error) });
      }
      await deps.clock.sleep(limits.snapshotIntervalMs);
      if (topic.isClosed || topic.touch.signal.aborted) continue;
      await deps.clock.sleep(limits.snapshotIntervalMaxMs - limits.snapshotIntervalMs, topic.touch.signal);
    }
    unsubscribe();
  };

  return {
    watch(watched, onReady) {
      let topic = topics.get(watched.key);
      const watcher: Watcher = { onReady, taken: null };
      if (!topic) {
        topic = { latest: null, watchers: new Set(), touch: new AbortController(), isClosed: false };
        topics.set(watched.key, topic);
        topic.watchers.add(watcher);
        void follow(topic, watched);
      } else topic.watchers.add(watcher);
      const joined = topic;
      return {
        take() {
          if (joined.latest === null || joined.latest === watcher.taken) return null;
          watcher.taken = joined.latest;
          return joined.latest;
        },
        close() {
          joined.watchers.delete(watcher);
          if (joined.watchers.size > 0 || joined.isClosed) return;
          joined.isClosed = true;
          joined.touch.abort();
          topics.delete(watched.key);
        },
      };
    },
  };
}
