import { expect, test } from "bun:test";
import fc from "fast-check";
import { TerminalError, UserError } from "../../src/base/errors.ts";
import { createSealer, sealKeyId, sealPlace } from "../../src/base/seal.ts";

const keyOf = (byte: number) => new Uint8Array(32).fill(byte);
const sealer = createSealer(keyOf(1));
const place = sealPlace({ tenant: "org_1", table: "providers", row: "prov_1", column: "api_key" });

test("what was sealed opens at its place, whatever it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (secret) => {
      expect(sealer.open(sealer.seal(secret, place), place)).toBe(secret);
    }),
  );
});

test("a sealed text says its version and key, hides the secret, and differs each time", () => {
  const sealed = sealer.seal("sk-canary", place);
  expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]{16}\.[\w-]+$/);
  expect(sealed.split(".")[1]).toBe(sealKeyId(keyOf(1)));
  expect(sealed).not.toContain(Buffer.from("sk-canary").toString("base64url"));
  expect(sealer.seal("sk-canary", place)).not.toBe(sealed);
});

test("at any other place it does not open", () => {
  const sealed = sealer.seal("sk-canary", place);
  for (const other of [
    { tenant: "org_2", table: "providers", row: "prov_1", column: "api_key" },
    { tenant: "org_1", table: "provider", row: "prov_1", column: "api_key" },
    { tenant: "org_1", table: "providers", row: "prov_2", column: "api_key" },
    { tenant: "org_1", table: "providers", row: "prov_1", column: "token" },
  ]) {
    expect(() => sealer.open(sealed, sealPlace(other))).toThrow(TerminalError);
  }
  expect(() => sealPlace({ tenant: "a/b", table: "c", row: "d", column: "e" })).toThrow();
  expect(() => sealPlace({ tenant: "", table: "c", row: "d", column: "e" })).toThrow();
});

test("one changed character anywhere is noticed", () => {
  const sealed = sealer.seal("a secret of some length", place);
  const [version, keyId, nonce, body] = sealed.split(".") as [string, string, string, string];
  const flip = (text: string, at: number) =>
    text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  for (let at = 0; at < nonce.length; at += 1) {
    expect(() => sealer.open([version, keyId, flip(nonce, at), body].join("."), place)).toThrow(
      TerminalError,
    );
  }
  // The last character carries spare bits.
  for (let at = 0; at < body.length - 1; at += 1) {
    expect(() => sealer.open([version, keyId, nonce, flip(body, at)].join("."), place)).toThrow(
      TerminalError,
    );
  }
});

const damaged = [
  "",
  "v1",
  "v2.00000000.AAAA.AAAA",
  "sk-plain",
  "v1.x.y.z.w",
  `v1.${sealKeyId(keyOf(1))}.AAAA.AAAA`,
];
for (const text of damaged) {
  test(`${JSON.stringify(text)} is no sealed text, and is not repeated in the error`, () => {
    const open = () => sealer.open(text, place);
    expect(open).toThrow(TerminalError);
    expect(open).toThrow("enter it again");
    expect(open).not.toThrow("sk-plain");
  });
}

test("a wrong key is told from a damaged text, with both keys named", () => {
  const sealed = sealer.seal("sk-canary", place);
  const other = createSealer(keyOf(2));
  try {
    other.open(sealed, place);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).code).toBe("encryption_key_wrong");
    expect((error as UserError).message).toContain(sealer.keyId);
    expect((error as UserError).message).toContain(other.keyId);
    expect((error as UserError).message).not.toContain("canary");
  }
});

test("a key of another length is refused", () => {
  for (const bytes of [0, 16, 31, 33]) expect(() => createSealer(new Uint8Array(bytes))).toThrow();
});
