import type { Db } from "./pool.ts";

interface Owner {
  organizationId: string;
  principalId: string;
}

/** The session in which a principal talks with the platform; null when there is none (any more). */
export async function findChatSession({ sql }: Db, owner: Owner): Promise<string | null> {
  const rows = await sql<{ session_id: string }[]>`
    select c.session_id from chat_sessions c join sessions s on s.id = c.session_id
     where c.organization_id = ${owner.organizationId} and c.principal_id = ${owner.principalId}
       and s.organization_id = ${owner.organizationId} and s.deleted_at is null`;
  return rows[0]?.session_id ?? null;
}

/** @returns false when another session was faster: that one stays */
export async function keepChatSession({ sql }: Db, owner: Owner & { sessionId: string }): Promise<boolean> {
  const rows = await sql`
    insert into chat_sessions (organization_id, principal_id, session_id)
    values (${owner.organizationId}, ${owner.principalId}, ${owner.sessionId})
    on conflict (organization_id, principal_id) do update
      set session_id = excluded.session_id
      where not exists (select from sessions s where s.id = chat_sessions.session_id and s.deleted_at is null)
    returning session_id`;
  return rows.length > 0;
}
