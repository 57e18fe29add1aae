/** PURE: plans of the changes that the routes make and the tools do not: create, change, move, copy. */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import {
  checkTotals,
  conflict,
  type FilePlan,
  missingParents,
  type NewFile,
  planWrites,
  readonly,
  type Subtree,
  type TreeState,
  unchanged,
} from "./_file-plan.ts";

/** @throws UserError conflict   something stands at the path; limit_exceeded, invalid_request */
export function planCreation(state: TreeState, file: NewFile): FilePlan {
  if (state.entries.has(file.path)) throw conflict(`${file.path} exists already`);
  return planWrites(state, [file], false);
}

/** @throws UserError conflict, limit_exceeded, invalid_request */
export function planDirectory(state: TreeState, path: string, isReadonly: boolean): FilePlan {
  if (path === "/" || state.entries.has(path)) throw conflict(`${path} exists already`);
  const plan = unchanged(state);
  plan.rows = [...missingParents(state.entries, path), { path, isReadonly, bytes: null, hash: null }];
  plan.entryCount += plan.rows.length;
  plan.changes.push({ path, created: true, removed: false, sizeBytes: 0, hash: null });
  checkTotals(state, plan);
  return plan;
}

/** What is to be changed of an entry; null stays. */
export interface EntryUpdate {
  path: string;
  file: Omit<NewFile, "isReadonly"> | null;
  isReadonly: boolean | null;
}

/**
 * A read-only entry is changed only by who takes the mark away in the same breath: a client that writes without
 * looking must not undo the protection.
 *
 * @throws UserError not_found, conflict, file_readonly, limit_exceeded, invalid_request
 */
export function planUpdate(state: TreeState, { path, file, isReadonly }: EntryUpdate): FilePlan {
  if (path === "/") throw new UserError("invalid_request", "the root directory cannot be changed");
  const entry = state.entries.get(path);
  if (!entry) throw new UserError("not_found", `there is nothing at ${path}`);
  if (entry.is_readonly && isReadonly !== false) throw readonly(path);
  if (file !== null) {
    if (entry.is_directory) {
      throw new UserError("invalid_request", `${path} is a directory and has no content`);
    }
    return planWrites(state, [{ ...file, isReadonly: isReadonly ?? entry.is_readonly }], true);
  }
  const plan = unchanged(state);
  plan.mark = { path, isReadonly: isReadonly ?? entry.is_readonly };
  plan.changes.push({
    path,
    created: false,
    removed: false,
    sizeBytes: entry.size_bytes,
    hash: entry.hash,
  });
  return plan;
}

/** @throws UserError not_found, conflict, file_readonly, limit_exceeded, invalid_request */
export function planTransfer(
  state: TreeState,
  transfer: { kind: "move" | "copy"; from: string; to: string },
  below: Subtree,
): FilePlan {
  const { kind, from, to } = transfer;
  const verb = kind === "move" ? "moved" : "copied";
  if (from === "/") throw new UserError("invalid_request", `the root directory cannot be ${verb}`);
  const entry = state.entries.get(from);
  if (!entry) throw new UserError("not_found", `there is nothing at ${from}`);
  if (to === "/" || state.entries.has(to)) throw conflict(`${to} exists already`);
  if (to.startsWith(`${from}/`)) {
    throw new UserError("invalid_request", `${from} cannot be ${verb} into itself`);
  }
  if (below.pathCharsMax + to.length - from.length > limits.pathCharsMax) {
    throw new UserError("invalid_request", `below ${to} a path would be longer than ${limits.pathCharsMax}`);
  }
  if (kind === "move") {
    if (entry.is_readonly) throw readonly(from);
    if (below.readonlyPath !== null) throw readonly(below.readonlyPath);
  }
  const plan = unchanged(state);
  plan.rows = missingParents(state.entries, to);
  plan.transfer = transfer;
  plan.entryCount += plan.rows.length;
  if (kind === "copy") {
    plan.entryCount += 1 + below.entryCount;
    plan.sizeBytes += entry.size_bytes + below.sizeBytes;
  }
  plan.changes.push({
    path: to,
    created: true,
    removed: false,
    sizeBytes: entry.size_bytes,
    hash: entry.hash,
  });
  checkTotals(state, plan);
  return plan;
}
