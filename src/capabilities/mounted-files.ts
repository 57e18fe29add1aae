/**
 * Trees of files inside another: what lies at and below a mount is read from, and written to, the mounted tree. The
 * tools see one file system. What the tree around has at such a place is hidden as long as the mount is there.
 */
import { UserError } from "../base/errors.ts";
import { normalizePath } from "../base/path.ts";
import type { FileChange, FileContent, FileEntry, FileStore } from "../contract/file-store.ts";
import { limits } from "../contract/limits.ts";

/** A tree at a place. */
export interface FileMount {
  /** Normalized; never the root, and never at or below another mount. */
  path: string;
  isWritable: boolean;
  files: FileStore;
}

/** Directories that are there only because something is mounted below them. */
const NO_ID = "00000000-0000-0000-0000-000000000000";

export function mountFiles(base: FileStore, mounts: readonly FileMount[]): FileStore {
  if (mounts.length === 0) return base;

  const normalize = (path: string) => normalizePath(path, limits.pathCharsMax);
  const mountAt = (path: string) =>
    mounts.find((mount) => path === mount.path || path.startsWith(`${mount.path}/`)) ?? null;
  const mountsBelow = (path: string) =>
    mounts.filter((mount) => path === "/" || mount.path.startsWith(`${path}/`));

  return {
    async read(path) {
      const wanted = normalize(path);
      const mount = mountAt(wanted);
      if (!mount) return base.read(wanted);
      const file = await within(mount, () => mount.files.read(inside(mount, wanted)));
      return file && shown(mount, file);
    },
    async readMany(paths) {
      const wanted = paths.map(normalize);
      const found = new Map<string, FileContent>();
      for (const file of await base.readMany(wanted.filter((path) => mountAt(path) === null))) {
        found.set(file.path, file);
      }
      for (const mount of mounts) {
        const here = wanted.filter((path) => mountAt(path) === mount).map((path) => inside(mount, path));
        if (here.length === 0) continue;
        for (const file of await within(mount, () => mount.files.readMany(here))) {
          const content = shown(mount, file);
          found.set(content.path, content);
        }
      }
      return wanted.flatMap((path) => found.get(path) ?? []);
    },
    async write(input) {
      const path = normalize(input.path);
      const mount = mountAt(path);
      if (!mount) {
        if (path !== "/" && mountsBelow(path).length > 0) {
          throw new UserError("conflict", `${path} is a directory`);
        }
        return base.write({ ...input, path });
      }
      if (path === mount.path) throw new UserError("conflict", `${path} is a directory`);
      requireWritable(mount, path);
      const change = await within(mount, () => mount.files.write({ ...input, path: inside(mount, path) }));
      return { ...change, path: outside(mount, change.path) };
    },
    async list(path, recursive) {
      const directory = normalize(path);
      const mount = mountAt(directory);
      if (mount) {
        const entries = await within(mount, () => mount.files.list(inside(mount, directory), recursive));
        return entries.map((entry) => shown(mount, entry));
      }
      const below = mountsBelow(directory);
      const entries = new Map<string, FileEntry>();
      for (const entry of await listAround(base, directory, recursive, below.length > 0)) {
        if (mountAt(entry.path) === null) entries.set(entry.path, entry);
      }
      for (const one of below) {
        for (const entry of directoriesTo(one, directory, recursive)) {
          if (!entries.has(entry.path)) entries.set(entry.path, entry);
        }
        if (!recursive) continue;
        for (const entry of await within(one, () => one.files.list("/", true))) {
          const { path: place } = shown(one, entry);
          entries.set(place, shown(one, entry));
        }
      }
      return [...entries.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    },
    async stat(path) {
      const wanted = normalize(path);
      const mount = mountAt(wanted);
      if (mount && wanted === mount.path) return directoryAt(wanted, !mount.isWritable);
      if (mount) {
        const entry = await within(mount, () => mount.files.stat(inside(mount, wanted)));
        return entry && shown(mount, entry);
      }
      const entry = await base.stat(wanted);
      return entry ?? (mountsBelow(wanted).length > 0 ? directoryAt(wanted, false) : null);
    },
    async remove(input) {
      const path = normalize(input.path);
      const mount = mountAt(path);
      if (!mount && mountsBelow(path).length === 0) return base.remove({ ...input, path });
      if (!mount || path === mount.path) {
        throw new UserError("file_readonly", `${path} is, or holds, the place of a memory`);
      }
      requireWritable(mount, path);
      const change = await within(mount, () => mount.files.remove({ ...input, path: inside(mount, path) }));
      return { ...change, path: outside(mount, change.path) };
    },
    async recall(idempotencyKey) {
      const own = await base.recall(idempotencyKey);
      if (own) return own;
      for (const mount of mounts) {
        if (!mount.isWritable) continue;
        const change: FileChange | null = await mount.files.recall(idempotencyKey);
        if (change) return { ...change, path: outside(mount, change.path) };
      }
      return null;
    },
  };
}

/** The path as the mounted tree knows it. */
function inside(mount: FileMount, path: string): string {
  return path === mount.path ? "/" : path.slice(mount.path.length);
}

function outside(mount: FileMount, path: string): string {
  return path === "/" ? mount.path : mount.path + path;
}

function shown<T extends { path: string; isReadonly: boolean }>(mount: FileMount, entry: T): T {
  return { ...entry, path: outside(mount, entry.path), isReadonly: entry.isReadonly || !mount.isWritable };
}

function requireWritable(mount: FileMount, path: string): void {
  if (mount.isWritable) return;
  throw new UserError(
    "file_readonly",
    `${path} is read-only: it belongs to a memory that is mounted for reading`,
  );
}

/** What goes wrong in a mounted tree is told with its paths: say where it is. */
async function within<T>(mount: FileMount, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(error.code, `in ${mount.path}: ${error.message}`, { cause: error });
  }
}

/** @param mayBeMissing  something is mounted below it, so it is there in any case */
async function listAround(
  base: FileStore,
  directory: string,
  recursive: boolean,
  mayBeMissing: boolean,
): Promise<FileEntry[]> {
  try {
    return await base.list(directory, recursive);
  } catch (error) {
    if (mayBeMissing && error instanceof UserError && error.code === "not_found") return [];
    throw error;
  }
}

/** The directories from below one down to a mount; the first of them alone unless everything is asked for. */
function directoriesTo(mount: FileMount, directory: string, recursive: boolean): FileEntry[] {
  const start = directory === "/" ? 1 : directory.length + 1;
  const paths: string[] = [];
  for (let end = mount.path.indexOf("/", start); end !== -1; end = mount.path.indexOf("/", end + 1)) {
    paths.push(mount.path.slice(0, end));
  }
  paths.push(mount.path);
  return (recursive ? paths : paths.slice(0, 1)).map((path) =>
    directoryAt(path, path === mount.path && !mount.isWritable),
  );
}

function directoryAt(path: string, isReadonly: boolean): FileEntry {
  const never = new Date(0).toISOString();
  return {
    id: NO_ID,
    path,
    isDirectory: true,
    isReadonly,
    sizeBytes: 0,
    hash: null,
    createdAt: never,
    updatedAt: never,
  };
}
