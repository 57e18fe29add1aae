import { expect, test } from "bun:test";
import { isZip, readZip } from "../../src/base/zip.ts";
import { zip } from "../support/zip.ts";

const LIMITS = { entriesMax: 10, bytesMax: 1_000 };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const refusal = (bytes: Uint8Array, limits = LIMITS) => {
  try {
    readZip(bytes, limits);
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  }
};

test("files come out as they went in, directories are left out", () => {
  const bytes = zip({ "a/": "", "a/b.txt": "hello", empty: "", "ü.md": "x".repeat(900) });
  expect(readZip(bytes, LIMITS).map(({ name, bytes }) => [name, text(bytes)])).toEqual([
    ["a/b.txt", "hello"],
    ["empty", ""],
    ["ü.md", "x".repeat(900)],
  ]);
  expect([isZip(bytes), isZip(new TextEncoder().encode("---\nname: a\n---\nPK"))]).toEqual([true, false]);
});

test("an archive of another program, in a part of a larger buffer", async () => {
  const directory = zip({ "x.txt": "y" });
  const shifted = new Uint8Array(directory.length + 7);
  shifted.set(directory, 7);
  expect(readZip(shifted.subarray(7), LIMITS)).toHaveLength(1);
});

const refused: [string, Uint8Array, string | null][] = [
  ["more bytes than allowed", zip({ a: "x".repeat(1_001) }), "payload_too_large"],
  ["as many as allowed", zip({ a: "x".repeat(1_000) }), null],
  ["more than allowed together", zip({ a: "x".repeat(600), b: "y".repeat(600) }), "payload_too_large"],
  ["a bomb", zip({ a: new Uint8Array(50_000_000) }), "payload_too_large"],
  [
    "too many entries",
    zip(Object.fromEntries(Array.from({ length: 11 }, (_, n) => [`f${n}`, ""]))),
    "payload_too_large",
  ],
  ["a link", zip({ a: "/etc/passwd" }, { mode: 0o120777 }), "invalid_archive"],
  ["encrypted", zip({ a: "b" }, { flags: 1 }), "invalid_archive"],
  ["another packing", zip({ a: "b" }, { method: 12 }), "invalid_archive"],
  ["a wrong checksum", zip({ a: "b" }, { crcShift: 1 }), "invalid_archive"],
  ["no archive", new TextEncoder().encode("PK\x03\x04 and nothing of the kind follows"), "invalid_archive"],
  ["nothing", new Uint8Array(0), "invalid_archive"],
];
for (const [what, bytes, code] of refused) {
  test(`${what}: ${code ?? "fine"}`, () => expect(refusal(bytes)).toBe(code));
}

test("wherever it is cut off or one byte is changed, it is read or refused, and nothing else happens", () => {
  const whole = zip({ "a.txt": "some text", "b/c.txt": "more" });
  for (let at = 0; at < whole.length; at += 1) {
    expect(refusal(whole.subarray(0, at))).toBe("invalid_archive");
    for (const change of [0xff, 0x01, 0x80]) {
      const bent = whole.slice();
      bent[at] = (bent[at] ?? 0) ^ change;
      expect([null, "invalid_archive", "payload_too_large"]).toContain(refusal(bent));
    }
  }
});
