import { describe, expect, test } from "bun:test";
import { manualClock } from "../../src/base/clock.ts";
import type { ProviderLimits } from "../../src/contract/provider.ts";
import { createLimiter } from "../../src/engine/limiter.ts";

const quiet = new AbortController().signal;

function lane(limits: ProviderLimits | null) {
  const clock = manualClock();
  const limiter = createLimiter({ clock });
  const order: string[] = [];
  return {
    clock,
    order,
    enter: async (name: string, signal: AbortSignal = quiet, now: ProviderLimits | null = limits) => {
      const release = await limiter.enter("prov", now, signal);
      order.push(release === null ? `${name} left` : name);
      return release ?? (() => {});
    },
  };
}

const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

describe("a provider's limits", () => {
  test("calls at once: the next in line follows the one that ends", async () => {
    const { enter, order } = lane({ max_concurrent_requests: 2 });
    const [first, , third] = ["a", "b", "c", "d"].map((name) => enter(name));
    await settle();
    expect(order).toEqual(["a", "b"]);
    (await first)?.();
    (await first)?.();
    await settle();
    expect(order).toEqual(["a", "b", "c"]);
    (await third)?.();
    await settle();
    expect(order).toEqual(["a", "b", "c", "d"]);
  });

  test("calls a minute: the next goes when the oldest is a minute old", async () => {
    const { enter, order, clock } = lane({ requests_per_minute: 2 });
    (await enter("a"))();
    await clock.advance(10_000);
    (await enter("b"))();
    void enter("c");
    await settle();
    await clock.advance(49_999);
    await settle();
    expect(order).toEqual(["a", "b"]);
    await clock.advance(1);
    await settle();
    expect(order).toEqual(["a", "b", "c"]);
  });

  test("one that waits leaves when its turn is cancelled, and keeps nobody from his place", async () => {
    const { enter, order } = lane({ max_concurrent_requests: 1 });
    const cancel = new AbortController();
    const first = enter("a");
    void enter("b", cancel.signal);
    void enter("c");
    cancel.abort();
    await settle();
    expect(order).toEqual(["a", "b left"]);
    (await first)();
    await settle();
    expect(order).toEqual(["a", "b left", "c"]);
  });

  test("limits that are lifted let everyone through", async () => {
    const { enter, order } = lane({ max_concurrent_requests: 1 });
    void enter("a");
    void enter("b");
    await settle();
    await enter("c", quiet, null);
    expect(order).toEqual(["a", "b", "c"]);
  });

  test("there are none unless they are set", async () => {
    const { enter, order } = lane(null);
    await Promise.all(["a", "b", "c"].map((name) => enter(name)));
    expect(order).toEqual(["a", "b", "c"]);
  });
});
