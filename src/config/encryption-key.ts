/**
 * The key that seals provider keys at rest: from the environment, else from a file that the first start makes.
 * Whoever loses it loses what was sealed with it; the message that made the file says so.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../base/errors.ts";
import { SEAL_KEY_BYTES } from "../base/seal.ts";

export interface EncryptionKey {
  key: Uint8Array;
  /** For people: `environment EVERRUNS_ENCRYPTION_KEY`, `file /var/lib/…`. */
  source: string;
  /** True when this call made the file. */
  isNew: boolean;
}

export function encryptionKeyPath(dataDir: string): string {
  return join(dataDir, "encryption.key");
}

/**
 * @param text     what the environment says, or null
 * @param dataDir  home of the key file; made when missing
 * @throws UserError encryption_key_invalid: what is wrong with which, and what to do; never the key itself
 */
export function loadEncryptionKey(text: string | null, dataDir: string): EncryptionKey {
  if (text !== null) {
    const source = "environment EVERRUNS_ENCRYPTION_KEY";
    return { key: decode(text, source), source, isNew: false };
  }
  const path = encryptionKeyPath(dataDir);
  try {
    const isNew = makeKeyFile(path);
    requirePrivate(path);
    return { key: decode(readFileSync(path, "utf8").trim(), path), source: `file ${path}`, isNew };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof UserError || code === undefined) throw error;
    throw new UserError(
      "encryption_key_invalid",
      `the key file ${path} cannot be read or made (${code}); give this user the right to, choose another ` +
        "--data-dir, or set EVERRUNS_ENCRYPTION_KEY",
      { cause: error },
    );
  }
}

/** @returns false when there was one already. Two first starts at once end with one file, whole. */
function makeKeyFile(path: string): boolean {
  if (statSync(path, { throwIfNoEntry: false })) return false;
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  const file = openSync(draft, "wx", 0o600);
  try {
    writeSync(file, `${randomBytes(SEAL_KEY_BYTES).toString("base64")}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    // A link fails where a rename would replace: the first of two starts wins.
    linkSync(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function requirePrivate(path: string): void {
  const { mode: bits, uid } = statSync(path);
  const ours = process.getuid?.() ?? uid;
  if (ours !== 0 && uid !== ours && uid !== 0) {
    throw new UserError(
      "encryption_key_invalid",
      `${path} belongs to another user (uid ${uid}), who could read it; choose another --data-dir`,
    );
  }
  const mode = bits & 0o777;
  if ((mode & 0o077) === 0) return;
  throw new UserError(
    "encryption_key_invalid",
    `${path} can be read by others (mode ${mode.toString(8)}); type: chmod 600 ${path}`,
  );
}

function decode(text: string, source: string): Uint8Array {
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, "hex") : Buffer.from(text, "base64");
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text);
  if (isBase64 && key.length === SEAL_KEY_BYTES) return key;
  throw new UserError(
    "encryption_key_invalid",
    `${source} does not hold ${SEAL_KEY_BYTES} bytes as base64 or hex; ` +
      "put the right key back, or make one with: openssl rand -base64 32",
  );
}
