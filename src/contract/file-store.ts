/**
 * The files of a tree (a workspace, a memory) as tools see them. The db room implements it, the capabilities room uses it;
 * neither may import the other, so the promise between them stands here.
 */

export interface FileEntry {
  /** Plain UUID, as file entries show on the wire. */
  id: string;
  /** Absolute and normalized: `/notes/a.md`. */
  path: string;
  isDirectory: boolean;
  isReadonly: boolean;
  /** Bytes; 0 for a directory. */
  sizeBytes: number;
  /** SHA-256 of the bytes, hex; null for a directory. */
  hash: string | null;
  /** RFC 3339, UTC. */
  createdAt: string;
  /** RFC 3339, UTC. */
  updatedAt: string;
}

export interface FileContent {
  path: string;
  /** Text, or base64 when `encoding` says so: a NUL in the first 8 KiB, or bytes that are not UTF-8. */
  content: string;
  encoding: FileEncoding;
  /** SHA-256 of the bytes, hex. */
  hash: string;
  sizeBytes: number;
  isReadonly: boolean;
}

export type FileEncoding = "text" | "base64";

/** A NUL in this many first bytes makes a file binary, as in git. */
const BINARY_PROBE_BYTES = 8 * 1024;

/** PURE: whether a content that begins like this goes out as base64, even if it is UTF-8. */
export const isBinaryStart = (bytes: Uint8Array) => bytes.subarray(0, BINARY_PROBE_BYTES).includes(0);

/** What one change did to one path. */
export interface FileChange {
  path: string;
  /** True when the path did not exist before. */
  created: boolean;
  /** True when the change took the path away; false for a write, and for a removal that found nothing. */
  removed: boolean;
  /** Bytes after the change. */
  sizeBytes: number;
  /** Hash after the change; null when there is no file any more. */
  hash: string | null;
}

/**
 * Paths may come in any spelling (`notes//a.md`, `./a.md`) and go out normalized; `..` is refused.
 *
 * Every method throws UserError (`invalid_request`, `not_found`, `conflict`, `file_readonly`, `directory_not_empty`,
 * `archived`, `limit_exceeded`) for what the caller can mend, and RetryableError when the database cannot be reached.
 */
export interface FileStore {
  /**
   * null when there is no file at the path (a directory is no file). `limit_exceeded` for one that is larger than
   * `limits.wholeFileBytesMax`: it would lie in memory several times over.
   */
  read(path: string): Promise<FileContent | null>;
  /** The files among the paths, in their order; what is missing, or too large for `read`, is left out. */
  readMany(paths: readonly string[]): Promise<FileContent[]>;
  /** Creates or replaces a file; its parents are made. */
  write(input: WriteFile): Promise<FileChange & { hash: string }>;
  /** Entries below a directory, sorted by path; `recursive` includes everything below. `not_found` when there is none. */
  list(path: string, recursive: boolean): Promise<FileEntry[]>;
  /** null when there is nothing. The root always is. */
  stat(path: string): Promise<FileEntry | null>;
  /** Takes a file or directory away. A directory with entries needs `recursive`, else `directory_not_empty`. */
  remove(input: RemoveFile): Promise<FileChange>;
  /** What the change with this key did; null when there was none. */
  recall(idempotencyKey: string): Promise<FileChange | null>;
}

export interface WriteFile {
  path: string;
  content: string;
  /** How `content` is spelled; text when absent. */
  encoding?: FileEncoding;
  /** Refuses with `conflict` unless the file has this hash now; null does not check. */
  expectedHash: string | null;
  /** A second call with the same key changes nothing and answers as the first did; null is never the same. */
  idempotencyKey: string | null;
}

export interface RemoveFile {
  path: string;
  recursive: boolean;
  idempotencyKey: string | null;
}
