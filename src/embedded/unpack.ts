/** Unpacking of the program and of a new cluster: into a temporary name, made whole, then renamed. */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { chmod, chown, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TerminalError } from "../base/errors.ts";
import { archives } from "./archives.ts";
import type { Identity, Layout } from "./layout.ts";
import { EMPTY_DIRECTORIES_FILE } from "./names.ts";

/** Whether both are there. */
export function isUnpacked(layout: Layout): boolean {
  return existsSync(layout.programDir) && existsSync(layout.clusterDir);
}

/**
 * Unpacks what is missing. The caller holds the start lock.
 *
 * @param isDurable       whether to wait until every file is on disk: after a power cut a rename may have happened
 *                        and the contents not
 * @throws TerminalError  the disk is full, or does not let us write
 */
export async function unpack(layout: Layout, isDurable: boolean): Promise<void> {
  const parts = await Promise.allSettled([
    unpackProgram(layout, isDurable),
    unpackCluster(layout, isDurable),
  ]);
  for (const part of parts) {
    if (part.status === "fulfilled") continue;
    throw new TerminalError("embedded_failed", `cannot unpack PostgreSQL into ${layout.home}`, {
      cause: part.reason,
    });
  }
}

async function unpackProgram(layout: Layout, isDurable: boolean): Promise<void> {
  if (existsSync(layout.programDir)) return;
  const temporary = `${layout.programDir}.new`;
  await extract(archives.programPath, temporary);
  // Explicit modes: the umask may be anything, and the server's user must be able to read and run it.
  await eachEntry(temporary, (path, isDirectory) =>
    chmod(path, isDirectory || isExecutable(path) ? 0o755 : 0o644),
  );
  await settle(temporary, layout.programDir, isDurable);
}

async function unpackCluster(layout: Layout, isDurable: boolean): Promise<void> {
  if (existsSync(layout.clusterDir)) return;
  const temporary = `${layout.clusterDir}.new`;
  await extract(archives.clusterPath, temporary);
  const list = join(temporary, EMPTY_DIRECTORIES_FILE);
  for (const name of readFileSync(list, "utf8").split("\n").filter(Boolean)) {
    await mkdir(join(temporary, name), { recursive: true });
  }
  await rm(list);
  await eachEntry(temporary, (path, isDirectory) => handOver(path, isDirectory, layout.identity));
  await settle(temporary, layout.clusterDir, isDurable);
}

/** Removes programs of other releases. Only when no server runs: a running one loads libraries from its own. */
export function removeOldPrograms(layout: Layout): void {
  for (const name of readdirSync(layout.home)) {
    const isOld = name.startsWith("program-") && join(layout.home, name) !== layout.programDir;
    if (isOld) rmSync(join(layout.home, name), { recursive: true, force: true });
  }
}

async function extract(archivePath: string, directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const tar = await Bun.zstdDecompress(await Bun.file(archivePath).bytes());
  await new Bun.Archive(tar).extract(directory);
}

/** Gives a complete directory its final name. */
async function settle(temporary: string, final: string, isDurable: boolean): Promise<void> {
  if (isDurable) await eachEntry(temporary, sync);
  await rename(temporary, final);
  if (isDurable) await sync(dirname(final));
}

async function handOver(path: string, isDirectory: boolean, identity: Identity): Promise<void> {
  await chmod(path, isDirectory ? 0o700 : 0o600);
  if (identity.isOther) await chown(path, identity.uid, identity.gid);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Visits everything below `root`, then `root` itself; the entries of one directory at the same time. */
async function eachEntry(
  root: string,
  visit: (path: string, isDirectory: boolean) => Promise<void>,
): Promise<void> {
  const entries = await readdir(root, { withFileTypes: true });
  await Promise.all(
    entries.map((entry) => {
      const path = join(root, entry.name);
      return entry.isDirectory() ? eachEntry(path, visit) : visit(path, false);
    }),
  );
  await visit(root, true);
}

function isExecutable(path: string): boolean {
  return basename(dirname(path)) === "bin";
}
