import { UserError } from "../../base/errors.ts";
import type { Role, SessionRight } from "../../contract/access.ts";
import { type Caller, DEFAULT_ORGANIZATION, READ_METHODS } from "./identify.ts";

/**
 * Who may use a route.
 *
 *   read      every member of the organization
 *   write     members who may change its resources: all but viewers
 *   self      every member, for what is theirs: their profile, their tokens
 *   admin     admins of the organization
 *   operator  admins of the first organization: what belongs to the installation as a whole
 */
export type Access = "read" | "write" | "self" | "admin" | "operator";

/** What decides about a route. */
export interface Guarded {
  method: string;
  /** By default `read` for GET, else `write`. */
  access?: Access | "public";
  /** Which right of a token of one session opens this route of that session; none when absent. */
  sessionRight?: SessionRight;
}

/** @throws UserError forbidden; not_found for another session than the token is for */
export function authorize(route: Guarded, caller: Caller, params: Readonly<Record<string, string>>): void {
  const { credential } = caller;
  if (credential.kind === "session") {
    if (route.sessionRight === undefined || !credential.rights.includes(route.sessionRight)) {
      throw new UserError("forbidden", "this token is for one session and does not open this");
    }
    if (params.session_id !== credential.sessionId) throw new UserError("not_found", "Session not found");
    if (route.sessionRight !== "read") requireWriter(caller);
    return;
  }
  const access = route.access ?? (READ_METHODS.has(route.method) ? "read" : "write");
  if (access === "write") requireWriter(caller);
  if (access === "self" && credential.kind === "token" && !mayWrite(credential.scopes)) {
    throw new UserError("forbidden", "this token may only read");
  }
  if ((access === "admin" || access === "operator") && !caller.isAdmin) {
    throw new UserError(
      "forbidden",
      credential.kind === "token" && isManager(caller.role)
        ? "this token has not the scope admin; make one that has"
        : "only an admin of the organization may do this",
    );
  }
  if (access === "operator" && caller.organizationId !== DEFAULT_ORGANIZATION) {
    throw new UserError("forbidden", "only who looks after the whole installation may do this");
  }
}

/** Manages the organization, as far as the role goes. */
export const isManager = (role: Role): boolean => role === "owner" || role === "admin";

function requireWriter({ canWrite, role }: Caller): void {
  if (canWrite) return;
  throw new UserError(
    "forbidden",
    role === "viewer" ? "a viewer of the organization may only read" : "this token may only read",
  );
}

export const mayWrite = (scopes: readonly string[]): boolean =>
  scopes.includes("write") || scopes.includes("admin");

/** What `GET /v1/{resource}/config` tells a user interface. @param mayChange  who may make and change the resource */
export const policiesFor = (mayChange: boolean, { isAdmin }: Caller): Record<string, boolean> => ({
  create: mayChange,
  update: mayChange,
  delete: mayChange,
  manage: isAdmin,
});
