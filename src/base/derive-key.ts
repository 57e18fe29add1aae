import { hkdfSync } from "node:crypto";

const KEY_BYTES = 32;

/**
 * A key for one purpose out of a secret (HKDF with SHA-256): who learns one derived key learns neither the secret nor
 * the keys of other purposes.
 *
 * @param purpose  names the key, like `everruns/jwt`
 */
export function deriveKey(secret: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(), purpose, KEY_BYTES));
}
