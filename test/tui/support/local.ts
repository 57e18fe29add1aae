/** A machine for the chat that is no machine: files and history in memory. */
import type { LocalFile, LocalFiles, TypedHistory } from "../../../src/tui/local.ts";

export interface MemoryFiles extends LocalFiles {
  /** What there is to attach, by path. */
  readable: Map<string, LocalFile>;
  /** What was written, by path. */
  written: Map<string, string>;
}

export function memoryFiles(): MemoryFiles {
  const readable = new Map<string, LocalFile>();
  const written = new Map<string, string>();
  return {
    readable,
    written,
    read: async (path) => readable.get(path) ?? null,
    exists: (path) => written.has(path),
    async write(path, text) {
      written.set(path, text);
      return `/here/${path}`;
    },
    complete: (path) => [...readable.keys()].filter((each) => each.startsWith(path)),
  };
}

export function memoryHistory(entries: readonly string[] = []): TypedHistory & { added: string[] } {
  const added: string[] = [];
  return { entries, added, add: (text) => void added.push(text) };
}
