/** What workspaces and memories have in common on the way in. */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { type TreeKind, treeIdOfName } from "../../db/files/trees.ts";
import type { Db } from "../../db/pool.ts";
import { requireBytes } from "../agents/layer.ts";
import { nameTaken } from "../http/respond.ts";

/** Any text that can be read; without white space around. @throws UserError invalid_request */
export function requireTreeName(name: string): string {
  const trimmed = name.trim();
  if (trimmed === "") throw new UserError("invalid_request", "name: it is empty");
  if (/\p{Cc}/u.test(trimmed)) throw new UserError("invalid_request", "name: it has a control character");
  return trimmed;
}

/** @throws UserError limit_exceeded */
export function requireDescription(description: string | null | undefined): string | null {
  requireBytes("description", description, limits.descriptionBytesMax);
  return description ?? null;
}

/** 409, with the way to the one that has the name. */
export async function treeNameTaken(
  db: Db,
  organizationId: string,
  kind: TreeKind,
  name: string,
): Promise<UserError> {
  const holder = await treeIdOfName(db, organizationId, kind, name);
  const path = kind === "workspace" ? "/workspaces" : "/memories";
  return nameTaken(kind, name, path, holder);
}
