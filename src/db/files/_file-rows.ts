/** Rows of `files` without their content, and what they are outside of the database. */
import { normalizePath } from "../../base/path.ts";
import type { FileEntry } from "../../contract/file-store.ts";
import { limits } from "../../contract/limits.ts";

export const ENTRY_COLUMNS = [
  "id",
  "path",
  "is_directory",
  "is_readonly",
  "size_bytes",
  "hash",
  "created_at",
  "updated_at",
] as const;

export interface EntryRow {
  id: string;
  path: string;
  is_directory: boolean;
  is_readonly: boolean;
  size_bytes: number;
  /** null for a directory. */
  hash: string | null;
  created_at: Date;
  updated_at: Date;
}

export const normalize = (path: string) => normalizePath(path, limits.pathCharsMax);

export function toEntry(row: EntryRow): FileEntry {
  return {
    id: row.id,
    path: row.path,
    isDirectory: row.is_directory,
    isReadonly: row.is_readonly,
    sizeBytes: row.size_bytes,
    hash: row.hash,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}
