import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type {
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
} from "../../contract/common.ts";
import type { Delivery } from "../../contract/message.ts";
import { assignments, statusStamps } from "../assign.ts";
import type { Db } from "../pool.ts";
import { type Page, type Slice, searchPatterns } from "../search.ts";
import { constraintOf, isUniqueViolation } from "../sqlstate.ts";

/** What a caller decides about an agent. */
export interface AgentFields {
  harness_id: string;
  name: string;
  display_name: string | null;
  description: string | null;
  system_prompt: string;
  default_model_id: string | null;
  capabilities: CapabilityConfig[];
  tools: ToolDefinition[];
  initial_files: InitialFile[];
  mcp_servers: McpServers;
  network_access: NetworkAccessList | null;
  parallel_tool_calls: boolean | null;
  default_delivery: Delivery | null;
  max_iterations: number | null;
  tags: string[];
}

export interface AgentRow extends AgentFields {
  id: string;
  status: "active" | "archived" | "deleted";
  forked_from_agent_id: string | null;
  /** null: it is no fork of a version. */
  forked_from_version_id: string | null;
  /** The first of the line of copies and forks; null: it is no copy. */
  root_agent_id: string | null;
  /** null: new sessions use the agent as it is. */
  default_version_id: string | null;
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

/** Sums over the agent's sessions, those deleted excepted. */
export interface AgentCountsRow extends AgentRow {
  session_count: number;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_creation_tokens: number;
  cost_usd: number;
}

export const AGENT_COLUMNS = [
  "id",
  "harness_id",
  "name",
  "display_name",
  "description",
  "system_prompt",
  "default_model_id",
  "capabilities",
  "tools",
  "initial_files",
  "mcp_servers",
  "network_access",
  "parallel_tool_calls",
  "default_delivery",
  "max_iterations",
  "tags",
  "status",
  "forked_from_agent_id",
  "forked_from_version_id",
  "root_agent_id",
  "default_version_id",
  "archived_at",
  "deleted_at",
  "created_at",
  "updated_at",
] as const;

export const AGENT_JSON_COLUMNS = {
  capabilities: "json",
  tools: "json",
  initial_files: "json",
  mcp_servers: "json",
  network_access: "json",
  tags: "text[]",
} as const;

/** Newest first. */
export async function listAgents(
  { sql }: Db,
  input: { organizationId: string; search: string | null; includeArchived: boolean } & Slice,
): Promise<Page<AgentCountsRow>> {
  const patterns = searchPatterns(input.search);
  const wanted = sql`
    organization_id = ${input.organizationId}
    and status = any(${input.includeArchived ? ["active", "archived"] : ["active"]}::text[])
    and concat_ws(' ', name, display_name, description) ilike all (${patterns}::text[])`;
  const [rows, counted] = await Promise.all([
    sql<AgentCountsRow[]>`
      select ${sql(AGENT_COLUMNS)}, used.*
        from agents, lateral (${usageOf({ sql })}) used
       where ${wanted}
       order by created_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from agents where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** By id, or by name when `idOrName` is no id. Archived agents are found, deleted ones are not. */
export async function findAgent(
  { sql }: Db,
  organizationId: string,
  idOrName: string,
): Promise<AgentRow | null> {
  const rows = await sql<AgentRow[]>`
    select ${sql(AGENT_COLUMNS)} from agents where ${isAgent({ sql }, organizationId, idOrName)}`;
  return rows[0] ?? null;
}

export async function readAgent(
  { sql }: Db,
  organizationId: string,
  idOrName: string,
): Promise<AgentCountsRow | null> {
  const rows = await sql<AgentCountsRow[]>`
    select ${sql(AGENT_COLUMNS)}, used.*
      from agents, lateral (${usageOf({ sql })}) used
     where ${isAgent({ sql }, organizationId, idOrName)}`;
  return rows[0] ?? null;
}

const isAgent = ({ sql }: Pick<Db, "sql">, organizationId: string, idOrName: string) => sql`
  organization_id = ${organizationId} and status <> 'deleted'
  and ${idOrName.includes("_") ? sql`id = ${idOrName}` : sql`name = ${idOrName}`}`;

const usageOf = ({ sql }: Pick<Db, "sql">) => sql`
  select count(*) as session_count,
         coalesce(sum(s.input_tokens), 0)::bigint as input_tokens,
         coalesce(sum(s.output_tokens), 0)::bigint as output_tokens,
         coalesce(sum(s.cache_read_tokens), 0)::bigint as cache_read_tokens,
         coalesce(sum(s.cache_creation_tokens), 0)::bigint as cache_creation_tokens,
         coalesce(sum(s.cost_usd), 0) as cost_usd
    from sessions s
   where s.agent_id = agents.id and s.deleted_at is null`;

export type AgentWritten =
  | { outcome: "created" | "replaced"; agent: AgentRow }
  /** The name belongs to another agent. */
  | { outcome: "name_taken" }
  /** The id belongs to a deleted agent, or to another organization. */
  | { outcome: "not_found" };

/**
 * Creates the agent, or replaces what a caller decides about the one that has this id (or, without an id, this
 * name). A replaced agent that was archived is active again: who applies a configuration wants it in force. What
 * changes nothing leaves `updated_at` as it is: so a caller can tell.
 */
export async function applyAgent(
  { sql }: Db,
  input: { organizationId: string; id: string | null; fields: AgentFields; forkedFromAgentId?: string },
): Promise<AgentWritten> {
  const { fields } = input;
  const target = input.id === null ? sql`(organization_id, name) where status <> 'deleted'` : sql`(id)`;
  const isSame = sql`
    agents.status = 'active'
    and (agents.harness_id, agents.name, agents.display_name, agents.description, agents.system_prompt,
         agents.default_model_id, agents.capabilities, agents.tools, agents.initial_files, agents.mcp_servers,
         agents.network_access, agents.parallel_tool_calls, agents.default_delivery, agents.max_iterations, agents.tags)
        is not distinct from
        (excluded.harness_id, excluded.name, excluded.display_name, excluded.description, excluded.system_prompt,
         excluded.default_model_id, excluded.capabilities, excluded.tools, excluded.initial_files, excluded.mcp_servers,
         excluded.network_access, excluded.parallel_tool_calls, excluded.default_delivery, excluded.max_iterations,
         excluded.tags)`;
  try {
    const rows = await sql<(AgentRow & { is_created: boolean })[]>`
      insert into agents (id, organization_id, harness_id, name, display_name, description, system_prompt,
                          default_model_id, capabilities, tools, initial_files, mcp_servers, network_access,
                          parallel_tool_calls, default_delivery, max_iterations, tags, forked_from_agent_id)
      values (${input.id ?? newId("agent")}, ${input.organizationId}, ${fields.harness_id}, ${fields.name},
              ${fields.display_name}, ${fields.description}, ${fields.system_prompt}, ${fields.default_model_id},
              ${toJsonText(fields.capabilities)}::text::jsonb, ${toJsonText(fields.tools)}::text::jsonb,
              ${toJsonText(fields.initial_files)}::text::jsonb, ${toJsonText(fields.mcp_servers)}::text::jsonb,
              ${fields.network_access === null ? null : toJsonText(fields.network_access)}::text::jsonb,
              ${fields.parallel_tool_calls}, ${fields.default_delivery}, ${fields.max_iterations}, ${fields.tags}::text[],
              ${input.forkedFromAgentId ?? null})
      on conflict ${target} do update
         set harness_id = excluded.harness_id, name = excluded.name, display_name = excluded.display_name,
             description = excluded.description, system_prompt = excluded.system_prompt,
             default_model_id = excluded.default_model_id, capabilities = excluded.capabilities,
             tools = excluded.tools, initial_files = excluded.initial_files, mcp_servers = excluded.mcp_servers,
             network_access = excluded.network_access, parallel_tool_calls = excluded.parallel_tool_calls,
             default_delivery = excluded.default_delivery,
             max_iterations = excluded.max_iterations, tags = excluded.tags,
             status = 'active', archived_at = null,
             updated_at = case when ${isSame} then agents.updated_at else now() end
       where agents.organization_id = excluded.organization_id and agents.status <> 'deleted'
      returning ${sql(AGENT_COLUMNS)}, xmax = 0 as is_created`;
    const row = rows[0];
    if (!row) return { outcome: "not_found" };
    const { is_created, ...agent } = row;
    return { outcome: is_created ? "created" : "replaced", agent };
  } catch (error) {
    if (isNameTaken(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/** Creates an agent and never replaces one. */
export async function insertCopy(
  db: Db,
  input: { organizationId: string; source: AgentRow; name: string },
): Promise<AgentRow | null> {
  const { sql } = db;
  const rows = await sql<AgentRow[]>`
    insert into agents (id, organization_id, harness_id, name, display_name, description, system_prompt,
                        default_model_id, capabilities, tools, initial_files, mcp_servers, network_access,
                        parallel_tool_calls, default_delivery, max_iterations, tags, forked_from_agent_id,
                        root_agent_id)
    select ${newId("agent")}, organization_id, harness_id, ${input.name}, display_name, description, system_prompt,
           default_model_id, capabilities, tools, initial_files, mcp_servers, network_access,
           parallel_tool_calls, default_delivery, max_iterations, tags, id, coalesce(root_agent_id, id)
      from agents
     where id = ${input.source.id} and organization_id = ${input.organizationId} and status <> 'deleted'
    on conflict (organization_id, name) where status <> 'deleted' do nothing
    returning ${sql(AGENT_COLUMNS)}`;
  return rows[0] ?? null;
}

/** Changes the fields that are given. `status` may archive, un-archive or delete. */
export async function updateAgent(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: Partial<AgentFields> & { status?: AgentRow["status"] | undefined };
  },
): Promise<AgentWritten> {
  const { status } = input.changes;
  const set = assignments(sql, input.changes, AGENT_JSON_COLUMNS);
  try {
    const rows = await sql<AgentRow[]>`
      update agents
         set updated_at = now()${statusStamps(sql, status)}${set === null ? sql`` : sql`, ${set}`}
       where id = ${input.id} and organization_id = ${input.organizationId} and status <> 'deleted'
      returning ${sql(AGENT_COLUMNS)}`;
    return rows[0] ? { outcome: "replaced", agent: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isNameTaken(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/**
 * Deletes an archived agent.
 *
 * @returns false when it is not archived (any more)
 */
export async function destroyAgent(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<AgentRow | null> {
  const rows = await sql<AgentRow[]>`
    update agents set status = 'deleted', deleted_at = now(), updated_at = now()
     where id = ${id} and organization_id = ${organizationId} and status = 'archived'
    returning ${sql(AGENT_COLUMNS)}`;
  return rows[0] ?? null;
}

/** The agent that has this name, or null. */
export async function agentIdOfName(
  { sql }: Db,
  organizationId: string,
  name: string,
): Promise<string | null> {
  const rows = await sql<{ id: string }[]>`
    select id from agents where organization_id = ${organizationId} and name = ${name} and status <> 'deleted'`;
  return rows[0]?.id ?? null;
}

/** The name of an agent that is not deleted. */
export const isNameTaken = (error: unknown) =>
  isUniqueViolation(error) && constraintOf(error) === "agents_name";
