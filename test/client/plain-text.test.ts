import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { plainText } from "../../src/client/plain-text.ts";

describe("text from elsewhere on a terminal", () => {
  const cases: [string, string, string][] = [
    ["keeps words, breaks and every script", "héllo\n日本語 🙂", "héllo\n日本語 🙂"],
    ["loses colours", "\u001b[31mred\u001b[0m", "red"],
    ["cannot move the cursor or clear the screen", "a\u001b[2J\u001b[1;1Hb", "ab"],
    ["cannot set the title", "a\u001b]0;root shell\u0007b", "ab"],
    ["cannot write the clipboard", "a\u001b]52;c;cm0gLXJm\u001b\\b", "ab"],
    ["loses sequences that never end", "a\u001b]0;title and all", "a"],
    ["loses eight-bit controls", "a\u009b31mb", "ab"],
    ["loses bells, backspaces and lone escapes", "a\u0007\u0008b\u001b", "ab"],
    ["has one kind of line break", "a\r\nb\rc", "a\nb\nc"],
    ["has no tabs, whose width nobody knows", "a\tb", "a  b"],
    ["cannot turn the direction of writing around", "a\u202eb\u2066c", "abc"],
  ];
  for (const [name, given, expected] of cases) test(name, () => expect(plainText(given)).toBe(expected));

  test("never holds a control character but the line break, and is stable", () => {
    const units = ["\u001b", "\u009b", "\u0007", "\r", "\n", "\t", "[", "]", "0", ";", "m", "Z", "\\", " "];
    const odd = fc.string({ unit: fc.constantFrom(...units) });
    fc.assert(
      fc.property(odd, (text) => {
        const plain = plainText(text);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
        expect(plain).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
        expect(plainText(plain)).toBe(plain);
      }),
    );
  });
});
