/** Files that a command writes where a person said. */
import { mkdirSync, writeFileSync } from "node:fs";
import { UserError } from "../../src/base/errors.ts";

/** What was there is replaced. @throws UserError file_unwritable */
export function writeOutput(path: string, content: string | Uint8Array): void {
  attempt(path, () => writeFileSync(path, content));
}

/** With the folders above it; nothing when it is there. @throws UserError file_unwritable */
export function makeFolder(path: string): void {
  attempt(path, () => mkdirSync(path, { recursive: true }));
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "not allowed",
  EPERM: "not allowed",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  EISDIR: "a folder of this name is there",
  EEXIST: "a file of this name is there",
  ENOTDIR: "a part of the path is a file",
  ENOENT: "the folder is not there",
};

function attempt(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code = "" } = error as { code?: string };
    const reason = REASONS[code];
    if (reason === undefined) throw error;
    throw new UserError("file_unwritable", `${path} cannot be written: ${reason}`);
  }
}
