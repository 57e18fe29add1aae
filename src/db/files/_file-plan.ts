/**
 * PURE: decides what a change of a workspace's files may do and which rows it writes. `files.ts` reads the state,
 * asks here, and writes the plan in one statement.
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
export interface WorkspaceState {
  /** 0: the workspace has no row yet. */
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
  sizeBytes: number;
  entryCount: number;
  /** One for each file that was asked for. */
  changes: FileChange[];
}

/**
 * @param replacesReadonly  true where the workspace is set up, not used
 * @throws UserError conflict, limit_exceeded, invalid_request
 */
export function planWrites(
  state: WorkspaceState,
  files: readonly NewFile[],
  replacesReadonly: boolean,
): FilePlan {
  const entries = new Map(state.entries);
  const rows = new Map<string, PlannedRow>();
  const plan = unchanged(state);
  for (const file of files) {
    checkFile(file, entries.get(file.path), replacesReadonly);
    for (const path of ancestorsOf(file.path)) {
      const above = entries.get(path);
      if (above && !above.is_directory)
        throw conflict(`${path} is a file, so ${file.path} cannot be below it`);
      if (above) continue;
      entries.set(path, { path, is_directory: true, is_readonly: false, size_bytes: 0, hash: null });
      rows.set(path, { path, isReadonly: false, bytes: null, hash: null });
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
  checkWorkspace(state, plan);
  plan.rows = [...rows.values()];
  return plan;
}

/** @throws UserError conflict, invalid_request */
export function planRemoval(
  state: WorkspaceState,
  path: string,
  below: Subtree,
  isRecursive: boolean,
): FilePlan {
  if (path === "/") throw new UserError("invalid_request", "the root directory cannot be deleted");
  const entry = state.entries.get(path);
  const plan = unchanged(state);
  plan.changes.push({ path, created: false, removed: entry !== undefined, sizeBytes: 0, hash: null });
  if (!entry) return plan;
  if (entry.is_readonly) throw conflict(`${path} is read-only`);
  if (below.entryCount > 0 && !isRecursive) {
    throw conflict(`the directory ${path} has ${below.entryCount} entries; delete it with recursive=true`);
  }
  if (below.readonlyPath !== null) throw conflict(`${below.readonlyPath} is read-only`);
  plan.removedPath = path;
  plan.sizeBytes -= entry.size_bytes + below.sizeBytes;
  plan.entryCount -= 1 + below.entryCount;
  return plan;
}

function unchanged(state: WorkspaceState): FilePlan {
  return {
    rows: [],
    removedPath: null,
    sizeBytes: state.sizeBytes,
    entryCount: state.entryCount,
    changes: [],
  };
}

function checkFile(file: NewFile, before: KnownEntry | undefined, replacesReadonly: boolean): void {
  if (file.path === "/") throw new UserError("invalid_request", "the path names the root, not a file");
  if (file.bytes.length > limits.fileBytesMax) {
    throw exceeded(
      `${file.path} would have ${file.bytes.length} bytes; a file has at most ${limits.fileBytesMax}`,
    );
  }
  if (before?.is_directory) throw conflict(`${file.path} is a directory`);
  if (before?.is_readonly && !replacesReadonly) throw conflict(`${file.path} is read-only`);
  if (file.expectedHash === null || file.expectedHash === before?.hash) return;
  throw conflict(
    before
      ? `${file.path} has changed: its hash is ${before.hash}, not ${file.expectedHash}; read it again`
      : `${file.path} does not exist (any more), so it cannot have the hash ${file.expectedHash}`,
  );
}

/** A workspace that is over a limit (which may have been lowered) can still be made smaller. */
function checkWorkspace(state: WorkspaceState, plan: FilePlan): void {
  if (plan.sizeBytes > limits.workspaceBytesMax && plan.sizeBytes > state.sizeBytes) {
    throw exceeded(
      `the workspace would have ${plan.sizeBytes} bytes; it may have ${limits.workspaceBytesMax}. Delete files first`,
    );
  }
  if (plan.entryCount > limits.workspaceEntriesMax && plan.entryCount > state.entryCount) {
    throw exceeded(
      `the workspace would have ${plan.entryCount} files and directories; it may have ${limits.workspaceEntriesMax}`,
    );
  }
}

const conflict = (message: string) => new UserError("conflict", message);
const exceeded = (message: string) => new UserError("limit_exceeded", message);
