import { accessTokenHash, accessTokenHint, newAccessToken } from "../../base/access-token.ts";
import { newId } from "../../base/id.ts";
import type { Scope } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";

export interface AccessTokenRow {
  id: string;
  user_id: string;
  name: string;
  token_prefix: string;
  scopes: Scope[];
  organization_ids: string[];
  expires_at: Date | null;
  last_used_at: Date | null;
  revoked_at: Date | null;
  created_at: Date;
}

const COLUMNS = [
  "id",
  "user_id",
  "name",
  "token_prefix",
  "scopes",
  "organization_ids",
  "expires_at",
  "last_used_at",
  "revoked_at",
  "created_at",
] as const;

/**
 * Makes a token. Every organization must be one that the user belongs to.
 *
 * @returns the row and the token, which is stored nowhere; or why there is none
 */
export async function insertAccessToken(
  { sql }: Db,
  input: {
    userId: string;
    name: string;
    scopes: readonly Scope[];
    organizationIds: readonly string[];
    expiresAt: Date | null;
    /** Id of the token with which it is made, and is revoked; null: a sign-in, or the operator. */
    madeWith: string | null;
  },
): Promise<{ token: string; row: AccessTokenRow } | "too_many" | "no_such_organization"> {
  const token = newAccessToken();
  const organizationIds = [...new Set(input.organizationIds)];
  const rows = await sql<AccessTokenRow[]>`
    insert into access_tokens (id, user_id, name, token_hash, token_prefix, scopes, organization_ids, expires_at,
                               made_with)
    select ${newId("pat")}, u.id, ${input.name}, ${accessTokenHash(token)}, ${accessTokenHint(token)},
           ${[...new Set(input.scopes)]}::text[], ${organizationIds}::text[], ${input.expiresAt}::timestamptz,
           ${input.madeWith}::text
      from users u
     where u.id = ${input.userId}
       and (select count(*) from memberships m
             where m.user_id = u.id and m.organization_id = any(${organizationIds}::text[])) = ${organizationIds.length}
       and (select count(*) from access_tokens t
             where t.user_id = u.id and t.revoked_at is null
               and (t.expires_at is null or t.expires_at > now())) < ${limits.accessTokensPerUserMax}
    returning ${sql(COLUMNS)}`;
  const row = rows[0];
  if (row) return { token, row };
  const [counted] = await sql<{ member: number }[]>`
    select count(*) as member from memberships
     where user_id = ${input.userId} and organization_id = any(${organizationIds}::text[])`;
  return counted?.member === organizationIds.length ? "too_many" : "no_such_organization";
}

/**
 * Tokens that are not revoked, newest first.
 *
 * @param of  a user's own, with `within` those alone that open nothing else; or an organization's, whoever made them
 */
export async function listAccessTokens(
  { sql }: Db,
  of: { userId: string; within?: readonly string[] | null } | { organizationId: string },
): Promise<AccessTokenRow[]> {
  return await sql<AccessTokenRow[]>`
    select ${sql(COLUMNS)} from access_tokens
     where revoked_at is null
       and ${
         "userId" in of
           ? sql`user_id = ${of.userId} and organization_ids <@ coalesce(${of.within ? [...of.within] : null}::text[], organization_ids)`
           : sql`organization_ids @> array[${of.organizationId}]`
       }
     order by created_at desc, id desc
     limit 1000`;
}

/**
 * Revokes a token, and what was made with it, at once and for good.
 *
 * @param by.within          organizations that the user's own token may open at most; null: any
 * @param by.organizationId  of an admin, who may revoke whatever opens it; null for anybody else
 * @returns false when there is no such token, it is another's, or it was revoked before
 */
export async function revokeAccessToken(
  { sql }: Db,
  id: string,
  by: { userId: string; organizationId: string | null; within?: readonly string[] | null },
): Promise<boolean> {
  const within = by.within ? [...by.within] : null;
  const rows = await sql`
    with recursive family as (
      select id from access_tokens
       where id = ${id} and revoked_at is null
         and ((user_id = ${by.userId} and organization_ids <@ coalesce(${within}::text[], organization_ids))
              or organization_ids @> array[${by.organizationId}::text])
      union
      select made.id from access_tokens made join family on made.made_with = family.id
    )
    update access_tokens set revoked_at = now() from family
     where access_tokens.id = family.id and revoked_at is null
    returning access_tokens.id`;
  return rows.length > 0;
}
