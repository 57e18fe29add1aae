/** From an agent's row to the wire. */
import { UserError } from "../../base/errors.ts";
import type { Agent, AgentWithCounts, AgentWithUrls } from "../../contract/agent.ts";
import type { AllowedAction } from "../../contract/common.ts";
import {
  type AgentCountsRow,
  type AgentRow,
  type AgentWritten,
  agentIdOfName,
  findAgent,
} from "../../db/agents/agents.ts";
import type { Db } from "../../db/pool.ts";
import {
  action,
  created,
  iso,
  isoOrNull,
  nameTaken,
  present,
  reply,
  urlsOf,
  usageOf,
} from "../http/respond.ts";
import { agentRef } from "./agent-input.ts";

/** The answer to a write: 201 with Location when an agent came into being. @throws UserError not_found, name_taken */
export async function agentReply(db: Db, result: AgentWritten, organizationId: string, name: string) {
  if (result.outcome === "not_found") throw noAgent();
  if (result.outcome === "name_taken")
    throw nameTaken("agent", name, "/agents", await agentIdOfName(db, organizationId, name));
  const body = agentWithUrls(result.agent);
  return result.outcome === "created" ? created(body) : reply(200, body);
}

/** The agent of this id or name; archived ones, too. @throws UserError invalid_id, not_found */
export async function requireAgent(db: Db, organizationId: string, idOrName: string): Promise<AgentRow> {
  const agent = await findAgent(db, organizationId, agentRef(idOrName));
  if (!agent) throw noAgent();
  return agent;
}

export const noAgent = () => new UserError("not_found", "Agent not found");

export function agentWithUrls(row: AgentRow): AgentWithUrls {
  return { ...agentToWire(row), ...urlsOf(`/agents/${row.id}`, actionsOf(row)) };
}

export function agentWithCounts(row: AgentCountsRow): AgentWithCounts {
  return { ...agentWithUrls(row), session_count: row.session_count, app_count: 0, usage: usageOf(row) };
}

function actionsOf({ id, status }: AgentRow): AllowedAction[] {
  const path = `/agents/${id}`;
  if (status !== "active")
    return [{ ...action("update", "PATCH", path), hint: '{"status": "active"} takes it back' }];
  return [action("update", "PATCH", path), action("delete", "DELETE", path)];
}

export function agentToWire(row: AgentRow): Agent {
  return present({
    id: row.id,
    name: row.name,
    display_name: row.display_name,
    description: row.description,
    system_prompt: row.system_prompt,
    harness_id: row.harness_id,
    default_model_id: row.default_model_id,
    model: row.default_model_id,
    capabilities: row.capabilities,
    tools: row.tools,
    initial_files: row.initial_files,
    mcpServers: row.mcp_servers,
    network_access: row.network_access,
    parallel_tool_calls: row.parallel_tool_calls,
    default_delivery: row.default_delivery,
    max_iterations: row.max_iterations,
    tags: row.tags,
    status: row.status,
    forked_from_agent_id: row.forked_from_agent_id,
    forked_from_version_id: row.forked_from_version_id,
    root_agent_id: row.root_agent_id,
    default_version_id: row.default_version_id,
    archived_at: isoOrNull(row.archived_at),
    deleted_at: isoOrNull(row.deleted_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
