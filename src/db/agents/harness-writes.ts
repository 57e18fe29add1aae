/** Making and changing an organization's harnesses. Built-in ones belong to no organization: no statement here finds them. */
import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";
import { assignments, statusStamps } from "../assign.ts";
import type { Db, Sql } from "../pool.ts";
import { constraintOf, isUniqueViolation } from "../sqlstate.ts";
import { transaction } from "../tx.ts";
import { HARNESS_COLUMNS, type HarnessFields, type HarnessRow } from "./harnesses.ts";

export type HarnessWritten =
  | { outcome: "written"; harness: HarnessRow }
  | {
      outcome:
        | "not_found"
        | "name_taken"
        /** The organization has as many harnesses as it may have. */
        | "too_many"
        /** The parent is not there (any more), or not active. */
        | "no_parent"
        /** The parent inherits from this harness, or is it. */
        | "cycle"
        | "too_deep";
    };

const JSON_COLUMNS = {
  capabilities: "json",
  initial_files: "json",
  mcp_servers: "json",
  network_access: "json",
  embedder_metadata: "json",
  tags: "text[]",
} as const;

export async function insertHarness(
  db: Db,
  input: { organizationId: string; fields: HarnessFields },
): Promise<HarnessWritten> {
  const { organizationId, fields } = input;
  return await write(db, organizationId, async (sql) => {
    const [counted] = await sql<{ count: number }[]>`
      select count(*) as count from harnesses where organization_id = ${organizationId} and status <> 'deleted'`;
    if ((counted?.count ?? 0) >= limits.harnessesPerOrganizationMax) return { outcome: "too_many" };
    if (await isBuiltInName(sql, fields.name)) return { outcome: "name_taken" };
    if (fields.parent_harness_id !== null) {
      const problem = await parentProblem(sql, organizationId, {
        id: null,
        parentId: fields.parent_harness_id,
      });
      if (problem !== null) return { outcome: problem };
    }
    const rows = await sql<HarnessRow[]>`
      insert into harnesses (id, organization_id, name, display_name, description, system_prompt, parent_harness_id,
                             default_model_id, capabilities, initial_files, mcp_servers, network_access,
                             parallel_tool_calls, embedder_metadata, tags)
      values (${newId("harness")}, ${organizationId}, ${fields.name}, ${fields.display_name}, ${fields.description},
              ${fields.system_prompt}, ${fields.parent_harness_id}, ${fields.default_model_id},
              ${toJsonText(fields.capabilities)}::text::jsonb, ${toJsonText(fields.initial_files)}::text::jsonb,
              ${toJsonText(fields.mcp_servers)}::text::jsonb,
              ${fields.network_access === null ? null : toJsonText(fields.network_access)}::text::jsonb,
              ${fields.parallel_tool_calls}, ${toJsonText(fields.embedder_metadata)}::text::jsonb,
              ${fields.tags}::text[])
      returning ${sql(HARNESS_COLUMNS)}`;
    return rows[0] ? { outcome: "written", harness: rows[0] } : { outcome: "not_found" };
  });
}

/** Changes the fields that are given. `status` may archive, un-archive or delete. */
export async function updateHarness(
  db: Db,
  input: {
    organizationId: string;
    id: string;
    changes: Partial<HarnessFields> & { status?: HarnessRow["status"] | undefined };
  },
): Promise<HarnessWritten> {
  const { organizationId, id, changes } = input;
  const { status } = changes;
  return await write(db, organizationId, async (sql) => {
    if (changes.name != null && (await isBuiltInName(sql, changes.name))) return { outcome: "name_taken" };
    if (changes.parent_harness_id != null) {
      const problem = await parentProblem(sql, organizationId, { id, parentId: changes.parent_harness_id });
      if (problem !== null) return { outcome: problem };
    }
    const set = assignments(sql as unknown as Sql, { ...changes }, JSON_COLUMNS);
    const rows = await sql<HarnessRow[]>`
      update harnesses
         set updated_at = now()${statusStamps(sql as unknown as Sql, status)}${set === null ? sql`` : sql`, ${set}`}
       where id = ${id} and organization_id = ${organizationId} and status <> 'deleted'
      returning ${sql(HARNESS_COLUMNS)}`;
    return rows[0] ? { outcome: "written", harness: rows[0] } : { outcome: "not_found" };
  });
}

