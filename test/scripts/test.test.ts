import { expect, test } from "bun:test";
import { readReport } from "../../scripts/test.ts";

const cases: [string, string, ReturnType<typeof readReport>][] = [
  [
    "all passed",
    '<?xml version="1.0"?>\n<testsuites name="bun test" tests="5" assertions="9" failures="0" skipped="0" time="0.1">',
    { passed: 5, failed: 0, skipped: 0 },
  ],
  [
    "some failed, some skipped",
    '<testsuites tests="9" failures="2" skipped="3">',
    { passed: 4, failed: 2, skipped: 3 },
  ],
  [
    "errors count as failures",
    '<testsuites tests="3" failures="1" errors="1">',
    { passed: 1, failed: 2, skipped: 0 },
  ],
  ["not a report", "Segmentation fault", null],
];

for (const [title, xml, expected] of cases) {
  test(`a report where ${title}`, () => {
    expect(readReport(xml)).toEqual(expected);
  });
}
