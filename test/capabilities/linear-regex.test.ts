import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { UserError } from "../../src/base/errors.ts";
import { compileLinearRegex } from "../../src/capabilities/_linear-regex.ts";

const WORK = 50_000_000;
const matches = (pattern: string, line: string, ignoreCase = false) =>
  compileLinearRegex(pattern, { ignoreCase }).test(line, { left: WORK });

const cases: [pattern: string, line: string, expected: boolean][] = [
  ["abc", "xxabcxx", true],
  ["abc", "ab c", false],
  ["", "anything", true],
  ["a.c", "a☃c", true],
  ["a.c", "a𝄞c", true],
  ["^a.*z$", "a to z", true],
  ["^a.*z$", "a to z.", false],
  ["\\bcat\\b", "a cat sat", true],
  ["\\bcat\\b", "concat", false],
  ["\\Bcat", "concat", true],
  ["colou?r", "color", true],
  ["(ab|cd)+e", "xababcde", true],
  ["a{2,3}b", "ab aab", true],
  ["^a{2,3}$", "aaaa", false],
  ["^(?:ab){2}$", "abab", true],
  ["x{,3}", "x{,3}", true],
  ["a{", "a{", true],
  ["[a-c]+[^a-c]", "abcd", true],
  ["[^a-c]", "abc", false],
  ["[]a]", "]", false],
  ["[a\\]b]", "]", true],
  ["[a-]", "-", true],
  ["[\\d.]+", "3.14", true],
  ["^[^\\W_]+$", "abc1", true],
  ["^[^\\W_]+$", "a_b", false],
  ["\\d{4}-\\d\\d", "in 2026-11", true],
  ["\\s\\S\\w\\W", " a_!", true],
  ["\\.\\*\\\\\\/", ".*\\/", true],
  ["\\x41\\u0042\\u{43}", "ABC", true],
  ["\\t", "a\tb", true],
  ["(?<year>\\d+)", "1999", true],
  ["(a|b|)c", "c", true],
  ["(a*)*b", "aaab", true],
  ["a+?b??", "a", true],
  ["(?i)HELLO", "hello", true],
];
for (const [pattern, line, expected] of cases) {
  test(`${JSON.stringify(pattern)} ${expected ? "is" : "is not"} in ${JSON.stringify(line)}`, () =>
    expect(matches(pattern, line)).toBe(expected));
}

test("letter case, when it does not matter", () => {
  expect(matches("straße [A-C]É", "STRASSE", true)).toBe(false);
  expect(matches("Hello [a-c]é", "hELLO BÉ", true)).toBe(true);
  expect(matches("[^a]", "A", true)).toBe(false);
});

const refused: [string, string][] = [
  ["(", "not closed"],
  ["a)", "closes nothing"],
  ["[a", "not closed"],
  ["*a", "repeats nothing"],
  ["a**", "follows a quantifier"],
  ["a{3,1}", "wrong order"],
  ["a{5000}", "repetitions"],
  ["(a)\\1", "backreferences"],
  ["(?=a)", "lookahead"],
  ["(?<!a)b", "lookahead"],
  ["\\p", "not a known escape"],
  ["[z-a]", "no sense"],
  ["\\", "ends too early"],
  ["((a{999}){999}){999}", "too large"],
  ["(".repeat(200) + ")".repeat(200), "nested too deeply"],
];
for (const [pattern, complaint] of refused) {
  test(`${JSON.stringify(pattern.slice(0, 30))} is refused: ${complaint}`, () => {
    const compile = () => compileLinearRegex(pattern, { ignoreCase: false });
    expect(compile).toThrow(UserError);
    expect(compile).toThrow(complaint);
  });
}

describe("for any pattern of the common part", () => {
  const atom = fc.constantFrom(
    "a",
    "b",
    "c",
    ".",
    "[ab]",
    "[^a]",
    "\\w",
    "\\b",
    "^",
    "$",
    "\\d",
    "(?:)",
    "-",
  );
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      atom,
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => a + b),
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
      fc
        .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "{2}", "{1,2}", "{0,}"))
        .map(([a, q]) => `(?:${a})${q}`),
    ),
  }));

  test("the answer is JavaScript's own", () => {
    fc.assert(
      fc.property(
        pattern,
        fc.string({ unit: fc.constantFrom("a", "b", "c", "1", "-", " "), maxLength: 8 }),
        (source, line) => {
          expect([source, line, matches(source, line)]).toEqual([
            source,
            line,
            new RegExp(source).test(line),
          ]);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

test("what makes other engines hang takes work in proportion to the line", () => {
  for (const pattern of [
    "(a+)+$",
    "^(a|a)*$",
    "^(a|aa)+$",
    "(.*a){12}$",
    "^(((a*)*)*)*$",
    "((){999}){999}x",
  ]) {
    const meter = { left: WORK };
    expect(compileLinearRegex(pattern, { ignoreCase: false }).test(`${"a".repeat(5_000)}!`, meter)).toBe(
      false,
    );
    expect(meter.left).toBeGreaterThan(0);
  }
});

test("work beyond the meter ends the search", () => {
  const meter = { left: 1000 };
  expect(compileLinearRegex("b", { ignoreCase: false }).test("a".repeat(100_000), meter)).toBe(false);
  expect(meter.left).toBeLessThan(0);
});
