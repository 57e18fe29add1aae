/** What the routes of workspaces and of memories share: one of each a process. */
import { UserError } from "../../base/errors.ts";
import { createSemaphore, type Semaphore } from "../../base/semaphore.ts";
import { createFileTrees } from "../../db/files/file-tree.ts";
import type { Db } from "../../db/pool.ts";
import { createFileSearch, type FileSearch } from "./file-search.ts";

/** Contents that lie in memory whole at the same time, as text and as JSON; downloads go out in pieces. */
const CONTENTS_AT_ONCE = 4;

export interface SharedFiles {
  treesOf: ReturnType<typeof createFileTrees>;
  /** Held while a content is read whole, or written. */
  contents: Semaphore;
  search: FileSearch;
}

export function createSharedFiles(db: Db): SharedFiles {
  return {
    treesOf: createFileTrees(db),
    contents: createSemaphore(CONTENTS_AT_ONCE),
    search: createFileSearch(),
  };
}

/** Does it under the permit, which is given back whatever happens. */
export async function holding<T>(contents: Semaphore, act: () => Promise<T>): Promise<T> {
  const release = await contents.acquire();
  try {
    return await act();
  } finally {
    release();
  }
}

export const noEntry = (path: string) =>
  new UserError("not_found", `there is nothing at ${JSON.stringify(path.slice(0, 200))}`);