/** Who would be left without this harness: what is deleted or archived does not count. */
export async function harnessUse(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<{ agents: number; children: number; is_default: boolean }> {
  const rows = await sql<{ agents: number; children: number; is_default: boolean }[]>`
    select (select count(*) from agents
             where organization_id = ${organizationId} and harness_id = ${id} and status <> 'deleted') as agents,
           (select count(*) from harnesses
             where organization_id = ${organizationId} and parent_harness_id = ${id} and status <> 'deleted') as children,
           exists (select from organizations where id = ${organizationId} and default_harness_id = ${id}) as is_default`;
  return rows[0] ?? { agents: 0, children: 0, is_default: false };
}

/** The harness of this name, built in or the organization's own; null when there is none. */
export async function harnessIdOfName(
  { sql }: Db,
  organizationId: string,
  name: string,
): Promise<string | null> {
  const rows = await sql<{ id: string }[]>`
    select id from harnesses
     where (organization_id is null or organization_id = ${organizationId}) and name = ${name} and status <> 'deleted'
     order by organization_id nulls last limit 1`;
  return rows[0]?.id ?? null;
}

type InTransaction = Parameters<Parameters<typeof transaction>[1]>[0];

/** Built-in ones are found by their names: a namesake would stand for them in every agent and session that says so. */
async function isBuiltInName(sql: InTransaction, name: string): Promise<boolean> {
  const rows =
    await sql`select from harnesses where organization_id is null and name = ${name} and status <> 'deleted'`;
  return rows.length > 0;
}

/** One writer an organization at a time: two changes that are fine by themselves could make a circle together. */
async function write(
  db: Db,
  organizationId: string,
  body: (sql: InTransaction) => Promise<HarnessWritten>,
): Promise<HarnessWritten> {
  try {
    return await transaction(db, async (sql) => {
      await sql`select from organizations where id = ${organizationId} for no key update`;
      return await body(sql);
    });
  } catch (error) {
    if (isUniqueViolation(error) && constraintOf(error) === "harnesses_name")
      return { outcome: "name_taken" };
    throw error;
  }
}

/** What speaks against this parent; null: nothing. @param link.id  null: the harness is only about to be made */
async function parentProblem(
  sql: InTransaction,
  organizationId: string,
  link: { id: string | null; parentId: string },
): Promise<"no_parent" | "cycle" | "too_deep" | null> {
  const [found] = await sql<{ is_there: boolean; is_cycle: boolean; above: number; below: number }[]>`
    with recursive up as (
      select id, parent_harness_id, 1 as depth
        from harnesses
       where id = ${link.parentId} and (organization_id is null or organization_id = ${organizationId})
         and status = 'active'
      union all
      select h.id, h.parent_harness_id, up.depth + 1
        from harnesses h join up on h.id = up.parent_harness_id
       where up.depth <= ${limits.harnessDepthMax}
    ), down as (
      select id, 1 as depth from harnesses where id = ${link.id} and organization_id = ${organizationId}
      union all
      select h.id, down.depth + 1
        from harnesses h join down on h.parent_harness_id = down.id
       where h.status <> 'deleted' and down.depth <= ${limits.harnessDepthMax}
    )
    select exists (select from up) as is_there,
           exists (select from up where id = ${link.id}) as is_cycle,
           (select coalesce(max(depth), 0) from up) as above,
           (select coalesce(max(depth), 1) from down) as below`;
  if (!found?.is_there) return "no_parent";
  if (found.is_cycle) return "cycle";
  return found.above + found.below > limits.harnessDepthMax ? "too_deep" : null;
}
