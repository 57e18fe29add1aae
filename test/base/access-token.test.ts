import { expect, test } from "bun:test";
import {
  accessTokenHash,
  accessTokenHint,
  isAccessToken,
  newAccessToken,
} from "../../src/base/access-token.ts";
import { deriveKey } from "../../src/base/derive-key.ts";
import { createPasswords } from "../../src/base/password.ts";

test("a token carries 256 random bits and a checksum that every changed character breaks", () => {
  const token = newAccessToken();
  expect(token).toMatch(/^evr_pat_[0-9A-Za-z]{43}[0-9A-Za-z]{6}$/);
  expect(isAccessToken(token)).toBe(true);
  expect(newAccessToken()).not.toBe(token);
  for (let at = "evr_pat_".length; at < token.length; at += 1) {
    const other = token[at] === "a" ? "b" : "a";
    expect(isAccessToken(token.slice(0, at) + other + token.slice(at + 1))).toBe(false);
  }
  for (const text of [
    "",
    "evr_pat_",
    `${token}0`,
    token.slice(0, -1),
    `x${token}`,
    token.replace("pat", "key"),
  ]) {
    expect([text, isAccessToken(text)]).toEqual([text, false]);
  }
});

test("what is stored and shown of a token gives it not away", () => {
  const token = newAccessToken();
  expect(accessTokenHash(token)).toHaveLength(32);
  expect(accessTokenHint(token)).toHaveLength(12);
});

test("keys for different purposes differ, and are the same at every start", () => {
  const secret = new Uint8Array(32).fill(1);
  expect(deriveKey(secret, "a")).toEqual(deriveKey(secret, "a"));
  expect(deriveKey(secret, "a")).not.toEqual(deriveKey(secret, "b"));
  expect(deriveKey(secret, "a")).not.toEqual(secret);
});

test("a password is right, wrong, or nobody's", async () => {
  const passwords = createPasswords();
  const hash = await passwords.hash("correct horse");
  expect(hash).toStartWith("$argon2id$");
  expect(await passwords.verify("correct horse", hash)).toBe(true);
  expect(await passwords.verify("correct horse ", hash)).toBe(false);
  expect(await passwords.verify("", hash)).toBe(false);
  expect(await passwords.verify("anything", null)).toBe(false);
});
