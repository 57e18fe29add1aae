/** Accounts of users with other services: of one user in one organization, nobody else's. */
import { sealPlace } from "../../base/seal.ts";
import type { Db } from "../pool.ts";

export interface ConnectionOwner {
  organizationId: string;
  userId: string;
}

/** Without the key: no reader of this row can show it. */
export interface ConnectionRow {
  provider: string;
  provider_username: string | null;
  scopes: string | null;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = ["provider", "provider_username", "scopes", "created_at", "updated_at"] as const;

/** @param provider  without `/` */
export const connectionKeyPlace = ({ organizationId, userId }: ConnectionOwner, provider: string) =>
  sealPlace({
    tenant: organizationId,
    table: "connections",
    row: `${userId}:${provider}`,
    column: "api_key_sealed",
  });

/** By provider. */
export async function listConnections({ sql }: Db, owner: ConnectionOwner): Promise<ConnectionRow[]> {
  return await sql<ConnectionRow[]>`
    select ${sql(COLUMNS)} from connections
     where organization_id = ${owner.organizationId} and user_id = ${owner.userId}
     order by provider`;
}

/** Makes the connection, or gives it another key: what was known of the old one's account is forgotten. */
export async function putConnection(
  { sql }: Db,
  owner: ConnectionOwner,
  input: { provider: string; apiKeySealed: string; providerUsername: string | null },
): Promise<ConnectionRow> {
  const rows = await sql<ConnectionRow[]>`
    insert into connections (organization_id, user_id, provider, api_key_sealed, provider_username)
    values (${owner.organizationId}, ${owner.userId}, ${input.provider}, ${input.apiKeySealed},
            ${input.providerUsername})
    on conflict (organization_id, user_id, provider) do update
       set api_key_sealed = excluded.api_key_sealed, provider_username = excluded.provider_username, scopes = null,
           updated_at = now()
    returning ${sql(COLUMNS)}`;
  return rows[0] as ConnectionRow;
}

/** @returns null when the user has none with this provider */
export async function connectionKey(
  { sql }: Db,
  owner: ConnectionOwner,
  provider: string,
): Promise<string | null> {
  const rows = await sql<{ api_key_sealed: string }[]>`
    select api_key_sealed from connections
     where organization_id = ${owner.organizationId} and user_id = ${owner.userId} and provider = ${provider}`;
  return rows[0]?.api_key_sealed ?? null;
}

/** What the service says about the account; only while the connection still has the key that was asked with. */
export async function noteConnection(
  { sql }: Db,
  owner: ConnectionOwner,
  input: { provider: string; apiKeySealed: string; username: string | null; scopes: string | null },
): Promise<void> {
  await sql`
    update connections
       set provider_username = coalesce(${input.username}, provider_username), scopes = ${input.scopes}
     where organization_id = ${owner.organizationId} and user_id = ${owner.userId} and provider = ${input.provider}
       and api_key_sealed = ${input.apiKeySealed}`;
}

/** @returns false when there was none */
export async function deleteConnection(
  { sql }: Db,
  owner: ConnectionOwner,
  provider: string,
): Promise<boolean> {
  const rows = await sql`
    delete from connections
     where organization_id = ${owner.organizationId} and user_id = ${owner.userId} and provider = ${provider}
    returning 1`;
  return rows.length > 0;
}
