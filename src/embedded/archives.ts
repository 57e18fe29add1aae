/**
 * The two archives that scripts/pack-postgres.ts makes. Inside the executable the paths are embedded ones; they
 * are read only on a first start.
 */
import clusterPath from "./archive/cluster.tar.zst" with { type: "file" };
import programId from "./archive/program.id" with { type: "text" };
import programPath from "./archive/program.tar.zst" with { type: "file" };

export const archives = {
  /** Names the program's content, for example `18.4-linux-x64-a7b8808f9c84`; `none` where there is no build. */
  programId: programId.trim(),
  programPath,
  clusterPath,
} as const;
