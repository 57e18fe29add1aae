import type { ApiDeps } from "../deps.ts";
import type { Route } from "../http/route.ts";
import { workspaceFileRoutes } from "./file-routes.ts";
import { imageRoutes } from "./images.ts";
import { memoryRoutes } from "./memories.ts";
import { memoryFileRoutes } from "./memory-files.ts";
import { createSharedFiles } from "./shared-files.ts";
import { workspaceRoutes } from "./workspaces.ts";

/** Workspaces and memories with their files, and images. */
export function fileRoutes(deps: Pick<ApiDeps, "db">): Route[] {
  const shared = createSharedFiles(deps.db);
  return [
    ...workspaceRoutes(deps),
    ...workspaceFileRoutes(deps, shared),
    ...memoryRoutes(deps),
    ...memoryFileRoutes(deps, shared),
    ...imageRoutes(deps),
  ];
}
