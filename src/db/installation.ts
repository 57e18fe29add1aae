/** Facts about the installation that every process on one database must agree on. */
import { UserError } from "../base/errors.ts";
import type { Db } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";

const KEY_ID = "encryption_key_id";

/**
 * Records the id of the first key that this database sees, and refuses every other: secrets sealed under two keys
 * would be readable by one process and not by the next.
 *
 * @param key.source  where this process has its key from, for people: "file /var/lib/everruns/encryption.key"
 * @throws UserError encryption_key_wrong   both keys, where each came from, and what to do
 */
export async function checkEncryptionKey({ sql }: Db, key: { keyId: string; source: string }): Promise<void> {
  try {
    await sql`insert into installation (name, value) values (${KEY_ID}, ${key.keyId}) on conflict do nothing`;
    const [row] = await sql<{ value: string; created_at: Date }[]>`
      select value, created_at from installation where name = ${KEY_ID}`;
    if (!row || row.value === key.keyId) return;
    throw new UserError(
      "encryption_key_wrong",
      `this process has the encryption key ${key.keyId} (${key.source}), but the secrets of this database are ` +
        `sealed with the key ${row.value} (in use since ${row.created_at.toISOString()}). Start with that key: ` +
        "set EVERRUNS_ENCRYPTION_KEY, or put the key file that belongs to this database into the data directory. " +
        "If the key is lost, the sealed secrets cannot be read by anyone: remove them with " +
        "`update providers set api_key_sealed = null`, forget the old key with " +
        `\`delete from installation where name = '${KEY_ID}'\`, start again and enter the secrets anew.`,
    );
  } catch (error) {
    throw asRetryable(error);
  }
}

/** The id of the key that this database's secrets are sealed with; null when none has been recorded yet. */
export async function encryptionKeyId({ sql }: Db): Promise<string | null> {
  const rows = await sql<{ value: string }[]>`select value from installation where name = ${KEY_ID}`;
  return rows[0]?.value ?? null;
}
