/**
 * The files of a tree, as rows: of a workspace or of a memory, it makes no difference here.
 *
 * A change is planned in code on what one statement read, and written by one statement that does nothing unless
 * the tree still has the version that was read: no lock is held while anybody thinks, and the limits hold
 * exactly. Who loses the race reads again.
 */
import { UserError } from "../../base/errors.ts";
import { createKeyedMutex, type KeyedMutex } from "../../base/keyed-mutex.ts";
import type { InitialFile } from "../../contract/common.ts";
import type { FileChange, FileContent, FileEntry, FileStore } from "../../contract/file-store.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";
import {
  after,
  below,
  type ChangeRow,
  commitChange,
  readSubtree,
  retryable,
  toChange,
} from "./_file-commit.ts";
import { decodeContent, newFile } from "./_file-content.ts";
import { planRemoval, planWrites, type TreeState } from "./_file-plan.ts";
import { ENTRY_COLUMNS, type EntryRow, normalize, toEntry } from "./_file-rows.ts";

export interface TreeScope {
  organizationId: string;
  /** `wsp_…` or `mem_…`; a session without a shared workspace has the one of its own hex. */
  treeId: string;
}

/**
 * Stores for many trees that share one queue a tree: make this once a process, so that the parallel tool
 * calls of a turn wait for each other instead of losing races.
 */
export function createFileStores(db: Db): (scope: TreeScope) => FileStore {
  const queues = createKeyedMutex();
  return (scope) => openStore(db, scope, queues);
}

export function createFileStore(db: Db, scope: TreeScope): FileStore {
  return openStore(db, scope, createKeyedMutex());
}

function openStore(db: Db, scope: TreeScope, queues: KeyedMutex): FileStore {
  const { sql } = db;
  const change = (make: () => Promise<FileChange>) => queues.run(scope.treeId, make);
  return {
    async read(path) {
      const [row] = await readFiles(db, scope, [normalize(path)]);
      if (!row) return null;
      if (row.content === null) throw tooLargeAsAWhole(row.path, row.size_bytes);
      return toContent(row, row.content);
    },
    async readMany(paths) {
      const wanted = paths.map(normalize);
      const rows = new Map((await readFiles(db, scope, wanted)).map((row) => [row.path, row]));
      return wanted.flatMap((path) => {
        const row = rows.get(path);
        return row?.content ? [toContent(row, row.content)] : [];
      });
    },
    async write(input) {
      const file = newFile({ ...input, isReadonly: false });
      const done = await change(async () => {
        const { changes } = await commitChange(
          db,
          scope,
          { paths: [file.path], idempotencyKey: input.idempotencyKey },
          (state) => planWrites(state, [file], false),
        );
        return changes[0] as FileChange;
      });
      return { ...done, hash: done.hash ?? file.hash };
    },
    async list(path, recursive) {
      const directory = normalize(path);
      const rows = await retryable(
        sql<EntryRow[]>`
          select ${sql(ENTRY_COLUMNS)}
            from files
           where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId} and ${isThere(sql)}
             and (path = ${directory} or (path >= ${below(directory)} and path < ${after(directory)}))
             and (${recursive} or path = ${directory}
                  or position('/' in substring(path from ${below(directory).length + 1}::int)) = 0)
           order by path`,
      );
      const self = rows.find((row) => row.path === directory);
      if (directory !== "/" && !self) throw new UserError("not_found", `there is no directory ${directory}`);
      if (self && !self.is_directory) {
        throw new UserError("invalid_request", `${directory} is a file, not a directory`);
      }
      return rows.filter((row) => row !== self).map(toEntry);
    },
    async stat(path) {
      const wanted = normalize(path);
      if (wanted === "/") return rootEntry(db, scope);
      const rows = await retryable(
        sql<EntryRow[]>`
          select ${sql(ENTRY_COLUMNS)}
            from files
           where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId} and ${isThere(sql)}
             and path = ${wanted}`,
      );
      return rows[0] ? toEntry(rows[0]) : null;
    },
    async remove({ path, recursive, idempotencyKey }) {
      const wanted = normalize(path);
      return change(async () => {
        const { changes } = await commitChange(
          db,
          scope,
          { paths: [wanted], idempotencyKey },
          async (state) => planRemoval(state, wanted, await readSubtree(db, scope, wanted), recursive),
        );
        return changes[0] as FileChange;
      });
    },
    async recall(idempotencyKey) {
      const rows = await retryable(
        sql<ChangeRow[]>`
          select c.path, c.created, c.removed, c.size_bytes, c.hash
            from file_changes c join file_trees t on t.id = c.tree_id
           where c.tree_id = ${scope.treeId} and t.organization_id = ${scope.organizationId}
             and c.idempotency_key = ${idempotencyKey}`,
      );
      return rows[0] ? toChange(rows[0]) : null;
    },
  };
}

