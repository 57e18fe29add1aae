import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { emptyAnswer, foldAnswer } from "../../src/client/answer.ts";
import { type ReasonScript, sessionIdOf, stamp, turnEvents, turnIdOf } from "./support/events.ts";

function write(reasons: readonly ReasonScript[]): { text: string; restarts: number } {
  let state = emptyAnswer;
  let text = "";
  let restarts = 0;
  for (const event of stamp(turnEvents({ turnId: turnIdOf(1), input: "x", reasons }), sessionIdOf(1))) {
    const step = foldAnswer(state, event);
    state = step.state;
    text += step.text;
    if (step.isRestart) restarts += 1;
  }
  return { text, restarts };
}

describe("the answer for a pipe", () => {
  const cases: [string, ReasonScript[], { text: string; restarts: number }][] = [
    ["is the text and a newline", [{ chunks: ["Hel", "lo"] }], { text: "Hello\n", restarts: 0 }],
    ["adds no second newline", [{ chunks: ["Hello\n"] }], { text: "Hello\n", restarts: 0 }],
    ["is nothing when nothing was said", [{ chunks: [] }], { text: "", restarts: 0 }],
    [
      "sets the next message off by a blank line",
      [{ chunks: ["Let me look."] }, { chunks: ["Ten."] }],
      { text: "Let me look.\n\nTen.\n", restarts: 0 },
    ],
    [
      "is written once when a second attempt repeats the first",
      [{ chunks: ["Hel", "lo"], dead: [["Hel"], ["H", "ello"]] }],
      { text: "Hello\n", restarts: 0 },
    ],
    [
      "begins anew, and says so, when a second attempt says something else",
      [{ chunks: ["Good day"], dead: [["Hello"]] }],
      { text: "Hello\nGood day\n", restarts: 1 },
    ],
  ];
  for (const [name, reasons, expected] of cases) {
    test(name, () => expect(write(reasons)).toEqual(expected));
  }

  test("ends with the whole of every message, whatever attempts came before", () => {
    const chunks = fc.array(fc.constantFrom("a", "b", "ab", "\n"), { maxLength: 4 });
    fc.assert(
      fc.property(chunks, fc.array(chunks, { maxLength: 3 }), (alive, dead) => {
        const { text } = write([{ chunks: alive, dead }]);
        const whole = alive.join("");
        expect(text.endsWith(whole === "" || whole.endsWith("\n") ? whole : `${whole}\n`)).toBe(true);
      }),
    );
  });
});
