import type { CapabilityConfig, InitialFile, McpServers, NetworkAccessList } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";
import { searchPatterns } from "../search.ts";

/** What a caller decides about a harness. */
export interface HarnessFields {
  name: string;
  display_name: string | null;
  description: string | null;
  system_prompt: string | null;
  parent_harness_id: string | null;
  default_model_id: string | null;
  capabilities: CapabilityConfig[];
  initial_files: InitialFile[];
  mcp_servers: McpServers;
  network_access: NetworkAccessList | null;
  parallel_tool_calls: boolean | null;
  embedder_metadata: Record<string, string>;
  tags: string[];
}

export interface HarnessRow extends HarnessFields {
  id: string;
  /** null: built in. */
  organization_id: string | null;
  status: "active" | "archived" | "deleted";
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export interface HarnessCountsRow extends HarnessRow {
  agent_count: number;
  session_count: number;
}

/** The harness of who names none. */
const DEFAULT_HARNESS = "generic";

export const HARNESS_COLUMNS = [
  "id",
  "organization_id",
  "name",
  "display_name",
  "description",
  "system_prompt",
  "parent_harness_id",
  "default_model_id",
  "capabilities",
  "initial_files",
  "mcp_servers",
  "network_access",
  "parallel_tool_calls",
  "embedder_metadata",
  "tags",
  "status",
  "archived_at",
  "deleted_at",
  "created_at",
  "updated_at",
] as const;

/** The organization's own and the built-in ones, by name. */
export async function listHarnesses(
  { sql }: Db,
  input: { organizationId: string; search: string | null; includeArchived: boolean },
): Promise<HarnessCountsRow[]> {
  return await sql<HarnessCountsRow[]>`
    select ${sql(HARNESS_COLUMNS)}, used.*
      from harnesses, lateral (${usageOf({ sql }, input.organizationId)}) used
     where (organization_id is null or organization_id = ${input.organizationId})
       and status = any(${input.includeArchived ? ["active", "archived"] : ["active"]}::text[])
       and concat_ws(' ', name, display_name, description) ilike all (${searchPatterns(input.search)}::text[])
     order by name, id`;
}

/**
 * By id, by name, or `default`: what the organization chose, else the usual one. An organization's own harness hides
 * a built-in one of the same name, unless it is archived.
 */
export async function readHarness(
  { sql }: Db,
  organizationId: string,
  idOrName: string,
): Promise<HarnessCountsRow | null> {
  const chosen = sql`(select default_harness_id from organizations where id = ${organizationId})`;
  const rows = await sql<HarnessCountsRow[]>`
    select ${sql(HARNESS_COLUMNS)}, used.*
      from harnesses, lateral (${usageOf({ sql }, organizationId)}) used
     where (organization_id is null or organization_id = ${organizationId}) and status <> 'deleted'
       and ${
         idOrName.includes("_")
           ? sql`id = ${idOrName}`
           : idOrName === "default"
             ? sql`(name = ${DEFAULT_HARNESS} or id = ${chosen})`
             : sql`name = ${idOrName}`
       }
     order by id = ${chosen} and ${idOrName === "default"} desc nulls last, status = 'active' desc,
              organization_id nulls last
     limit 1`;
  return rows[0] ?? null;
}

/** What previews and new sessions need of each harness of a chain. */
export type HarnessChainLayer = Pick<
  HarnessRow,
  | "system_prompt"
  | "default_model_id"
  | "capabilities"
  | "initial_files"
  | "mcp_servers"
  | "network_access"
  | "parallel_tool_calls"
>;

/**
 * The chains of parents of several harnesses, in one statement: for each harness, itself first.
 */
export async function harnessChains(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, HarnessChainLayer[]>> {
  const rows = await sql<(HarnessChainLayer & { root: string })[]>`
    with recursive chain as (
      select id as root, id, parent_harness_id, system_prompt, default_model_id, capabilities, initial_files,
             mcp_servers, network_access, parallel_tool_calls, 1 as depth
        from harnesses
       where id = any(${[...ids]}::text[]) and (organization_id is null or organization_id = ${organizationId})
      union all
      select chain.root, h.id, h.parent_harness_id, h.system_prompt, h.default_model_id, h.capabilities,
             h.initial_files, h.mcp_servers, h.network_access, h.parallel_tool_calls, chain.depth + 1
        from harnesses h join chain on h.id = chain.parent_harness_id
       where chain.depth < ${limits.harnessDepthMax}
    )
    select root, system_prompt, default_model_id, capabilities, initial_files, mcp_servers, network_access,
           parallel_tool_calls
      from chain order by root, depth`;
  const chains = new Map<string, HarnessChainLayer[]>();
  for (const { root, ...layer } of rows) chains.set(root, [...(chains.get(root) ?? []), layer]);
  return chains;
}

const usageOf = ({ sql }: Pick<Db, "sql">, organizationId: string) => sql`
  select (select count(*) from agents a
           where a.harness_id = harnesses.id and a.organization_id = ${organizationId}
             and a.status <> 'deleted') as agent_count,
         (select count(*) from sessions s
           where s.harness_id = harnesses.id and s.organization_id = ${organizationId}
             and s.deleted_at is null) as session_count`;