/**
 * Puts the first files into a workspace, all or none; what stands at their paths is replaced, read-only or not.
 * Safe to repeat. A session's files are put before the session is made: without the session nobody sees them.
 *
 * @throws UserError invalid_request, conflict, limit_exceeded
 */
export async function putInitialFiles(
  db: Db,
  scope: TreeScope,
  files: readonly InitialFile[],
): Promise<FileChange[]> {
  if (files.length === 0) return [];
  if (files.length > limits.initialFilesMax) {
    throw new UserError("limit_exceeded", `at most ${limits.initialFilesMax} initial files`);
  }
  const wanted = files.map((file) =>
    newFile({ ...file, isReadonly: file.is_readonly ?? false, expectedHash: null }),
  );
  const paths = wanted.map((file) => file.path);
  const input = { paths, idempotencyKey: null, isSetup: true };
  const { changes } = await commitChange(db, scope, input, (state) => planWrites(state, wanted, true));
  return changes;
}

/** Checks initial files without writing them: what is wrong, for people; empty when they are fine. */
export function initialFileProblems(files: readonly InitialFile[]): string[] {
  const state: TreeState = { version: 0, sizeBytes: 0, entryCount: 0, entries: new Map() };
  try {
    planWrites(
      state,
      files.map((file) => newFile({ ...file, isReadonly: false, expectedHash: null })),
      true,
    );
    return [];
  } catch (error) {
    if (error instanceof UserError) return [error.message];
    throw error;
  }
}

/**
 * Takes away the memory of old changes. A call that is repeated after this long would be carried out again.
 *
 * @returns how many rows went; fewer than `rowsMax` means that no more are that old
 */
export async function pruneFileChanges(
  { sql }: Db,
  input: { olderThanMs: number; rowsMax: number },
): Promise<number> {
  const rows = await retryable(
    sql`
      with old as (
        select tree_id, idempotency_key from file_changes
         where created_at < now() - ${input.olderThanMs} * interval '1 millisecond'
         order by created_at
         limit ${input.rowsMax}
           for update skip locked
      )
      delete from file_changes using old
       where file_changes.tree_id = old.tree_id
         and file_changes.idempotency_key = old.idempotency_key
      returning 1`,
  );
  return rows.length;
}

async function readFiles({ sql }: Db, scope: TreeScope, paths: readonly string[]): Promise<FileRow[]> {
  return retryable(
    sql<FileRow[]>`
      select path, case when size_bytes <= ${limits.wholeFileBytesMax} then content end as content, hash, size_bytes,
             is_readonly
        from files
       where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId} and ${isThere(sql)}
         and path = any(${[...paths]}) and not is_directory`,
  );
}

function toContent(row: FileRow, content: Uint8Array): FileContent {
  return {
    path: row.path,
    ...decodeContent(content),
    hash: row.hash,
    sizeBytes: row.size_bytes,
    isReadonly: row.is_readonly,
  };
}

const tooLargeAsAWhole = (path: string, sizeBytes: number) =>
  new UserError(
    "limit_exceeded",
    `${path} has ${sizeBytes} bytes; only files of at most ${limits.wholeFileBytesMax} can be read here, larger ones be downloaded`,
  );

/** SQL: false for the files of a tree that was deleted, which are still stored for a while. */
const isThere = (sql: Db["sql"]) =>
  sql`not exists (select from file_trees t where t.id = files.tree_id and t.status = 'deleted')`;

/** The root has no row: it is as old as its tree, or as now when nothing was ever written. */
async function rootEntry({ sql }: Db, scope: TreeScope): Promise<FileEntry> {
  const [row] = await retryable(
    sql<{ created_at: Date; updated_at: Date }[]>`
      select coalesce(min(created_at), now()) as created_at, coalesce(min(updated_at), now()) as updated_at
        from file_trees
       where id = ${scope.treeId} and organization_id = ${scope.organizationId}`,
  );
  return toEntry({
    id: ROOT_ID,
    path: "/",
    is_directory: true,
    is_readonly: false,
    size_bytes: 0,
    hash: null,
    created_at: row?.created_at ?? new Date(0),
    updated_at: row?.updated_at ?? new Date(0),
  });
}

const ROOT_ID = "00000000-0000-0000-0000-000000000000";

interface FileRow {
  path: string;
  /** null: too large to be read as a whole. */
  content: Uint8Array | null;
  hash: string;
  size_bytes: number;
  is_readonly: boolean;
}
