import { describe, expect, test } from "bun:test";
import { type Breaker, CLOSED_BREAKER } from "../../src/db/providers/breakers.ts";
import {
  coolDownMs,
  FAILURES_TO_OPEN,
  type Happening,
  nextBreaker,
  PROBE_MS,
  verdictOnProvider,
  WINDOW_MS,
} from "../../src/engine/breaker.ts";
import type { DriverError } from "../../src/llm/driver.ts";

const START = new Date("2026-01-01T00:00:00.000Z");
const at = (ms: number) => new Date(START.getTime() + ms);
const FAILED: Happening = { kind: "failed", isProbe: false };
const PROBE_FAILED: Happening = { kind: "failed", isProbe: true };
const SUCCEEDED: Happening = { kind: "succeeded", isProbe: false };
const PROBE_SUCCEEDED: Happening = { kind: "succeeded", isProbe: true };

/** What happened when, in milliseconds; what stands after it. */
function play(happenings: readonly (readonly [ms: number, what: Happening])[]): Breaker {
  return happenings.reduce<Breaker>(
    (breaker, [ms, what]) => nextBreaker(breaker, what, at(ms)) ?? breaker,
    CLOSED_BREAKER,
  );
}

const outage = Array.from({ length: FAILURES_TO_OPEN }, (_, n) => [n, FAILED] as const);
const OPENED = FAILURES_TO_OPEN - 1;
const DUE = OPENED + coolDownMs(1);
const probe = (ms: number) => [ms, { kind: "probe" } as const] as const;

describe("a circuit breaker", () => {
  const cases: [name: string, story: (readonly [number, Happening])[], expected: Partial<Breaker>][] = [
    ["stays closed while failures are few", outage.slice(1), { state: "closed", failureCount: OPENED }],
    [
      "opens when there are enough of them in a row",
      outage,
      { state: "open", reason: "failures", trips: 1, openedAt: at(OPENED), halfOpenAt: at(DUE) },
    ],
    [
      "forgets them with a success",
      [...outage.slice(1), [50, SUCCEEDED]],
      { state: "closed", failureCount: 0 },
    ],
    [
      "does not count failures together that are far apart",
      [...outage.slice(1), [WINDOW_MS + 2, FAILED]],
      { state: "closed", failureCount: 1 },
    ],
    ["gives no probe before the cool-down is over", [...outage, probe(DUE - 1)], { state: "open" }],
    [
      "lets one probe through after it",
      [...outage, probe(DUE)],
      { state: "half_open", probeExpiresAt: at(DUE + PROBE_MS) },
    ],
    [
      "closes when the probe is answered",
      [...outage, probe(DUE), [DUE + 9, PROBE_SUCCEEDED]],
      { state: "closed", reason: null, failureCount: 0, trips: 0, successCount: 1, openedAt: null },
    ],
    [
      "opens for twice as long when the probe fails, and still counts from when it opened first",
      [...outage, probe(DUE), [DUE + 9, PROBE_FAILED]],
      { state: "open", trips: 2, openedAt: at(OPENED), halfOpenAt: at(DUE + 9 + coolDownMs(2)) },
    ],
    [
      "does not hear calls that were under way when it opened",
      [...outage, [10, FAILED], [11, SUCCEEDED], probe(DUE), [DUE + 1, FAILED], [DUE + 2, SUCCEEDED]],
      { state: "half_open", trips: 1, probeExpiresAt: at(DUE + PROBE_MS) },
    ],
    [
      "gives a new probe when the process of the first is gone",
      [...outage, probe(DUE), probe(DUE + PROBE_MS)],
      { state: "half_open", probeExpiresAt: at(DUE + 2 * PROBE_MS) },
    ],
    [
      "is due at once when the probe was given up",
      [...outage, probe(DUE), [DUE + 5, { kind: "abandoned" }]],
      { state: "open", trips: 1, halfOpenAt: at(DUE + 5), probeExpiresAt: null },
    ],
    [
      "opens for as long as the provider asked to wait",
      [[0, { kind: "asked_to_wait", waitMs: 45_000 }]],
      { state: "open", reason: "rate_limited", trips: 0, halfOpenAt: at(45_000) },
    ],
    [
      "believes no provider that asks for hours",
      [[0, { kind: "asked_to_wait", waitMs: 36_000_000 }]],
      { halfOpenAt: at(600_000) },
    ],
  ];
  for (const [name, story, expected] of cases) {
    test(name, () => expect(play(story)).toMatchObject(expected));
  }

  test("gives one permit: a second wish in the same moment changes nothing", () => {
    expect(nextBreaker(play([...outage, probe(DUE)]), { kind: "probe" }, at(DUE))).toBeNull();
  });

  test("held open by an operator is moved by nothing", () => {
    const held: Breaker = { ...play(outage), reason: "operator", halfOpenAt: null };
    const all: Happening[] = [
      FAILED,
      PROBE_FAILED,
      SUCCEEDED,
      PROBE_SUCCEEDED,
      { kind: "probe" },
      { kind: "asked_to_wait", waitMs: 1 },
      { kind: "abandoned" },
    ];
    for (const what of all) expect(nextBreaker(held, what, at(1_000_000))).toBeNull();
  });

  test("cools down for longer each time, up to a minute", () => {
    expect([1, 2, 3, 4, 5, 100].map(coolDownMs)).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  });
});

describe("what a failed request says about its provider", () => {
  const error = (fields: Partial<DriverError>): DriverError => ({
    code: "provider_unavailable",
    message: "",
    retryable: true,
    retryAfterMs: null,
    status: null,
    ...fields,
  });
  const LIMITED = { code: "provider_rate_limited", status: 429 } as const;
  const cases: [name: string, error: DriverError, expected: ReturnType<typeof verdictOnProvider>][] = [
    ["5xx", error({ status: 503 }), { kind: "failed" }],
    ["no connection, silence, a broken stream", error({}), { kind: "failed" }],
    ["408", error({ status: 408 }), { kind: "failed" }],
    ["409 is about the one request", error({ status: 409 }), null],
    ["401", error({ code: "provider_misconfigured", status: 401, retryable: false }), null],
    ["404", error({ code: "model_unavailable", status: 404, retryable: false }), null],
    ["400", error({ code: "processing_error", status: 400, retryable: false }), null],
    ["429 that the call itself waits for", error({ ...LIMITED, retryAfterMs: 30_000 }), null],
    [
      "429 with a longer wait",
      error({ ...LIMITED, retryAfterMs: 30_001 }),
      { kind: "asked_to_wait", waitMs: 30_001 },
    ],
    [
      "503 with a long wait",
      error({ status: 503, retryAfterMs: 90_000 }),
      { kind: "asked_to_wait", waitMs: 90_000 },
    ],
  ];
  for (const [name, failure, expected] of cases) {
    test(name, () => expect(verdictOnProvider(failure, 30_000)).toEqual(expected));
  }
});
