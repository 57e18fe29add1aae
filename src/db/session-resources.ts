/** What a session holds: its workspace, its databases, and the subagents and other tasks that it has started. */
import type { Db } from "./pool.ts";

export interface ResourceRow {
  resource_id: string;
  kind: string;
  display_name: string;
  status: "active" | "completed" | "failed" | "released";
  metadata: Record<string, unknown>;
  created_at: Date;
  updated_at: Date;
}

/**
 * The workspace first, then what is the oldest.
 *
 * @returns null when there is no such session
 */
export async function sessionResources(
  { sql }: Db,
  input: { organizationId: string; sessionId: string; limit: number },
): Promise<ResourceRow[] | null> {
  const rows = await sql<(ResourceRow | { resource_id: null })[]>`
    with session as materialized (
      select id, workspace_id from sessions
       where id = ${input.sessionId} and organization_id = ${input.organizationId} and deleted_at is null
    ), held as (
      select 0 as place, t.id as resource_id, 'workspace' as kind, t.name as display_name,
             case when t.status = 'active' then 'active' else 'released' end as status,
             jsonb_build_object('entry_count', t.entry_count, 'size_bytes', t.size_bytes) as metadata,
             t.created_at, t.updated_at
        from session join file_trees t on t.id = session.workspace_id
       where t.organization_id = ${input.organizationId}
      union all
      select 1, t.id, t.kind, t.display_name,
             case when t.state = 'succeeded' then 'completed' when t.state = 'failed' then 'failed'
                  when t.state = 'canceled' then 'released' else 'active' end,
             jsonb_build_object('state', t.state, 'child_session_id', t.child_session_id), t.created_at, t.updated_at
        from session join session_tasks t on t.session_id = session.id
      union all
      select 1, d.name, 'sql_database', d.name, 'active', jsonb_build_object('size_bytes', d.size_bytes), d.created_at,
             d.updated_at
        from session join session_databases d on d.session_id = session.id
    )
    select held.resource_id, held.kind, held.display_name, held.status, held.metadata, held.created_at, held.updated_at
      from session left join held on true
     order by held.place, held.created_at, held.resource_id
     limit ${input.limit}`;
  if (rows.length === 0) return null;
  return rows.filter((row): row is ResourceRow => row.resource_id !== null);
}
