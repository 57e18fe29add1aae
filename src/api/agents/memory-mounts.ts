import { UserError } from "../../base/errors.ts";
import type { CapabilityConfig } from "../../contract/common.ts";
import { findTrees } from "../../db/files/trees.ts";
import type { Db } from "../../db/pool.ts";

/**
 * The memories that a layer mounts are there, and can be used so. What becomes of them later is seen when a turn uses
 * them: an archived one is only read, a deleted one is an empty directory.
 *
 * @param capabilities  checked by the catalog already
 * @throws UserError invalid_request
 */
export async function requireMemories(
  db: Db,
  organizationId: string,
  capabilities: readonly CapabilityConfig[],
): Promise<void> {
  const mounts = capabilities.flatMap(({ ref, config }) =>
    ref === "memory"
      ? ((config as { mounts?: { memory: string; mode?: string }[] } | null)?.mounts ?? [])
      : [],
  );
  if (mounts.length === 0) return;
  const ids = mounts.map((mount) => mount.memory);
  const trees = new Map((await findTrees(db, organizationId, "memory", ids)).map((tree) => [tree.id, tree]));
  for (const { memory, mode } of mounts) {
    const tree = trees.get(memory);
    if (!tree) throw new UserError("invalid_request", `capabilities: there is no memory ${memory}`);
    if (tree.status === "archived") {
      throw new UserError("invalid_request", `capabilities: the memory ${tree.name} is archived`);
    }
    if (mode === "readwrite" && tree.source !== null) {
      throw new UserError(
        "invalid_request",
        `capabilities: the files of the memory ${tree.name} come from its source; mount it readonly`,
      );
    }
  }
}
