import { describe, expect, test } from "bun:test";
import type { Chunk, DriverError } from "../../src/llm/driver.ts";
import { streamCall, type VendorCall, waitBefore } from "../../src/llm/retry.ts";
import { testDeps } from "./support/call.ts";

const ERROR: DriverError = {
  code: "provider_unavailable",
  message: "down",
  retryable: true,
  retryAfterMs: null,
  status: 503,
};
const FINISH: Chunk = { kind: "finish", reason: "stop", responseId: null };
const word = (text: string): Chunk => ({ kind: "text", text });

describe("how long to wait before asking again", () => {
  const POLICY = {
    random: () => 0.5,
    retriesMax: 3,
    backoff: { baseMs: 500, capMs: 1500 },
    retryAfterMaxMs: 30_000,
  };
  const CASES: [name: string, retries: number, error: Partial<DriverError>, ms: number | null][] = [
    ["the first time: half of the base, by this draw", 0, {}, 250],
    ["the second time: half of twice the base", 1, {}, 500],
    ["the third time: the cap", 2, {}, 750],
    ["no fourth time", 3, {}, null],
    ["not when it cannot help", 0, { retryable: false }, null],
    ["as long as the vendor says, and a little spread", 0, { retryAfterMs: 2000 }, 2250],
    ["not here when the vendor wants longer than a slot is worth", 0, { retryAfterMs: 30_001 }, null],
  ];
  for (const [name, retries, error, ms] of CASES) {
    test(name, () => expect(waitBefore(retries, { ...ERROR, ...error }, POLICY)).toBe(ms));
  }
});

interface FakeVendor extends VendorCall<Chunk> {
  opened: number;
}

/** A vendor whose attempts are lists of events; an Error in a list is thrown there. */
function vendor(attempts: (Chunk | Error)[][], extra: Partial<VendorCall<Chunk>> = {}): FakeVendor {
  const call: FakeVendor = {
    opened: 0,
    async open() {
      const events = attempts[Math.min(call.opened, attempts.length - 1)] ?? [];
      call.opened += 1;
      return eventsOf(events);
    },
    createReader: () => ({ read: (event) => [event], end: () => null }),
    classify: (thrown) => ({ ...ERROR, message: String(thrown) }),
    ...extra,
  };
  return call;
}

async function* eventsOf(events: readonly (Chunk | Error)[]): AsyncGenerator<Chunk> {
  for (const event of events) {
    if (event instanceof Error) throw event;
    yield event;
  }
}

async function run(call: VendorCall<Chunk>): Promise<Chunk[]> {
  const deps = testDeps();
  const chunks: Chunk[] = [];
  const iterator = streamCall(deps, call, new AbortController().signal);
  let next = iterator.next();
  for (;;) {
    const { done, value } = await next;
    if (done) return chunks;
    chunks.push(value);
    next = iterator.next();
    if (value.kind === "retry") await deps.clock.advance(value.waitMs);
  }
}

const kindsOf = (chunks: Chunk[]) => chunks.map(({ kind }) => kind).join(" ");
const down = new Error("down");
const usage: Chunk = { kind: "usage", usage: { input_tokens: 1, output_tokens: 0 } };

describe("one call", () => {
  const CASES: [name: string, attempts: (Chunk | Error)[][], kinds: string, opened: number][] = [
    ["ends well at once", [[word("a"), FINISH]], "text finish", 1],
    [
      "fails twice before a word, then answers",
      [[down], [down], [word("a"), FINISH]],
      "retry retry text finish",
      3,
    ],
    ["gives up after the last retry", [[down]], "retry retry retry error", 4],
    [
      "may count tokens before it fails: that is no answer yet",
      [
        [usage, down],
        [word("a"), FINISH],
      ],
      "usage retry text finish",
      2,
    ],
    ["fails after a word: no second request", [[word("a"), down]], "text error", 1],
    ["ends without its end: broken", [[], [word("a"), FINISH]], "retry text finish", 2],
    ["ends in the middle: broken after words", [[word("a")]], "text error", 1],
    ["says nothing after its finish", [[word("a"), FINISH, word("b")]], "text finish", 1],
    [
      "reports its failure as an event",
      [[{ kind: "error", error: ERROR }], [word("a"), FINISH]],
      "retry text finish",
      2,
    ],
  ];
  for (const [name, attempts, kinds, opened] of CASES) {
    test(name, async () => {
      const call = vendor(attempts);
      expect(kindsOf(await run(call))).toBe(kinds);
      expect(call.opened).toBe(opened);
    });
  }

  test("a failure that cannot be mended is not tried again", async () => {
    const call = vendor([[down]], { classify: () => ({ ...ERROR, retryable: false }) });
    expect(kindsOf(await run(call))).toBe("error");
    expect(call.opened).toBe(1);
  });

  test("an answer that cannot be read is our mistake, told and not repeated", async () => {
    const reader = {
      read(): Chunk[] {
        throw new TypeError("x is not a function");
      },
      end: () => null,
    };
    const chunks = await run(vendor([[word("a")]], { createReader: () => reader }));
    expect(chunks).toMatchObject([{ kind: "error", error: { code: "processing_error", retryable: false } }]);
  });

  test("a refused optional part is given up at once, without waiting and without counting as a retry", async () => {
    let conceded = 0;
    const concede = () => {
      conceded += 1;
      return conceded <= 2;
    };
    const call = vendor([[down], [down], [word("a"), FINISH]], { concede });
    expect(kindsOf(await run(call))).toBe("text finish");
    expect(call.opened).toBe(3);
  });

  test("a call that concedes for ever is stopped", async () => {
    const call = vendor([[down]], { concede: () => true });
    expect(kindsOf(await run(call))).toBe("error");
    expect(call.opened).toBe(4);
  });

  test("abort during the wait ends the wait", async () => {
    const abort = new AbortController();
    const iterator = streamCall(testDeps(), vendor([[down]]), abort.signal);
    expect((await iterator.next()).value).toMatchObject({ kind: "retry" });
    const next = iterator.next();
    abort.abort();
    expect((await next).value).toEqual({ kind: "aborted" });
    expect((await iterator.next()).done).toBe(true);
  });

  test("a reader who takes his time is not taken for a silent provider", async () => {
    const deps = testDeps({ stallMs: 1000 });
    const iterator = streamCall(deps, vendor([[word("a"), word("b"), FINISH]]), new AbortController().signal);
    expect((await iterator.next()).value).toEqual(word("a"));
    await deps.clock.advance(5000);
    await deps.clock.advance(5000);
    expect((await iterator.next()).value).toEqual(word("b"));
    expect((await iterator.next()).value).toEqual(FINISH);
  });

  test("abort is seen even when the vendor's stream never settles again", async () => {
    const abort = new AbortController();
    const stuck = vendor([], { open: () => new Promise(() => {}) });
    const next = streamCall(testDeps(), stuck, abort.signal).next();
    abort.abort();
    expect((await next).value).toEqual({ kind: "aborted" });
  });
});
