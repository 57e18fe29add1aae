import type { Role } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";
import { ANONYMOUS_USER, emailOf } from "./users.ts";

export interface MembershipRow {
  organization_id: string;
  user_id: string;
  email: string;
  name: string;
  avatar_url: string | null;
  role: Role;
}

/** Why a membership is as it was. */
export type Unchanged = "no_such_user" | "unproven_address" | "member_already" | "too_many" | "last_owner";

/**
 * Lets somebody who has an account into an organization. An address names an account only when that has proved that
 * the address is its own: anybody may have registered with it.
 */
export async function addMember(
  { sql }: Db,
  input: { organizationId: string; user: { email: string } | { id: string }; role: Role },
): Promise<MembershipRow | Unchanged> {
  const { organizationId, user } = input;
  const rows = await sql<(MembershipRow & { outcome: "added" | Unchanged })[]>`
    with person as (
      select id, email, name, avatar_url, ${"id" in user} or is_email_verified as is_known
        from users
       where ${"id" in user ? sql`id = ${user.id}` : sql`email = ${emailOf(user.email)}`} and id <> ${ANONYMOUS_USER}
    ), room as (
      select count(*) < ${limits.membersPerOrganizationMax} as is_there
        from memberships where organization_id = ${organizationId}
    ), added as (
      insert into memberships (organization_id, user_id, role)
      select ${organizationId}, person.id, ${input.role} from person, room where room.is_there and person.is_known
      on conflict do nothing
      returning user_id
    )
    select ${organizationId}::text as organization_id, person.id as user_id, person.email, person.name, person.avatar_url,
           ${input.role}::text as role,
           case when not person.is_known then 'unproven_address'
                when exists (select from added) then 'added'
                when exists (select from memberships m
                              where m.organization_id = ${organizationId} and m.user_id = person.id)
                then 'member_already' else 'too_many' end as outcome
      from person`;
  const row = rows[0];
  if (!row) return "no_such_user";
  const { outcome, ...member } = row;
  return outcome === "added" ? member : outcome;
}

/** What the user is in the organization; null for somebody who does not belong to it. */
export async function readMembership(
  { sql }: Db,
  organizationId: string,
  userId: string,
): Promise<MembershipRow | null> {
  const rows = await sql<MembershipRow[]>`
    select m.organization_id, m.user_id, u.email, u.name, u.avatar_url, m.role
      from memberships m join users u on u.id = m.user_id
     where m.organization_id = ${organizationId} and m.user_id = ${userId} and u.id <> ${ANONYMOUS_USER}`;
  return rows[0] ?? null;
}

/**
 * Gives a member another role, or with null takes them out. Owners are locked first: of two who leave at once, the
 * second sees that the first has left.
 *
 * @returns false when the last owner would go
 */
export async function changeMembership(
  { sql }: Db,
  input: { organizationId: string; userId: string; role: Role | null },
): Promise<boolean> {
  const { organizationId, userId, role } = input;
  const owners = sql`
    owners as (
      select user_id from memberships
       where organization_id = ${organizationId} and role = 'owner' and user_id <> ${ANONYMOUS_USER}
       order by user_id
         for update
    )`;
  const isSafe = sql`
    (not exists (select from owners where user_id = ${userId})
     or ${role === "owner"} or (select count(*) from owners) > 1)`;
  const rows =
    role === null
      ? await sql`
          with ${owners}
          delete from memberships
           where organization_id = ${organizationId} and user_id = ${userId} and ${isSafe}
          returning user_id`
      : await sql`
          with ${owners}
          update memberships set role = ${role}
           where organization_id = ${organizationId} and user_id = ${userId} and ${isSafe}
          returning user_id`;
  return rows.length > 0;
}
