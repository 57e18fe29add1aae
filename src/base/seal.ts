/**
 * Secrets at rest: AES-256-GCM with one key per installation.
 *
 * A sealed text names its key, so that a wrong key is told from a damaged text, and is bound to the place where it
 * is stored: moved to another row it does not open. Form: `v1.<key id>.<nonce>.<ciphertext and tag>`, the last two
 * in base64url. A nonce is 96 random bits: with one key, 2^32 seals stay far below the bound of NIST SP 800-38D.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { TerminalError, UserError } from "./errors.ts";

export const SEAL_KEY_BYTES = 32;
const VERSION = "v1";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Where a secret is stored. */
export interface SealPlace {
  /** Organization id. */
  tenant: string;
  table: string;
  row: string;
  column: string;
}

/** The associated data of a place: `org_…/providers/prov_…/api_key`. Different places never share one. */
export function sealPlace({ tenant, table, row, column }: SealPlace): string {
  const parts = [tenant, table, row, column];
  if (parts.some((part) => part === "" || part.includes("/")))
    throw new Error(`no place: ${parts.join("/")}`);
  return parts.join("/");
}

export interface Sealer {
  /** First 8 hex digits of the SHA-256 of the key: names the key, tells nothing about it. */
  keyId: string;
  /** @param place  see `sealPlace`; opening needs the same */
  seal(plaintext: string, place: string): string;
  /**
   * @throws UserError encryption_key_wrong   sealed under another key; what to do is in the message
   * @throws TerminalError sealed_text_damaged   altered, cut off, or moved from another place
   */
  open(sealed: string, place: string): string;
}

/** @param key  exactly 32 bytes; copied, so that the caller may wipe its own */
export function createSealer(key: Uint8Array): Sealer {
  if (key.length !== SEAL_KEY_BYTES) throw new Error(`a sealing key has ${SEAL_KEY_BYTES} bytes`);
  const secret = Buffer.from(key);
  const keyId = sealKeyId(secret);
  return {
    keyId,
    seal(plaintext, place) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", secret, nonce);
      cipher.setAAD(associatedData(place));
      const sealed = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
      return [VERSION, keyId, nonce.toString("base64url"), sealed.toString("base64url")].join(".");
    },
    open(sealed, place) {
      const [version, sealedBy, nonceText, bodyText, ...rest] = sealed.split(".");
      if (version !== VERSION || !sealedBy || !nonceText || !bodyText || rest.length > 0)
        throw damaged(place);
      if (sealedBy !== keyId) throw wrongKey(place, sealedBy, keyId);
      const nonce = Buffer.from(nonceText, "base64url");
      const body = Buffer.from(bodyText, "base64url");
      if (nonce.length !== NONCE_BYTES || body.length < TAG_BYTES) throw damaged(place);
      try {
        const decipher = createDecipheriv("aes-256-gcm", secret, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(associatedData(place));
        decipher.setAuthTag(body.subarray(body.length - TAG_BYTES));
        const text = decipher.update(body.subarray(0, body.length - TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString("utf8");
      } catch {
        // The cause says nothing more than "unable to authenticate data".
        throw damaged(place);
      }
    },
  };
}

/** What names a key in sealed texts and messages. */
export function sealKeyId(key: Uint8Array): string {
  return createHash("sha256").update(key).digest("hex").slice(0, 8);
}

function associatedData(place: string): Buffer {
  return Buffer.from(`${VERSION}:${place}`);
}

function wrongKey(place: string, sealedBy: string, ours: string): UserError {
  return new UserError(
    "encryption_key_wrong",
    `the secret at ${place} was sealed with the key ${shownId(sealedBy)}, this process has the key ${ours}; start ` +
      "it with the first key (EVERRUNS_ENCRYPTION_KEY or the key file of the data directory), or enter the secret " +
      "again",
  );
}

function damaged(place: string): TerminalError {
  return new TerminalError(
    "sealed_text_damaged",
    `the secret at ${place} cannot be opened: it was altered or belongs to another place; enter it again`,
  );
}

function shownId(keyId: string): string {
  return /^[0-9a-f]{8}$/.test(keyId) ? keyId : "(unreadable)";
}
