import type { Db } from "./pool.ts";

export interface SessionTreeRow {
  id: string;
  name: string;
  status: "active" | "archived" | "deleted";
  entry_count: number;
  size_bytes: number;
  created_at: Date;
  updated_at: Date;
}

/** The workspace of a session, null when nothing was ever put into it. @returns null when there is no such session */
export async function treeOfSession(
  { sql }: Db,
  input: { organizationId: string; sessionId: string },
): Promise<{ tree: SessionTreeRow | null } | null> {
  const rows = await sql<(SessionTreeRow & { tree_id: string | null })[]>`
    select t.id as tree_id, s.workspace_id as id, t.name, t.status, t.entry_count, t.size_bytes, t.created_at, t.updated_at
      from sessions s left join file_trees t on t.id = s.workspace_id and t.organization_id = s.organization_id
     where s.id = ${input.sessionId} and s.organization_id = ${input.organizationId} and s.deleted_at is null`;
  const row = rows[0];
  if (!row) return null;
  const { tree_id, ...tree } = row;
  return { tree: tree_id === null ? null : tree };
}
