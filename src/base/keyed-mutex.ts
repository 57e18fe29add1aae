/** One at a time for each key, first come, first served. Keys that nobody holds take no memory. */
export interface KeyedMutex {
  run<T>(key: string, body: () => Promise<T>): Promise<T>;
}

export function createKeyedMutex(): KeyedMutex {
  /** The end of the queue of each key; never rejects. */
  const tails = new Map<string, Promise<void>>();
  return {
    async run(key, body) {
      const before = tails.get(key);
      const { promise: mine, resolve: release } = Promise.withResolvers<void>();
      tails.set(key, mine);
      try {
        await before;
        return await body();
      } finally {
        if (tails.get(key) === mine) tails.delete(key);
        release();
      }
    },
  };
}
