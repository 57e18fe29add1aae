/** Who a credential belongs to: one indexed read for each request, so that what is revoked is refused at once. */
import type { Role, Scope } from "../../contract/access.ts";
import type { Db } from "../pool.ts";

/** The user behind a credential, in the organization that the request is for. */
export interface CallerRow {
  user_id: string;
  email: string;
  /** null: the request names none, and the credential does not say which. */
  organization_id: string | null;
  /** null: the user does not belong to that organization. */
  role: Role | null;
}

export interface TokenCallerRow extends CallerRow {
  token_id: string;
  scopes: Scope[];
  organization_ids: string[];
  /** When the last use was noted is so long ago that it should be noted again. */
  expires_at: Date | null;
  is_use_due: boolean;
}

/**
 * The caller with an access token. A token of one organization says which; one of several does not.
 *
 * @param organizationId  what the request asks for, or null
 * @returns null when there is no such token, or it is revoked or expired
 */
export async function callerByToken(
  { sql }: Db,
  tokenHash: Uint8Array,
  organizationId: string | null,
): Promise<TokenCallerRow | null> {
  const rows = await sql<TokenCallerRow[]>`
    select t.id as token_id, t.user_id, u.email, t.scopes, t.organization_ids, t.expires_at, wanted.id as organization_id, m.role,
           (t.last_used_at is null or t.last_used_at < now() - interval '1 minute') as is_use_due
      from access_tokens t
      join users u on u.id = t.user_id
      cross join lateral (
        select coalesce(${organizationId}::text,
                        case when cardinality(t.organization_ids) = 1 then t.organization_ids[1] end) as id
      ) wanted
      left join memberships m
        on m.user_id = t.user_id and m.organization_id = wanted.id and wanted.id = any(t.organization_ids)
     where t.token_hash = ${tokenHash} and t.revoked_at is null
       and (t.expires_at is null or t.expires_at > now())`;
  return rows[0] ?? null;
}

/** Notes that a token was used, at most once a minute whoever asks. */
export async function noteTokenUse({ sql }: Db, tokenId: string): Promise<void> {
  await sql`
    update access_tokens set last_used_at = now()
     where id = ${tokenId} and (last_used_at is null or last_used_at < now() - interval '1 minute')`;
}

/**
 * The caller who signed in. Without an organization in the request it is the one that the user switched to, else the
 * first that the user belongs to.
 *
 * @returns null when the sign-in is over
 */
export async function callerByLogin(
  { sql }: Db,
  loginId: string,
  organizationId: string | null,
): Promise<CallerRow | null> {
  const rows = await sql<CallerRow[]>`
    select u.id as user_id, u.email, wanted.id as organization_id, m.role
      from logins l
      join users u on u.id = l.user_id
      cross join lateral (
        select coalesce(
          ${organizationId}::text,
          (select o.organization_id from memberships o
            where o.user_id = u.id
            order by o.organization_id = u.organization_id desc nulls last, o.created_at, o.organization_id
            limit 1)
        ) as id
      ) wanted
      left join memberships m on m.user_id = u.id and m.organization_id = wanted.id
     where l.id = ${loginId} and l.revoked_at is null and l.expires_at > now()`;
  return rows[0] ?? null;
}

/**
 * The caller with a token of one session: as long as the credential lives that it was made with.
 *
 * @param grant.madeBy  id of an access token or of a sign-in
 */
export async function callerBySessionGrant(
  { sql }: Db,
  grant: { userId: string; organizationId: string; madeBy: string },
): Promise<CallerRow | null> {
  const rows = await sql<CallerRow[]>`
    select u.id as user_id, u.email, m.organization_id, m.role
      from users u
      join memberships m on m.user_id = u.id and m.organization_id = ${grant.organizationId}
     where u.id = ${grant.userId}
       and (exists (select from logins l
                     where l.id = ${grant.madeBy} and l.user_id = u.id
                       and l.revoked_at is null and l.expires_at > now())
            or exists (select from access_tokens t
                        where t.id = ${grant.madeBy} and t.user_id = u.id
                          and t.revoked_at is null and (t.expires_at is null or t.expires_at > now())))`;
  return rows[0] ?? null;
}
