import { describe, expect, test } from "bun:test";
import { nextStep, type TurnState } from "../../src/engine/turn.ts";

const state = (overrides: Partial<TurnState>): TurnState => ({
  reasons: [],
  settledCalls: new Set(),
  heldCalls: new Set(),
  lastInputSequence: 1,
  ...overrides,
});
const reason = (iteration: number, callIds: string[] = [], seenInputSequence = 1) => ({
  iteration,
  callIds,
  seenInputSequence,
});

describe("the next step of a turn", () => {
  const cases: [string, TurnState, ReturnType<typeof nextStep>][] = [
    ["begins with a model call", state({}), { kind: "reason", iteration: 1 }],
    [
      "is over after an answer without calls",
      state({ reasons: [reason(1)] }),
      { kind: "finish", why: "answered" },
    ],
    [
      "acts on the calls of an answer",
      state({ reasons: [reason(1, ["a", "b"])] }),
      { kind: "act", iteration: 1, callIds: ["a", "b"] },
    ],
    [
      "acts only on calls without a result",
      state({ reasons: [reason(1, ["a", "b"])], settledCalls: new Set(["a"]) }),
      { kind: "act", iteration: 1, callIds: ["b"] },
    ],
    [
      "calls the model again when every call has its result",
      state({ reasons: [reason(1, ["a"])], settledCalls: new Set(["a"]) }),
      { kind: "reason", iteration: 2 },
    ],
    [
      "calls the model again when a message came that it has not seen",
      state({ reasons: [reason(1, [], 1)], lastInputSequence: 5 }),
      { kind: "reason", iteration: 2 },
    ],
    [
      "ends at the cap of iterations",
      state({ reasons: [reason(1, ["a"]), reason(2, ["b"])], settledCalls: new Set(["a", "b"]) }),
      { kind: "finish", why: "max_iterations" },
    ],
    [
      "settles open calls even at the cap",
      state({ reasons: [reason(1, ["a"]), reason(2, ["b"])], settledCalls: new Set(["a"]) }),
      { kind: "act", iteration: 2, callIds: ["b"] },
    ],
  ];
  for (const [name, before, expected] of cases) {
    test(name, () => expect(nextStep(before, { iterationsMax: 2 })).toEqual(expected));
  }
});
