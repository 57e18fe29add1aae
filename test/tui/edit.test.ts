import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  backspace,
  deleteForward,
  deleteToLineEnd,
  deleteToLineStart,
  deleteWord,
  down,
  type Edit,
  editOf,
  insert,
  left,
  lineEnd,
  lineStart,
  right,
  up,
  wordLeft,
  wordRight,
} from "../../src/tui/edit.ts";

/** `ab|c`: the bar is the cursor. */
const parse = (text: string): Edit => ({ text: text.replace("|", ""), cursor: text.indexOf("|") });
const print = ({ text, cursor }: Edit) => `${text.slice(0, cursor)}|${text.slice(cursor)}`;

describe("a key in the composer", () => {
  const cases: [string, (edit: Edit) => Edit | null, string, string | null][] = [
    ["types where the cursor is", (edit) => insert(edit, "x"), "a|b", "ax|b"],
    ["left steps over a whole emoji", left, "a👍🏽|b", "a|👍🏽b"],
    ["left stays at the beginning", left, "|a", "|a"],
    ["right steps over a letter with its accent", right, "|e\u0301x", "e\u0301|x"],
    ["backspace takes a whole emoji", backspace, "a👨‍👩‍👧|", "a|"],
    ["delete takes the next character", deleteForward, "a|bc", "a|c"],
    ["home goes to the beginning of the line", lineStart, "one\ntw|o", "one\n|two"],
    ["home stays on a line's beginning", lineStart, "one\n|two", "one\n|two"],
    ["end goes to the end of the line", lineEnd, "o|ne\ntwo", "one|\ntwo"],
    ["word left goes to the beginning of the word", wordLeft, "one two|", "one |two"],
    ["word left passes over spaces", wordLeft, "one  |two", "|one  two"],
    ["word right goes to the end of the word", wordRight, "one| two three", "one two| three"],
    ["Ctrl+W takes a word", deleteWord, "one two|", "one |"],
    ["Ctrl+U takes the line up to the cursor", deleteToLineStart, "one\ntwo thr|ee", "one\n|ee"],
    ["Ctrl+K takes the rest of the line", deleteToLineEnd, "o|ne\ntwo", "o|\ntwo"],
    ["up keeps the column", up, "one\ntw|o", "on|e\ntwo"],
    ["up is cut to a shorter line", up, "a\nlong|er", "a|\nlonger"],
    ["up on the first line is for the history", up, "on|e\ntwo", null],
    ["down keeps the column", down, "on|e\ntwo", "one\ntw|o"],
    ["down on the last line is for the history", down, "one\ntw|o", null],
  ];
  for (const [name, key, before, after] of cases) {
    test(name, () => {
      const edit = key(parse(before));
      expect(edit && print(edit)).toBe(after);
    });
  }
});

describe("whatever is pressed", () => {
  const keys: ((edit: Edit) => Edit)[] = [
    left,
    right,
    backspace,
    deleteForward,
    lineStart,
    lineEnd,
    wordLeft,
    wordRight,
    deleteWord,
    deleteToLineStart,
    deleteToLineEnd,
    (edit) => up(edit) ?? edit,
    (edit) => down(edit) ?? edit,
    (edit) => insert(edit, "ab c"),
    (edit) => insert(edit, "\n"),
    (edit) => insert(edit, "👍🏽"),
  ];
  const pressed = fc.array(fc.constantFrom(...keys), { maxLength: 40 });

  test("the cursor stays in the text and splits no character", () => {
    fc.assert(
      fc.property(pressed, (presses) => {
        const edit = presses.reduce((now, press) => press(now), editOf(""));
        expect(edit.cursor).toBeGreaterThanOrEqual(0);
        expect(edit.cursor).toBeLessThanOrEqual(edit.text.length);
        expect(print(edit).replace("|", "").isWellFormed()).toBe(true);
        expect(edit.text.slice(0, edit.cursor).isWellFormed()).toBe(true);
      }),
    );
  });

  test("backspace takes back what was typed", () => {
    fc.assert(
      fc.property(pressed, fc.constantFrom("x", "é", "日"), (presses, typed) => {
        const edit = presses.reduce((now, press) => press(now), editOf(""));
        expect(backspace(insert(edit, typed))).toEqual(edit);
      }),
    );
  });
});
