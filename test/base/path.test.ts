import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { UserError } from "../../src/base/errors.ts";
import { ancestorsOf, baseName, normalizePath } from "../../src/base/path.ts";

const CHARS_MAX = 1024;
const normalize = (path: string) => normalizePath(path, CHARS_MAX);

const spellings: [string, string][] = [
  ["/notes/a.md", "/notes/a.md"],
  ["notes/a.md", "/notes/a.md"],
  ["./notes//./a.md/", "/notes/a.md"],
  ["", "/"],
  [".", "/"],
  ["///", "/"],
  ["/a/.hidden/..b/c..", "/a/.hidden/..b/c.."],
  ["/a/_/b", "/a/_/b"],
  ["/_a", "/_a"],
  ["/e\u0301", "/é"],
  ["/a\\b", "/a\\b"],
];
for (const [spelled, expected] of spellings) {
  test(`${JSON.stringify(spelled)} is ${expected}`, () => expect(normalize(spelled)).toBe(expected));
}

const refused = [
  "..",
  "/a/../b",
  "a/..",
  "/_",
  "_/b",
  "./_/b",
  "/a\0",
  "/a\tb",
  "/a\u007f",
  "/\udc00",
  "a".repeat(2000),
];
for (const path of refused) {
  test(`refused: ${JSON.stringify(path.slice(0, 20))}`, () =>
    expect(() => normalize(path)).toThrow(UserError));
}

describe("for any path", () => {
  const segment = fc.oneof(
    fc.constantFrom(".", "..", "", "_", "a", "é", "e\u0301", "\0", "..."),
    fc.string({ unit: "binary", maxLength: 6 }),
  );
  const anyPath = fc.array(segment, { maxLength: 8 }).map((segments) => segments.join("/"));

  test("what comes out is absolute, goes nowhere up, and comes out the same again", () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        let normalized: string;
        try {
          normalized = normalize(path);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
          expect((error as Error).message.isWellFormed()).toBe(true);
          return;
        }
        expect(normalized).toMatch(/^\/([^/]+(\/[^/]+)*)?$/u);
        expect(normalized.split("/")).not.toContain("..");
        expect(normalized.split("/").slice(1)).not.toContain(".");
        expect(normalized).not.toStartWith("/_/");
        expect(normalized).not.toInclude("\0");
        expect(normalize(normalized)).toBe(normalized);
        expect(normalize(`/.//${normalized}/`)).toBe(normalized);
      }),
      { numRuns: 2000 },
    );
  });
});

test("the directories above a path, and its name", () => {
  expect(ancestorsOf("/a/b/c")).toEqual(["/a", "/a/b"]);
  expect(ancestorsOf("/a")).toEqual([]);
  expect(ancestorsOf("/")).toEqual([]);
  expect(baseName("/a/b")).toBe("b");
  expect(baseName("/")).toBe("");
});
