/** Memories whose files come from a repository: who is due, and what was fetched. */
import { toJsonText } from "../../base/json.ts";
import { ancestorsOf } from "../../base/path.ts";
import type { MemorySource } from "../../contract/memory.ts";
import type { Db, TransactionSql } from "../pool.ts";
import { transaction } from "../tx.ts";
import { retryable } from "./_file-commit.ts";

type Source = Exclude<MemorySource, { provider: "manual" }>;

export interface DueMemory {
  id: string;
  organization_id: string;
  name: string;
  source: Source;
}

/** A worker that was lost in the middle of fetching is given up after this long. */
const ABANDONED = "15 minutes";
/** Sources are not asked more often than this by themselves, whatever interval they were given. */
const INTERVAL_SECONDS_MIN = 60;
/** Of one insert. */
const BATCH_BYTES = 4 * 1024 * 1024;
const BATCH_FILES = 500;

/**
 * Asks for the files of a memory to be fetched; a worker does it soon.
 *
 * @returns false when there is no such memory with a source that is not archived
 */
export async function requestSync({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    update file_trees set sync_status = 'pending', updated_at = now()
     where id = ${id} and organization_id = ${organizationId} and kind = 'memory' and status = 'active'
       and source is not null
    returning 1`;
  return rows.length > 0;
}

/** Takes one memory that is due for the caller; null when none is. Two callers never get the same one. */
export async function claimSync({ sql }: Db): Promise<DueMemory | null> {
  const rows = await retryable(
    sql<DueMemory[]>`
      update file_trees
         set sync_status = 'syncing', sync_started_at = now()
       where id = (
         select id from file_trees
          where source is not null and status = 'active'
            and (sync_status = 'pending'
                 or (sync_status = 'syncing' and sync_started_at < now() - ${ABANDONED}::interval)
                 or (sync_status in ('synced', 'failed') and (source ->> 'sync_interval_secs')::bigint > 0
                     and sync_started_at < now() - interval '1 second'
                           * greatest((source ->> 'sync_interval_secs')::bigint, ${INTERVAL_SECONDS_MIN}::bigint)))
          order by sync_started_at nulls first
          limit 1
            for update skip locked)
      returning id, organization_id, name, source`,
  );
  return rows[0] ?? null;
}

/**
 * Puts what was fetched in the place of what was there, as one change: nobody sees half of it. Files that did not
 * change stay as they are. Nothing is written when the memory was deleted, or given another source, in the meantime.
 */
export async function storeSync(
  db: Db,
  memory: DueMemory,
  files: readonly { path: string; bytes: Uint8Array }[],
): Promise<boolean> {
  const directories = new Set(files.flatMap((file) => ancestorsOf(file.path)));
  // A path cannot be both: an archive that says so is taken at its directories.
  const kept = files.filter((file) => !directories.has(file.path));
  const paths = [...directories, ...kept.map((file) => file.path)];
  const sizeBytes = kept.reduce((sum, file) => sum + file.bytes.length, 0);
  return transaction(db, async (sql) => {
    const held = await sql`
      select from file_trees
       where id = ${memory.id} and status in ('active', 'archived')
         and source = ${toJsonText(memory.source)}::text::jsonb
         for update`;
    if (held.length === 0) return false;
    await sql`delete from files where tree_id = ${memory.id} and path <> all (${paths}::text[])`;
    await putDirectories(sql, memory, [...directories]);
    for (const batch of batchesOf(kept)) await putFiles(sql, memory, batch);
    await sql`
      update file_trees
         set files_version = files_version + 1, size_bytes = ${sizeBytes}, entry_count = ${paths.length},
             sync_status = case sync_status when 'syncing' then 'synced' else sync_status end,
             last_synced_at = now(), last_sync_error = null, updated_at = now()
       where id = ${memory.id}`;
    return true;
  });
}

/** @param reason  for people; carries no secret */
export async function failSync({ sql }: Db, memory: DueMemory, reason: string): Promise<void> {
  await retryable(
    sql`
      update file_trees set sync_status = 'failed', last_sync_error = ${reason}, updated_at = now()
       where id = ${memory.id} and sync_status = 'syncing'`,
  );
}

async function putDirectories(sql: TransactionSql, memory: DueMemory, paths: string[]): Promise<void> {
  await sql`
    insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, size_bytes)
    select ${memory.id}, path, gen_random_uuid(), ${memory.organization_id}, true, false, 0
      from unnest(${paths}::text[]) as path
    on conflict (tree_id, path) do update
       set is_directory = true, content = null, hash = null, size_bytes = 0, updated_at = now()
     where not files.is_directory`;
}

async function putFiles(
  sql: TransactionSql,
  memory: DueMemory,
  files: readonly { path: string; bytes: Uint8Array }[],
): Promise<void> {
  const hashes = files.map(({ bytes }) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex"));
  // Base64 as text: postgres.js would write bytea as hex, which is half as long again.
  const contents = files.map(({ bytes }) =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"),
  );
  await sql`
    insert into files (tree_id, path, id, organization_id, is_directory, is_readonly, content, hash, size_bytes)
    select ${memory.id}, f.path, gen_random_uuid(), ${memory.organization_id}, false, false,
           decode(f.content, 'base64'), f.hash, f.size_bytes
      from unnest(${files.map((file) => file.path)}::text[], ${contents}::text[], ${hashes}::text[],
                  ${files.map((file) => file.bytes.length)}::bigint[]) as f (path, content, hash, size_bytes)
    on conflict (tree_id, path) do update
       set is_directory = false, content = excluded.content, hash = excluded.hash,
           size_bytes = excluded.size_bytes, updated_at = now()
     where files.hash is distinct from excluded.hash`;
}

function* batchesOf<T extends { bytes: Uint8Array }>(files: readonly T[]): Generator<T[]> {
  let batch: T[] = [];
  let bytes = 0;
  for (const file of files) {
    if (batch.length === BATCH_FILES || (batch.length > 0 && bytes + file.bytes.length > BATCH_BYTES)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.bytes.length;
  }
  if (batch.length > 0) yield batch;
}
