import { expect, test } from "bun:test";
import fc from "fast-check";
import { findJsonFault } from "../../src/base/json.ts";

const faults: [string, string, string, string][] = [
  ["a missing brace", '{"a": 1', "1:8", "expected `,` or `}`, found the end of the text"],
  ["a trailing comma", '{"a": 1,}', "1:9", "expected a name in double quotes, found `}`"],
  ["single quotes", "{'a': 1}", "1:2", "expected a name in double quotes, found `'`"],
  ["a bare word", '{"a": yes}', "1:7", "expected a value, found `y`"],
  ["a line break in a string", '{"a": "x\ny"}', "1:9", "a line break or control character inside a string"],
  ["an open string", '{"a": "x', "1:9", "the text ends inside a string"],
  ["a bad escape", '{"a": "C:\\dir"}', "1:10", "this backslash begins no escape"],
  ["two values", '{"a": 1}{"b": 2}', "1:9", "expected the end, found `{`"],
  ["a missing colon", '{"a" 1}', "1:6", "expected `:` after the name"],
  ["on a later line", '{\n  "a": 1\n  "b": 2\n}', "3:3", "expected `,` or `}`"],
  ["a number with a leading zero", "[01]", "1:2", "expected a value"],
  ["a comment", "[1, // two\n2]", "1:5", "expected a value, found `/`"],
  ["nothing", "", "1:1", "found the end of the text"],
];
for (const [name, text, place, message] of faults) {
  test(`the place of ${name}`, () => {
    const fault = findJsonFault(text);
    expect(`${fault?.line}:${fault?.column}`).toBe(place);
    expect(fault?.message).toContain(message);
    expect(fault?.excerpt).toContain("→");
  });
}

test("every JSON text is without fault, and nesting beyond reason is one", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
      expect(findJsonFault(JSON.stringify(value, null, indent))).toBeNull();
    }),
  );
  expect(findJsonFault("[".repeat(100_000))?.message).toContain("nested deeper");
});

test("a text has a fault exactly when JSON.parse refuses it", () => {
  const broken = fc
    .tuple(fc.jsonValue(), fc.nat(), fc.constantFrom("", '"', "{", "]", ",", "\\", "\n", "e", "-", "0", ":"))
    .map(([value, at, insert]) => {
      const text = JSON.stringify(value);
      const cut = at % (text.length + 1);
      return text.slice(0, cut) + insert + text.slice(cut + 1);
    });
  fc.assert(
    fc.property(broken, (text) => {
      let isJson = true;
      try {
        JSON.parse(text);
      } catch {
        isJson = false;
      }
      expect([text, findJsonFault(text) === null]).toEqual([text, isJson]);
    }),
    { numRuns: 3000 },
  );
});
