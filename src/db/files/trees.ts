/** Workspaces and memories as resources: what a tree of files is called and whether it may be changed. */
import type { ISql } from "postgres";
import { toJsonText } from "../../base/json.ts";
import { assignments } from "../assign.ts";
import type { Db } from "../pool.ts";
import { type Page, type Slice, searchPatterns } from "../search.ts";
import { isUniqueViolation } from "../sqlstate.ts";
import { transaction } from "../tx.ts";

export type TreeKind = "workspace" | "memory";

export interface TreeRow {
  id: string;
  kind: TreeKind;
  name: string;
  description: string | null;
  status: "active" | "archived" | "deleted";
  /** It was made with its session, and ends with the last session that has it. */
  is_session_default: boolean;
  /** Where a memory's files come from; null: they are put by hand. */
  source: Record<string, unknown> | null;
  sync_status: "idle" | "pending" | "syncing" | "synced" | "failed";
  last_synced_at: Date | null;
  last_sync_error: string | null;
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

const COLUMNS = [
  "id",
  "kind",
  "name",
  "description",
  "status",
  "is_session_default",
  "source",
  "sync_status",
  "last_synced_at",
  "last_sync_error",
  "archived_at",
  "deleted_at",
  "created_at",
  "updated_at",
] as const;

/** Newest first. */
export async function listTrees(
  { sql }: Db,
  input: {
    organizationId: string;
    kind: TreeKind;
    search: string | null;
    includeArchived: boolean;
  } & Slice,
): Promise<Page<TreeRow>> {
  // The statuses are written out: only so does PostgreSQL see that the partial index holds them all.
  const wanted = sql`
    organization_id = ${input.organizationId} and kind = ${input.kind}
    and status in ('active', 'archived') and (${input.includeArchived} or status = 'active')
    and concat_ws(' ', name, description) ilike all (${searchPatterns(input.search)}::text[])`;
  const [rows, counted] = await Promise.all([
    sql<TreeRow[]>`
      select ${sql(COLUMNS)} from file_trees
       where ${wanted}
       order by created_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from file_trees where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Archived trees are found, those that are deleted or not ready yet are not. */
export async function findTree(
  { sql }: Db,
  organizationId: string,
  kind: TreeKind,
  id: string,
): Promise<TreeRow | null> {
  const rows = await findTrees({ sql }, organizationId, kind, [id]);
  return rows[0] ?? null;
}

/** Those of the ids that are there; the order is not the one asked for. */
export async function findTrees(
  { sql }: Pick<Db, "sql">,
  organizationId: string,
  kind: TreeKind,
  ids: readonly string[],
): Promise<TreeRow[]> {
  return sql<TreeRow[]>`
    select ${sql(COLUMNS)} from file_trees
     where id = any (${[...ids]}::text[]) and organization_id = ${organizationId} and kind = ${kind}
       and status in ('active', 'archived')`;
}

export async function treeIdOfName(
  { sql }: Db,
  organizationId: string,
  kind: TreeKind,
  name: string,
): Promise<string | null> {
  const rows = await sql<{ id: string }[]>`
    select id from file_trees
     where organization_id = ${organizationId} and kind = ${kind} and name = ${name}
       and status in ('active', 'archived')`;
  return rows[0]?.id ?? null;
}

/** @returns null when the name is taken */
export async function insertTree(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    kind: TreeKind;
    name: string;
    description: string | null;
    source: Record<string, unknown> | null;
  },
): Promise<TreeRow | null> {
  const source = input.source === null ? null : toJsonText(input.source);
  const rows = await sql<TreeRow[]>`
    insert into file_trees (id, organization_id, kind, name, description, source, sync_status, files_version,
                            size_bytes, entry_count)
    values (${input.id}, ${input.organizationId}, ${input.kind}, ${input.name}, ${input.description},
            ${source}::text::jsonb, ${source === null ? "idle" : "pending"}, 1, 0, 0)
    on conflict do nothing
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

export type TreeUpdated =
  | { outcome: "updated"; tree: TreeRow }
  | { outcome: "not_found" }
  | { outcome: "name_taken" };

/** Changes what is given; undefined stays. */
export async function updateTree(
  { sql }: Db,
  input: {
    organizationId: string;
    kind: TreeKind;
    id: string;
    changes: {
      name?: string | undefined;
      description?: string | null | undefined;
      status?: "active" | "archived" | undefined;
      source?: Record<string, unknown> | undefined;
    };
  },
): Promise<TreeUpdated> {
  const { status, source, ...fields } = input.changes;
  const set = assignments(
    sql,
    { ...fields, status, source, ...(source === undefined ? {} : { sync_status: "pending" }) },
    { source: "json" },
  );
  try {
    const rows = await sql<TreeRow[]>`
      update file_trees
         set ${set === null ? sql`` : sql`${set},`}
             ${
               status === undefined
                 ? sql``
                 : sql`archived_at = ${status === "archived" ? sql`coalesce(archived_at, now())` : sql`null`},`
             }
             updated_at = now()
       where id = ${input.id} and organization_id = ${input.organizationId} and kind = ${input.kind}
         and status in ('active', 'archived')
      returning ${sql(COLUMNS)}`;
    return rows[0] ? { outcome: "updated", tree: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/**
 * Gone for everybody at once; its files are removed later (`retention.ts`). A workspace that a session has is kept.
 * `onlyIf`: of another status, it is not found.
 */
export async function deleteTree(
  db: Db,
  input: { organizationId: string; kind: TreeKind; id: string; onlyIf?: "archived" },
): Promise<{ outcome: "deleted"; tree: TreeRow } | { outcome: "not_found" } | { outcome: "in_use" }> {
  return transaction(db, async (sql) => {
    // Whoever makes a session with it waits for this lock, or has committed before it was taken and is seen below.
    const held = await sql`
      select from file_trees
       where id = ${input.id} and organization_id = ${input.organizationId} and kind = ${input.kind}
         and status in ('active', 'archived') and status = coalesce(${input.onlyIf ?? null}, status)
         for update`;
    if (held.length === 0) return { outcome: "not_found" };
    const rows = await sql<TreeRow[]>`
      update file_trees t
         set status = 'deleted', deleted_at = now(), archived_at = null, updated_at = now()
       where id = ${input.id} and not ${hasSession(sql)}
      returning ${sql(COLUMNS)}`;
    return rows[0] ? { outcome: "deleted", tree: rows[0] } : { outcome: "in_use" };
  });
}

/** SQL: whether a session that is not deleted has the tree `t`. */
export function hasSession(sql: ISql<{ bigint: number }>) {
  return sql`exists (select from sessions s where s.workspace_id = t.id and s.deleted_at is null)`;
}
