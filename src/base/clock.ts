/** The only source of time in the house. Tests hand in a manual one; leases use the database's clock instead. */
export interface Clock {
  now(): Date;
  /** Milliseconds from a monotonic source; only differences mean anything. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds, or early (without throwing) when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  sleep(ms, signal) {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal?.addEventListener("abort", done, { once: true });
    });
  },
};

/** A clock that moves only when told to: `advance` resolves the sleeps that have become due, in order. */
export interface ManualClock extends Clock {
  advance(ms: number): Promise<void>;
}

export function manualClock(start: Date = new Date("2026-01-01T00:00:00.000Z")): ManualClock {
  let elapsed = 0;
  let sleepers: { due: number; wake: () => void }[] = [];
  return {
    now: () => new Date(start.getTime() + elapsed),
    monotonicMs: () => elapsed,
    sleep(ms, signal) {
      if (signal?.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const sleeper = { due: elapsed + ms, wake: resolve };
        sleepers.push(sleeper);
        signal?.addEventListener(
          "abort",
          () => {
            sleepers = sleepers.filter((other) => other !== sleeper);
            resolve();
          },
          { once: true },
        );
      });
    },
    async advance(ms) {
      elapsed += ms;
      const due = sleepers.filter((sleeper) => sleeper.due <= elapsed).sort((a, b) => a.due - b.due);
      sleepers = sleepers.filter((sleeper) => sleeper.due > elapsed);
      for (const sleeper of due) sleeper.wake();
      await Promise.resolve();
    },
  };
}
