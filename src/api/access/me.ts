import type { Me, Role } from "../../contract/access.ts";
import { principalOf, type UserRow } from "../../db/access/users.ts";
import { iso, present } from "../http/respond.ts";

/** @param membership  null for somebody who belongs to no organization */
export function meOf(user: UserRow, membership: { organization_id: string; role: Role } | null): Me {
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
    created_at: iso(user.created_at),
  }) as Me;
}
