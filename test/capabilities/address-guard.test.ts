import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseHostRule } from "../../src/base/host-rule.ts";
import { privateKind, refuseAddress } from "../../src/capabilities/_address-guard.ts";

const inside: [string, string][] = [
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["0.0.0.0", "local"],
  ["0.1.2.3", "local"],
  ["10.0.0.1", "private"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.168.1.1", "private"],
  ["169.254.169.254", "link-local"],
  ["100.64.0.1", "private"],
  ["100.100.100.200", "private"],
  ["168.63.129.16", "platform"],
  ["192.0.0.192", "reserved"],
  ["192.0.2.1", "reserved"],
  ["198.18.0.1", "reserved"],
  ["203.0.113.9", "reserved"],
  ["224.0.0.1", "multicast"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "broadcast"],
  ["::", "local"],
  ["::1", "loopback"],
  ["::7f00:1", "reserved"],
  ["::ffff:127.0.0.1", "loopback"],
  ["::ffff:a9fe:a9fe", "link-local"],
  ["64:ff9b::7f00:1", "loopback"],
  ["64:ff9b::a00:1", "private"],
  ["64:ff9b:1::808:808", "reserved"],
  ["2002:7f00:1::", "reserved"],
  ["2001:0:7f00:1::", "reserved"],
  ["fc00::1", "private"],
  ["fd00:ec2::254", "private"],
  ["fe80::1", "link-local"],
  ["fec0::1", "private"],
  ["ff02::1", "multicast"],
  ["2001:db8::1", "reserved"],
  ["4000::1", "reserved"],
  ["not an address", "malformed"],
  ["", "malformed"],
];
for (const [address, kind] of inside) {
  test(`${address || "(nothing)"} is ${kind}`, () => expect(privateKind(address)).toBe(kind));
}

for (const address of [
  "1.1.1.1",
  "8.8.8.8",
  "172.32.0.1",
  "100.128.0.1",
  "2606:4700::1111",
  "64:ff9b::808:808",
]) {
  test(`${address} is public`, () => expect(privateKind(address)).toBeNull());
}

describe("for any IPv4 address inside a private range", () => {
  const ranges: [number, number][] = [
    [0x7f000000, 8],
    [0x0a000000, 8],
    [0xac100000, 12],
    [0xc0a80000, 16],
    [0xa9fe0000, 16],
    [0x64400000, 10],
    [0x00000000, 8],
  ];
  const anyPrivate = fc
    .tuple(fc.constantFrom(...ranges), fc.nat(0xffffffff))
    .map(([[network, bits], host]) => (network | (host & (2 ** (32 - bits) - 1))) >>> 0);
  const dotted = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".");

  test("it is refused in every spelling that a URL or a resolver can give it", () => {
    fc.assert(
      fc.property(anyPrivate, (number) => {
        const high = (number >>> 16).toString(16);
        const low = (number & 0xffff).toString(16);
        const spellings = [
          dotted(number),
          `::ffff:${dotted(number)}`,
          `::ffff:${high}:${low}`,
          `64:ff9b::${high}:${low}`,
          `::${high}:${low}`,
          `2002:${high}:${low}::`,
        ];
        for (const spelling of spellings)
          expect([spelling, privateKind(spelling)]).not.toEqual([spelling, null]);
        // What a URL makes of a number in other bases is the dotted address.
        for (const text of [String(number), `0x${number.toString(16)}`, `0${number.toString(8)}`]) {
          const { hostname } = new URL(`http://${text}/`);
          expect([text, privateKind(hostname)]).not.toEqual([text, null]);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

test("the operator's rules let through what they name, and only that", () => {
  const rules = [parseHostRule("ollama.local:11434")!, parseHostRule("10.9.0.0/16")!];
  const refuse = (host: string, port: number, address: string) =>
    refuseAddress({ host, port, address }, rules);
  expect(refuse("ollama.local", 11434, "192.168.1.5")).toBeNull();
  expect(refuse("anything", 80, "10.9.1.1")).toBeNull();
  expect(refuse("ollama.local", 80, "192.168.1.5")).toContain("private");
  expect(refuse("anything", 80, "10.8.1.1")).toContain("private");
  expect(refuse("example.com", 443, "1.1.1.1")).toBeNull();
});
