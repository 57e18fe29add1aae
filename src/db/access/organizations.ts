import { newId } from "../../base/id.ts";
import type { Role } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import { assignments } from "../assign.ts";
import type { Db } from "../pool.ts";
import { isUniqueViolation } from "../sqlstate.ts";
import { emailOf, type NewUser } from "./users.ts";

export interface OrganizationRow {
  id: string;
  /** As a plain number, where the contract wants one. */
  number: number;
  name: string;
  default_model_id: string | null;
  default_harness_id: string | null;
  base_harness_id: string | null;
  default_provider_per_service: Record<string, string>;
  onboarding_completed_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

/** As a member sees it. */
export interface OwnOrganizationRow extends OrganizationRow {
  role: Role;
}

const COLUMNS = [
  "id",
  "number",
  "name",
  "default_model_id",
  "default_harness_id",
  "base_harness_id",
  "default_provider_per_service",
  "onboarding_completed_at",
  "created_at",
  "updated_at",
] as const;

const OWN_COLUMNS = COLUMNS.map((name) => `o.${name}`);

/** Those that a user belongs to, oldest membership first. */
export async function listOrganizations({ sql }: Db, userId: string): Promise<OwnOrganizationRow[]> {
  return await sql<OwnOrganizationRow[]>`
    select ${sql(OWN_COLUMNS)}, m.role
      from memberships m join organizations o on o.id = m.organization_id
     where m.user_id = ${userId}
     order by m.created_at, o.id`;
}

/** @returns null when there is none or the user does not belong to it */
export async function readOrganization(
  { sql }: Db,
  userId: string,
  id: string,
): Promise<OwnOrganizationRow | null> {
  const rows = await sql<OwnOrganizationRow[]>`
    select ${sql(OWN_COLUMNS)}, m.role
      from memberships m join organizations o on o.id = m.organization_id
     where m.user_id = ${userId} and o.id = ${id}`;
  return rows[0] ?? null;
}

/**
 * Makes an organization that the user owns.
 *
 * @returns null when the user owns as many as allowed
 */
export async function insertOrganization(
  { sql }: Db,
  input: { userId: string; name: string },
): Promise<OwnOrganizationRow | null> {
  const rows = await sql<OwnOrganizationRow[]>`
    with made as (
      insert into organizations (id, name)
      select ${newId("org")}, ${input.name}
       where (select count(*) from memberships where user_id = ${input.userId} and role = 'owner')
             < ${limits.organizationsPerUserMax}
      returning ${sql(COLUMNS)}
    ), joined as (
      insert into memberships (organization_id, user_id, role)
      select made.id, ${input.userId}, 'owner' from made
    )
    select *, 'owner' as role from made`;
  return rows[0] ?? null;
}

/**
 * Makes a user with an organization of their own.
 *
 * @returns null when the address belongs to a user already
 */
export async function insertFounder(
  { sql }: Db,
  user: NewUser,
): Promise<{ userId: string; organizationId: string } | null> {
  const [userId, organizationId] = [newId("user"), newId("org")];
  try {
    await sql`
      with organization as (
        insert into organizations (id, name) values (${organizationId}, ${user.name})
      ), made as (
        insert into users (id, email, name, password_hash, auth_provider, auth_subject, is_email_verified,
                           organization_id)
        values (${userId}, ${emailOf(user.email)}, ${user.name}, ${user.passwordHash}, ${user.authProvider},
                ${user.authSubject}, ${user.isEmailVerified}, ${organizationId})
      )
      insert into memberships (organization_id, user_id, role) values (${organizationId}, ${userId}, 'owner')`;
    return { userId, organizationId };
  } catch (error) {
    if (isUniqueViolation(error)) return null;
    throw error;
  }
}

export type OrganizationChanges = Partial<
  Pick<
    OrganizationRow,
    | "name"
    | "default_model_id"
    | "default_harness_id"
    | "base_harness_id"
    | "default_provider_per_service"
    | "onboarding_completed_at"
  >
>;

export async function updateOrganization(
  { sql }: Db,
  id: string,
  changes: OrganizationChanges,
): Promise<OrganizationRow | null> {
  const set = assignments(sql, changes, { default_provider_per_service: "json" });
  const rows = await sql<OrganizationRow[]>`
    update organizations set updated_at = now()${set === null ? sql`` : sql`, ${set}`} where id = ${id}
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** Marks that the first steps were taken; the first time counts. */
export async function completeOnboarding({ sql }: Db, id: string): Promise<OrganizationRow | null> {
  const rows = await sql<OrganizationRow[]>`
    update organizations
       set onboarding_completed_at = coalesce(onboarding_completed_at, now()), updated_at = now()
     where id = ${id}
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** Where the rows of a kind of id stand. */
const TABLES: Readonly<Record<string, string>> = {
  agent: "agents",
  budget: "budgets",
  harness: "harnesses",
  model: "models",
  prov: "providers",
  session: "sessions",
  turn: "runs",
};

/**
 * Which of the user's organizations something belongs to.
 *
 * @param id  of an organization or of what one has
 * @returns null when there is no such thing, or it belongs to an organization of others
 */
export async function organizationOf(
  { sql }: Db,
  userId: string,
  id: string,
): Promise<{ id: string; name: string } | null> {
  const prefix = id.slice(0, id.indexOf("_"));
  const table = TABLES[prefix];
  if (prefix !== "org" && table === undefined) return null;
  const owner =
    table === undefined ? sql`${id}` : sql`(select organization_id from ${sql(table)} where id = ${id})`;
  const rows = await sql<{ id: string; name: string }[]>`
    select o.id, o.name from organizations o
      join memberships m on m.organization_id = o.id and m.user_id = ${userId}
     where o.id = ${owner}`;
  return rows[0] ?? null;
}

/** What can stand in an organization's settings: whether each id is there for it to use. */
export async function areProviders(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<boolean> {
  const wanted = [...new Set(ids)];
  const rows = await sql<{ found: number }[]>`
    select count(*) as found from providers
     where organization_id = ${organizationId} and id = any(${wanted}::text[])`;
  return rows[0]?.found === wanted.length;
}
