/**
 * Access tokens: `evr_pat_`, 256 random bits and a checksum, in letters and digits. The prefix lets scanners of
 * secrets find a token in a file; the checksum tells a typing error from a token without asking the database.
 */
import { createHash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

const PREFIX = "evr_pat_";
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_BYTES = 32;
/** 62^43 > 2^256, 62^6 > 2^32. */
const RANDOM_CHARS = 43;
const CHECKSUM_CHARS = 6;
const SHAPE = new RegExp(`^${PREFIX}[0-9A-Za-z]{${RANDOM_CHARS + CHECKSUM_CHARS}}$`);

/** Every token begins like this, those of older servers too. */
export const TOKEN_PREFIX = "evr_";

export function newAccessToken(): string {
  const body = PREFIX + base62(BigInt(`0x${randomBytes(RANDOM_BYTES).toString("hex")}`), RANDOM_CHARS);
  return body + checksumOf(body);
}

/** Whether a text can be a token at all. */
export function isAccessToken(text: string): boolean {
  if (!SHAPE.test(text)) return false;
  return checksumOf(text.slice(0, -CHECKSUM_CHARS)) === text.slice(-CHECKSUM_CHARS);
}

/** What is stored of a token. Its 256 random bits need no slow hash: there is nothing to guess. */
export function accessTokenHash(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}

/** What may be shown of a token to tell it from others. */
export function accessTokenHint(token: string): string {
  return token.slice(0, PREFIX.length + 4);
}

function checksumOf(body: string): string {
  return base62(BigInt(crc32(body)), CHECKSUM_CHARS);
}

function base62(value: bigint, length: number): string {
  let rest = value;
  let text = "";
  for (let at = 0; at < length; at += 1) {
    text = ALPHABET[Number(rest % 62n)] + text;
    rest /= 62n;
  }
  return text;
}
