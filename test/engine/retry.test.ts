import { describe, expect, test } from "bun:test";
import { LeaseLostError, RetryableError, TerminalError, UserError } from "../../src/base/errors.ts";
import { friendlyText, RUN_ATTEMPTS_MAX, type Verdict, verdictOn } from "../../src/engine/retry.ts";

describe("what becomes of a run whose step failed", () => {
  const half = () => 0.5;
  const cases: [string, unknown, number, Verdict][] = [
    ["a lost lease stops silently", new LeaseLostError("turn_0"), 1, { kind: "stop" }],
    [
      "what the caller must fix fails at once",
      new UserError("model_unavailable", "gone"),
      1,
      { kind: "fail", code: "model_unavailable", error: "gone" },
    ],
    [
      "what trying again cannot help fails at once",
      new TerminalError("provider_misconfigured", "401"),
      1,
      { kind: "fail", code: "provider_misconfigured", error: "401" },
    ],
    [
      "a code that is not a turn's becomes processing_error",
      new TerminalError("weird", "x"),
      1,
      { kind: "fail", code: "processing_error", error: "x" },
    ],
    [
      "a passing error is tried again with jitter",
      new RetryableError("provider_unavailable", "503"),
      1,
      { kind: "reschedule", delayMs: 500, countsAsAttempt: true },
    ],
    [
      "the wait grows",
      new RetryableError("provider_unavailable", "503"),
      3,
      { kind: "reschedule", delayMs: 2000, countsAsAttempt: true },
    ],
    [
      "the provider's own wait is honoured",
      new RetryableError("provider_rate_limited", "429", { retryAfterMs: 20_000 }),
      1,
      { kind: "reschedule", delayMs: 20_000, countsAsAttempt: true },
    ],
    [
      "a wait that nobody would sit through fails the turn",
      new RetryableError("provider_rate_limited", "429", { retryAfterMs: 3_600_000 }),
      1,
      { kind: "fail", code: "provider_rate_limited", error: "429" },
    ],
    [
      "attempts run out",
      new RetryableError("provider_unavailable", "503"),
      RUN_ATTEMPTS_MAX,
      { kind: "fail", code: "provider_unavailable", error: "503" },
    ],
    [
      "waiting for a provider is no attempt that failed",
      new RetryableError("provider_unavailable", "open", { retryAfterMs: 7_000, countsAsAttempt: false }),
      RUN_ATTEMPTS_MAX,
      { kind: "reschedule", delayMs: 7_000, countsAsAttempt: false },
    ],
    [
      "a bug is tried once more",
      new Error("oops"),
      1,
      { kind: "reschedule", delayMs: 500, countsAsAttempt: true },
    ],
  ];
  for (const [name, error, attempt, expected] of cases) {
    test(name, () => expect(verdictOn(error, attempt, half)).toEqual(expected));
  }

  test("a bug that stays is told without its text (I9)", () => {
    const verdict = verdictOn(new Error("password=hunter2"), 2, half);
    expect(verdict).toMatchObject({ kind: "fail", code: "processing_error" });
    expect(JSON.stringify(verdict)).not.toContain("hunter2");
  });

  test("generic disclosure says nothing of the cause", () => {
    expect(friendlyText("provider_misconfigured", "401 from https://internal", "generic")).not.toContain(
      "internal",
    );
  });
});
