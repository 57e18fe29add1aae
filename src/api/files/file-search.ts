import { baseName } from "../../base/path.ts";
import { createSemaphore } from "../../base/semaphore.ts";
import { compileGlob, type GrepResult, grep, relativeTo } from "../../capabilities/file-search.ts";
import type { FileEntry } from "../../contract/file-store.ts";
import type { FileTree } from "../../db/files/file-tree.ts";

const MATCHES_MAX = 1_000;
/** Each may work for a second or two, in small turns; the others wait. */
const SEARCHES_AT_ONCE = 2;

/** @throws UserError invalid_request   the pattern */
export type FileSearch = (
  files: Pick<FileTree, "list" | "readMany">,
  query: { pattern: string; path_pattern?: string | null },
  signal: AbortSignal,
) => Promise<GrepResult & { entries: ReadonlyMap<string, FileEntry> }>;

/** Make it once a process: it bounds what all searches take together. */
export function createFileSearch(): FileSearch {
  const searches = createSemaphore(SEARCHES_AT_ONCE);
  return async (files, query, signal) => {
    const isWanted = pathTest(query.path_pattern ?? "");
    const release = await searches.acquire();
    try {
      signal.throwIfAborted();
      const entries = (await files.list("/", true)).filter(
        (entry) => !entry.isDirectory && isWanted(entry.path),
      );
      const result = await grep(
        { files, signal },
        {
          pattern: query.pattern,
          isLiteral: false,
          ignoreCase: false,
          matchesMax: MATCHES_MAX,
          files: entries,
        },
      );
      return { ...result, entries: new Map(entries.map((entry) => [entry.path, entry])) };
    } finally {
      release();
    }
  };
}

/** A glob of the whole path, or of the name alone when it has no `/`; a plain text is looked for in the path. */
function pathTest(pattern: string): (path: string) => boolean {
  if (!/[*?[{]/.test(pattern)) return (path) => path.includes(pattern);
  const matches = compileGlob(pattern);
  return pattern.includes("/") ? (path) => matches(relativeTo("/", path)) : (path) => matches(baseName(path));
}
