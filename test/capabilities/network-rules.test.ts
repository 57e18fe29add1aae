import { expect, test } from "bun:test";
import { refuseUrl } from "../../src/capabilities/_network-rules.ts";

const cases: [pattern: string, url: string, expected: boolean][] = [
  ["example.com", "https://example.com/a", true],
  ["example.com", "https://EXAMPLE.com./a", true],
  ["Example.COM", "https://example.com/", true],
  ["example.com", "https://www.example.com/", false],
  ["example.com", "https://notexample.com/", false],
  ["example.com", "https://example.com.evil.org/", false],
  ["example.com:8080", "http://example.com:8080/", true],
  ["example.com:8080", "http://example.com/", false],
  ["example.com:443", "https://example.com/", true],
  ["*.example.com", "https://a.b.example.com/", true],
  ["*.example.com", "https://example.com/", true],
  ["*.example.com", "https://badexample.com/", false],
  ["*", "https://anything.org/", true],
  ["https://example.com/api/", "https://example.com/api/x", true],
  ["https://example.com/api", "https://example.com/api", true],
  ["https://example.com/api", "https://example.com/api?x", true],
  ["https://example.com/api", "https://example.com/apix", false],
  ["https://example.com/api/", "http://example.com/api/x", false],
  ["https://example.com/api/", "https://example.com/api/../secret", false],
  ["https://example.com", "https://example.com:444/", false],
  ["127.0.0.1", "http://2130706433/", true],
  ["[::1]:80", "http://[::1]/", true],
  ["::1", "http://[::1]:8080/", true],
];
for (const [pattern, url, expected] of cases) {
  test(`${pattern} ${expected ? "covers" : "does not cover"} ${url}`, () => {
    expect(refuseUrl(new URL(url), { allowed: [pattern], blocked: [] }) === null).toBe(expected);
    expect(refuseUrl(new URL(url), { allowed: [], blocked: [pattern] }) === null).toBe(!expected);
  });
}

test("blocked wins over allowed, and nothing allowed allows all", () => {
  const url = new URL("https://a.example.com/");
  expect(refuseUrl(url, { allowed: [], blocked: [] })).toBeNull();
  expect(refuseUrl(url, { allowed: ["*.example.com"], blocked: ["a.example.com"] })).toContain("blocked");
  expect(refuseUrl(url, { allowed: ["other.org"], blocked: [] })).toContain("other.org");
});
