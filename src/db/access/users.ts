import { newId } from "../../base/id.ts";
import type { Role } from "../../contract/access.ts";
import { assignments } from "../assign.ts";
import type { Db } from "../pool.ts";
import { searchPatterns } from "../search.ts";
import { isUniqueViolation } from "../sqlstate.ts";

/** Who calls a server without authentication; nobody can sign in as this user. */
export const ANONYMOUS_USER = "user_00000000000000000000000000000001";

export interface UserRow {
  id: string;
  email: string;
  name: string;
  avatar_url: string | null;
  auth_provider: string | null;
  is_email_verified: boolean;
  organization_id: string | null;
  created_at: Date;
  updated_at: Date;
}

/** With how the user signs in. */
export interface UserSecretsRow extends UserRow {
  password_hash: string | null;
  /** The OpenID provider's id of the user; null: cannot sign in there. */
  auth_subject: string | null;
}

export interface MemberRow extends UserRow {
  role: Role;
}

const COLUMNS = [
  "id",
  "email",
  "name",
  "avatar_url",
  "auth_provider",
  "is_email_verified",
  "organization_id",
  "created_at",
  "updated_at",
] as const;

/** The principal of a user: who owns sessions and decides. */
export function principalOf(userId: string): string {
  return userId.replace(/^user_/, "principal_");
}

/** The user behind a principal. */
export function userOf(principalId: string): string {
  return principalId.replace(/^principal_/, "user_");
}

/** One spelling for each address. */
export function emailOf(text: string): string {
  return text.trim().toLowerCase();
}

export interface NewUser {
  email: string;
  name: string;
  /** null: cannot sign in with a password. */
  passwordHash: string | null;
  authProvider: string | null;
  authSubject: string | null;
  isEmailVerified: boolean;
}

/**
 * Makes a user, member of an organization that exists.
 *
 * @returns null when the address belongs to a user already
 */
export async function insertMember(
  { sql }: Db,
  user: NewUser,
  membership: { organizationId: string; role: Role },
): Promise<UserRow | null> {
  try {
    const rows = await sql<UserRow[]>`
      with made as (
        insert into users (id, email, name, password_hash, auth_provider, auth_subject, is_email_verified,
                           organization_id)
        values (${newId("user")}, ${emailOf(user.email)}, ${user.name}, ${user.passwordHash}, ${user.authProvider},
                ${user.authSubject}, ${user.isEmailVerified}, ${membership.organizationId})
        returning ${sql(COLUMNS)}
      ), joined as (
        insert into memberships (organization_id, user_id, role)
        select ${membership.organizationId}, made.id, ${membership.role} from made
      )
      select * from made`;
    return rows[0] ?? null;
  } catch (error) {
    if (isUniqueViolation(error)) return null;
    throw error;
  }
}

export async function userByEmail({ sql }: Db, email: string): Promise<UserSecretsRow | null> {
  const rows = await sql<UserSecretsRow[]>`
    select ${sql(COLUMNS)}, password_hash, auth_subject from users where email = ${emailOf(email)} and id <> ${ANONYMOUS_USER}`;
  return rows[0] ?? null;
}

/** Whom an OpenID provider knows under its own id. */
export async function userBySubject({ sql }: Db, provider: string, subject: string): Promise<UserRow | null> {
  const rows = await sql<UserRow[]>`
    select ${sql(COLUMNS)} from users where auth_provider = ${provider} and auth_subject = ${subject}`;
  return rows[0] ?? null;
}

/**
 * Lets a user sign in at an OpenID provider, too.
 *
 * @returns false when the user does so already, as somebody else
 */
export async function linkUser(
  { sql }: Db,
  { userId, provider, subject }: { userId: string; provider: string; subject: string },
): Promise<boolean> {
  const rows = await sql`
    update users set auth_provider = ${provider}, auth_subject = ${subject}, updated_at = now()
     where id = ${userId} and auth_subject is null
    returning id`;
  return rows.length > 0;
}

export async function readUser({ sql }: Db, id: string): Promise<UserRow | null> {
  const rows = await sql<UserRow[]>`select ${sql(COLUMNS)} from users where id = ${id}`;
  return rows[0] ?? null;
}

/** Gives a user another password. Sign-ins that were made with the old one end. */
export async function setPassword({ sql }: Db, userId: string, passwordHash: string): Promise<void> {
  await sql`
    with changed as (
      update users set password_hash = ${passwordHash}, auth_provider = coalesce(auth_provider, 'password'),
             updated_at = now()
       where id = ${userId}
      returning id
    )
    update logins set revoked_at = now() from changed
     where logins.user_id = changed.id and logins.revoked_at is null`;
}

