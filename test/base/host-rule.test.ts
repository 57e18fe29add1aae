import { expect, test } from "bun:test";
import { matchesHostRule, parseHostRule } from "../../src/base/host-rule.ts";

const cases: [rule: string, host: string, port: number, address: string, expected: boolean][] = [
  ["localhost:11434", "localhost", 11434, "127.0.0.1", true],
  ["localhost:11434", "localhost", 80, "127.0.0.1", false],
  ["LocalHost", "localhost", 80, "::1", true],
  ["localhost", "localhost.evil.com", 80, "127.0.0.1", false],
  ["*.internal", "a.b.internal", 80, "10.0.0.1", true],
  ["*.internal", "internal", 80, "10.0.0.1", true],
  ["*.internal", "notinternal", 80, "10.0.0.1", false],
  ["10.1.2.3", "db.example.com", 80, "10.1.2.3", true],
  ["10.1.2.3", "10.1.2.4", 80, "10.1.2.4", false],
  ["10.0.0.0/8", "anything", 80, "10.255.0.1", true],
  ["10.0.0.0/8", "anything", 80, "11.0.0.1", false],
  ["10.0.0.0/8:8080", "anything", 8080, "10.0.0.1", true],
  ["10.0.0.0/8", "anything", 80, "::ffff:10.0.0.1", true],
  ["[fd00::1]:8080", "x", 8080, "fd00::1", true],
  ["[fd00::1]:8080", "x", 80, "fd00::1", false],
  ["fd00::/8", "x", 80, "fd12::1", true],
  ["fd00::/8", "x", 80, "10.0.0.1", false],
  ["::1", "localhost", 80, "::1", true],
];
for (const [text, host, port, address, expected] of cases) {
  test(`${text} ${expected ? "allows" : "does not allow"} ${host}:${port} at ${address}`, () => {
    const rule = parseHostRule(text);
    expect(rule).not.toBeNull();
    expect(matchesHostRule(rule!, { host, port, address })).toBe(expected);
  });
}

const none = [
  ...["", " ", ":80", "localhost:", "localhost:0", "localhost:99999", "localhost:http", "http://localhost"],
  ...[
    "a b",
    "10.0.0",
    "10.0.0.300",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "fd00::/129",
    "[fd00::1",
    "*",
    "*.",
    "-a",
  ],
];
for (const text of none) {
  test(`${JSON.stringify(text)} is no rule`, () => expect(parseHostRule(text)).toBeNull());
}
