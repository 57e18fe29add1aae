/**
 * The files of a tree as the routes need them: entries with ids and times, creation that refuses what exists, moves
 * and copies (made by the database, no content passes through here), and bytes in pieces.
 */
import { UserError } from "../../base/errors.ts";
import { createKeyedMutex } from "../../base/keyed-mutex.ts";
import type { FileContent, FileEncoding, FileEntry, FileStore } from "../../contract/file-store.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";
import { commitChange, readSubtree, retryable } from "./_file-commit.ts";
import { decodeContent, newFile } from "./_file-content.ts";
import { type FilePlan, planRemoval, type TreeState } from "./_file-plan.ts";
import { ENTRY_COLUMNS, type EntryRow, normalize, toEntry } from "./_file-rows.ts";
import { streamPieces } from "./_pieces.ts";
import { planCreation, planDirectory, planTransfer, planUpdate } from "./_tree-plan.ts";
import { createFileStores, type TreeScope } from "./files.ts";

/** Every method throws UserError and RetryableError as `FileStore` does. */
export interface FileTree extends Pick<FileStore, "list" | "stat" | "readMany"> {
  /** null when there is nothing; `content` is null for a directory and for what `limits.wholeFileBytesMax` is too small for. */
  read(path: string): Promise<{ entry: FileEntry; content: FileContent | null } | null>;
  /** `content` as in `read`. @throws UserError conflict   something stands there already */
  createFile(input: { path: string; content: string; encoding: FileEncoding; isReadonly: boolean }): Promise<{
    entry: FileEntry;
    content: FileContent | null;
  }>;
  /** @throws UserError conflict   something stands there already */
  createDirectory(path: string, isReadonly: boolean): Promise<FileEntry>;
  /** null stays. @throws UserError not_found, file_readonly, conflict */
  update(input: {
    path: string;
    content: { text: string; encoding: FileEncoding } | null;
    isReadonly: boolean | null;
    expectedHash: string | null;
  }): Promise<FileEntry>;
  /** False when there was nothing. @throws UserError file_readonly, directory_not_empty */
  remove(path: string, isRecursive: boolean): Promise<boolean>;
  /** Of a file or a directory with all that it has. @throws UserError not_found, conflict, file_readonly */
  transfer(kind: "move" | "copy", from: string, to: string): Promise<FileEntry>;
  /** The bytes of a file, piece by piece, as they are asked for. @throws UserError not_found, invalid_request */
  download(path: string): Promise<{ entry: FileEntry; bytes: ReadableStream<Uint8Array> }>;
}

/** Trees that share one queue a tree: make this once a process, so that changes wait instead of losing races. */
export function createFileTrees(db: Db): (scope: TreeScope) => FileTree {
  const queues = createKeyedMutex();
  const stores = createFileStores(db);
  return (scope) => {
    const store = stores(scope);
    const change = async (
      paths: readonly string[],
      plan: (state: TreeState) => FilePlan | Promise<FilePlan>,
    ) => queues.run(scope.treeId, () => commitChange(db, scope, { paths, idempotencyKey: null }, plan));
    /** The entry at a path among those that a change has touched. */
    const entryAt = (entries: readonly EntryRow[], path: string): FileEntry => {
      const row = entries.find((entry) => entry.path === path);
      if (!row) throw new Error(`${scope.treeId}: a change of ${path} did not answer with it`);
      return toEntry(row);
    };
    return {
      list: store.list,
      stat: store.stat,
      readMany: store.readMany,
      async read(path) {
        const wanted = normalize(path);
        if (wanted === "/") {
          const entry = await store.stat("/");
          return entry && { entry, content: null };
        }
        const row = await readRow(db, scope, wanted);
        return row && { entry: toEntry(row), content: row.content && toContent(row, row.content) };
      },
      async createFile(input) {
        const file = newFile({ ...input, expectedHash: null });
        const { entries } = await change([file.path], (state) => planCreation(state, file));
        const entry = entryAt(entries, file.path);
        const isWhole = file.bytes.length <= limits.wholeFileBytesMax;
        return {
          entry,
          content: isWhole ? { ...entry, hash: file.hash, ...decodeContent(file.bytes) } : null,
        };
      },
      async createDirectory(path, isReadonly) {
        const wanted = normalize(path);
        const { entries } = await change([wanted], (state) => planDirectory(state, wanted, isReadonly));
        return entryAt(entries, wanted);
      },
      async update({ path, content, isReadonly, expectedHash }) {
        const wanted = normalize(path);
        const file =
          content &&
          newFile({
            path,
            content: content.text,
            encoding: content.encoding,
            isReadonly: false,
            expectedHash,
          });
        const { entries } = await change([wanted], (state) =>
          planUpdate(state, { path: wanted, file, isReadonly }),
        );
        return entryAt(entries, wanted);
      },
      async remove(path, isRecursive) {
        const wanted = normalize(path);
        const { changes } = await change([wanted], async (state) =>
          planRemoval(state, wanted, await readSubtree(db, scope, wanted), isRecursive),
        );
        return changes[0]?.removed ?? false;
      },
      async transfer(kind, from, to) {
        const transfer = { kind, from: normalize(from), to: normalize(to) };
        const { entries } = await change([transfer.from, transfer.to], async (state) =>
          planTransfer(state, transfer, await readSubtree(db, scope, transfer.from)),
        );
        return entryAt(entries, transfer.to);
      },
      async download(path) {
        const entry = await store.stat(path);
        if (!entry) throw new UserError("not_found", `there is nothing at ${normalize(path)}`);
        if (entry.isDirectory) throw new UserError("invalid_request", `${entry.path} is a directory`);
        return { entry, bytes: piecesOf(db, scope, entry) };
      },
    };
  };
}

async function readRow(
  { sql }: Db,
  scope: TreeScope,
  path: string,
): Promise<(EntryRow & { content: Uint8Array | null }) | null> {
  const rows = await retryable(
    sql<(EntryRow & { content: Uint8Array | null })[]>`
      select ${sql(ENTRY_COLUMNS)}, case when size_bytes <= ${limits.wholeFileBytesMax} then content end as content
        from files
       where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId} and path = ${path}`,
  );
  return rows[0] ?? null;
}

function toContent(row: EntryRow, content: Uint8Array): FileContent {
  return {
    path: row.path,
    ...decodeContent(content),
    hash: row.hash ?? "",
    sizeBytes: row.size_bytes,
    isReadonly: row.is_readonly,
  };
}

/** Each piece is of the content that the entry told of: a file that is changed meanwhile breaks the stream off. */
function piecesOf({ sql }: Db, scope: TreeScope, entry: FileEntry): ReadableStream<Uint8Array> {
  return streamPieces(entry.sizeBytes, async (offset, bytesMax) => {
    const [row] = await retryable(
      sql<{ piece: Uint8Array }[]>`
        select substring(content from ${offset + 1}::int for ${bytesMax}::int) as piece
          from files
         where tree_id = ${scope.treeId} and organization_id = ${scope.organizationId}
           and path = ${entry.path} and hash = ${entry.hash}`,
    );
    return row?.piece ?? null;
  });
}
