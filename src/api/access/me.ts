import type { Me, Role } from "../../contract/access.ts";
import { principalOf, type UserRow } from "../../db/access/users.ts";
import { isManager } from "../http/authorize.ts";
import type { Caller } from "../http/identify.ts";
import { iso, present } from "../http/respond.ts";

/**
 * @param membership  null for somebody who belongs to no organization
 * @param may  with what the caller came with; what the role allows for somebody who has just signed in
 */
export function meOf(
  user: UserRow,
  membership: { organization_id: string; role: Role } | null,
  { canWrite, isAdmin }: Pick<Caller, "canWrite" | "isAdmin"> = {
    canWrite: membership !== null && membership.role !== "viewer",
    isAdmin: membership !== null && isManager(membership.role),
  },
): Me {
  return present({
    id: user.id,
    principal_id: principalOf(user.id),
    email: user.email,
    name: user.name,
    avatar_url: user.avatar_url,
    auth_provider: user.auth_provider,
    organization_id: membership?.organization_id ?? null,
    role: membership?.role ?? null,
    roles: membership === null ? [] : [membership.role],
    scopes: ["read", ...(canWrite ? ["write"] : []), ...(isAdmin ? ["admin"] : [])],
    created_at: iso(user.created_at),
  }) as Me;
}
