/** Counts permits. `acquire` waits its turn (first come, first served) and answers with the release. */
export interface Semaphore {
  acquire(): Promise<() => void>;
}

export function createSemaphore(permits: number): Semaphore {
  let free = permits;
  const waiting: (() => void)[] = [];
  const release = () => {
    const next = waiting.shift();
    if (next) next();
    else free += 1;
  };
  const once = () => {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      release();
    };
  };
  return {
    async acquire() {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      return once();
    },
  };
}

/** So many permits for each key. Keys that nobody holds take no memory. */
export interface KeyedSemaphore {
  acquire(key: string): Promise<() => void>;
}

export function createKeyedSemaphore(permits: number): KeyedSemaphore {
  const held = new Map<string, { semaphore: Semaphore; users: number }>();
  return {
    async acquire(key) {
      const entry = held.get(key) ?? { semaphore: createSemaphore(permits), users: 0 };
      held.set(key, entry);
      entry.users += 1;
      const release = await entry.semaphore.acquire();
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        release();
        entry.users -= 1;
        if (entry.users === 0) held.delete(key);
      };
    },
  };
}
