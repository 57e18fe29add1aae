/**
 * PURE: decides what a change of a tree's files may do and which rows it writes. `_file-commit.ts` reads the state,
 * asks here, and writes the plan in one statement. What only the routes do stands in `_tree-plan.ts`.
 */
import { UserError } from "../../base/errors.ts";
import { ancestorsOf } from "../../base/path.ts";
import type { FileChange } from "../../contract/file-store.ts";
import { limits } from "../../contract/limits.ts";

/** What stands at one path. */
export interface KnownEntry {
  path: string;
  is_directory: boolean;
  is_readonly: boolean;
  size_bytes: number;
  hash: string | null;
}

/** What a plan is made on: all of it as one statement saw it. */
export interface TreeState {
  /** 0: the tree has no row yet. */
  version: number;
  sizeBytes: number;
  entryCount: number;
  /** The entries at the paths that were asked for and above them. */
  entries: ReadonlyMap<string, KnownEntry>;
}

/** What lies below a directory. */
export interface Subtree {
  entryCount: number;
  sizeBytes: number;
  /** A readonly entry below it, or null when there is none. */
  readonlyPath: string | null;
  /** Characters of the longest path below it; 0 when there is none. */
  pathCharsMax: number;
}

export interface NewFile {
  path: string;
  bytes: Uint8Array;
  hash: string;
  isReadonly: boolean;
  /** Refuses unless the file has this hash; null does not check. */
  expectedHash: string | null;
}

export interface PlannedRow {
  path: string;
  isReadonly: boolean;
  /** null makes a directory. */
  bytes: Uint8Array | null;
  hash: string | null;
}

export interface FilePlan {
  /** Directories first. */
  rows: PlannedRow[];
  /** The entry that goes, with everything below it; null when none goes. */
  removedPath: string | null;
  /** The entry that gets another path, or is copied, with everything below it; null when none is. */
  transfer: { kind: "move" | "copy"; from: string; to: string } | null;
  /** The entry whose read-only mark changes, and nothing else of it; null when none does. */
  mark: { path: string; isReadonly: boolean } | null;
  sizeBytes: number;
  entryCount: number;
  /** One for each file that was asked for. */
  changes: FileChange[];
}

/**
 * @param replacesReadonly  true where the workspace is set up, not used
 * @throws UserError conflict, file_readonly, limit_exceeded, invalid_request
 */
export function planWrites(state: TreeState, files: readonly NewFile[], replacesReadonly: boolean): FilePlan {
  const entries = new Map(state.entries);
  const rows = new Map<string, PlannedRow>();
  const plan = unchanged(state);
  for (const file of files) {
    checkFile(file, entries.get(file.path), replacesReadonly);
    for (const row of missingParents(entries, file.path)) {
      entries.set(row.path, {
        path: row.path,
        is_directory: true,
        is_readonly: false,
        size_bytes: 0,
        hash: null,
      });
      rows.set(row.path, row);
      plan.entryCount += 1;
    }
    const before = entries.get(file.path);
    plan.sizeBytes += file.bytes.length - (before?.size_bytes ?? 0);
    if (!before) plan.entryCount += 1;
    rows.set(file.path, file);
    entries.set(file.path, {
      path: file.path,
      is_directory: false,
      is_readonly: file.isReadonly,
      size_bytes: file.bytes.length,
      hash: file.hash,
    });
    plan.changes.push({
      path: file.path,
      created: !before,
      removed: false,
      sizeBytes: file.bytes.length,
      hash: file.hash,
    });
  }
  checkTotals(state, plan);
  plan.rows = [...rows.values()];
  return plan;
}

/** The directories above a path that are not there yet. @throws UserError conflict   one of them is a file */
export function missingParents(entries: ReadonlyMap<string, KnownEntry>, path: string): PlannedRow[] {
  const missing: PlannedRow[] = [];
  for (const above of ancestorsOf(path)) {
    const entry = entries.get(above);
    if (entry && !entry.is_directory) throw conflict(`${above} is a file, so ${path} cannot be below it`);
    if (!entry) missing.push({ path: above, isReadonly: false, bytes: null, hash: null });
  }
  return missing;
}

/** @throws UserError file_readonly, directory_not_empty, invalid_request */
export function planRemoval(state: TreeState, path: string, below: Subtree, isRecursive: boolean): FilePlan {
  if (path === "/") throw new UserError("invalid_request", "the root directory cannot be deleted");
  const entry = state.entries.get(path);
  const plan = unchanged(state);
  plan.changes.push({ path, created: false, removed: entry !== undefined, sizeBytes: 0, hash: null });
  if (!entry) return plan;
  if (entry.is_readonly) throw readonly(path);
  if (below.entryCount > 0 && !isRecursive) {
    throw new UserError(
      "directory_not_empty",
      `the directory ${path} has ${below.entryCount} entries; delete it with recursive=true`,
    );
  }
  if (below.readonlyPath !== null) throw readonly(below.readonlyPath);
  plan.removedPath = path;
  plan.sizeBytes -= entry.size_bytes + below.sizeBytes;
  plan.entryCount -= 1 + below.entryCount;
  return plan;
}

export function unchanged(state: TreeState): FilePlan {
  return {
    rows: [],
    removedPath: null,
    transfer: null,
    mark: null,
    sizeBytes: state.sizeBytes,
    entryCount: state.entryCount,
    changes: [],
  };
}

export function checkFile(file: NewFile, before: KnownEntry | undefined, replacesReadonly: boolean): void {
  if (file.path === "/") throw new UserError("invalid_request", "the path names the root, not a file");
  if (file.bytes.length > limits.fileBytesMax) {
    throw exceeded(
      `${file.path} would have ${file.bytes.length} bytes; a file has at most ${limits.fileBytesMax}`,
    );
  }
  if (before?.is_directory) throw conflict(`${file.path} is a directory`);
  if (before?.is_readonly && !replacesReadonly) throw readonly(file.path);
  if (file.expectedHash === null || file.expectedHash === before?.hash) return;
  throw conflict(
    before
      ? `${file.path} has changed: its hash is ${before.hash}, not ${file.expectedHash}; read it again`
      : `${file.path} does not exist (any more), so it cannot have the hash ${file.expectedHash}`,
  );
}

/** A tree that is over a limit (which may have been lowered) can still be made smaller. @throws UserError limit_exceeded */
export function checkTotals(state: TreeState, plan: FilePlan): void {
  if (plan.sizeBytes > limits.workspaceBytesMax && plan.sizeBytes > state.sizeBytes) {
    throw exceeded(
      `all files together would have ${plan.sizeBytes} bytes; they may have ${limits.workspaceBytesMax}. Delete files first`,
    );
  }
  if (plan.entryCount > limits.workspaceEntriesMax && plan.entryCount > state.entryCount) {
    throw exceeded(
      `there would be ${plan.entryCount} files and directories; there may be ${limits.workspaceEntriesMax}`,
    );
  }
}

export const conflict = (message: string) => new UserError("conflict", message);
export const readonly = (path: string) => new UserError("file_readonly", `${path} is read-only`);
const exceeded = (message: string) => new UserError("limit_exceeded", message);