/** Gives an account to whom its address belongs: with their password, without what opened it until now. */
export async function takeOverUser({ sql }: Db, userId: string, passwordHash: string): Promise<void> {
  await sql`
    with taken as (
      update users set password_hash = ${passwordHash}, auth_provider = 'password', auth_subject = null,
             is_email_verified = true, updated_at = now()
       where id = ${userId}
      returning id
    ), without_tokens as (
      update access_tokens set revoked_at = now() from taken
       where access_tokens.user_id = taken.id and access_tokens.revoked_at is null
    )
    update logins set revoked_at = now() from taken
     where logins.user_id = taken.id and logins.revoked_at is null`;
}

/** Makes somebody a member, or gives a member another role. */
export async function putMembership(
  { sql }: Db,
  input: { organizationId: string; userId: string; role: Role },
): Promise<void> {
  await sql`
    insert into memberships (organization_id, user_id, role)
    values (${input.organizationId}, ${input.userId}, ${input.role})
    on conflict (organization_id, user_id) do update set role = excluded.role`;
}

/** The members of an organization, by name; the anonymous user, who cannot sign in, is none. */
export async function listMembers(
  { sql }: Db,
  input: { organizationId: string; search: string | null },
): Promise<MemberRow[]> {
  const columns = COLUMNS.map((name) => `u.${name}`);
  return await sql<MemberRow[]>`
    select ${sql(columns)}, m.role
      from memberships m join users u on u.id = m.user_id
     where m.organization_id = ${input.organizationId} and u.id <> ${ANONYMOUS_USER}
       and concat_ws(' ', u.name, u.email) ilike all (${searchPatterns(input.search)}::text[])
     order by u.name, u.id`;
}

/** @returns the user as it is now, or null when there is none */
export async function updateUser(
  { sql }: Db,
  id: string,
  changes: { name?: string; organization_id?: string; avatar_url?: string },
): Promise<UserRow | null> {
  const set = assignments(sql, changes, {});
  const rows = await sql<UserRow[]>`
    update users set updated_at = now()${set === null ? sql`` : sql`, ${set}`} where id = ${id}
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** Whether anybody can have a credential yet. */
export async function hasUsers({ sql }: Db): Promise<boolean> {
  return (await sql`select from users where id <> ${ANONYMOUS_USER} limit 1`).length > 0;
}

/** Everybody of the installation who can have a credential, by name; for who looks after it. */
export async function listUsers({ sql }: Db): Promise<UserRow[]> {
  return await sql<UserRow[]>`
    select ${sql(COLUMNS)} from users where id <> ${ANONYMOUS_USER} order by name, id`;
}

/** Where a user belongs, oldest membership first. */
export async function membershipsOf(
  { sql }: Db,
  userId: string,
): Promise<{ organization_id: string; role: Role }[]> {
  return await sql<{ organization_id: string; role: Role }[]>`
    select organization_id, role from memberships where user_id = ${userId} order by created_at, organization_id`;
}

/**
 * The membership that a request of the user is for: in this organization, else in the one they switched to, else the
 * first.
 */
export async function membershipOf(
  db: Db,
  user: Pick<UserRow, "id" | "organization_id">,
  organizationId: string | null,
): Promise<{ organization_id: string; role: Role } | null> {
  const all = await membershipsOf(db, user.id);
  const at = (id: string | null) => all.find(({ organization_id }) => organization_id === id);
  if (organizationId !== null) return at(organizationId) ?? null;
  return at(user.organization_id) ?? all[0] ?? null;
}

/**
 * Deletes a user with memberships, tokens and sign-ins.
 *
 * @returns false when the user is the only owner of an organization with other members
 */
export async function deleteUser({ sql }: Db, id: string): Promise<boolean> {
  const rows = await sql`
    delete from users
     where id = ${id}
       and not exists (
         select from memberships own
          where own.user_id = users.id and own.role = 'owner'
            and exists (select from memberships m
                         where m.organization_id = own.organization_id and m.user_id <> users.id
                           and m.user_id <> ${ANONYMOUS_USER})
            and not exists (select from memberships m
                             where m.organization_id = own.organization_id and m.user_id <> users.id
                               and m.user_id <> ${ANONYMOUS_USER} and m.role = 'owner'))
    returning id`;
  return rows.length > 0;
}
