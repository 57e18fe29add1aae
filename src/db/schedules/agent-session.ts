/** A session that nobody asked for over HTTP: of an agent, as the agent itself configures it. */
import type { InitialFile } from "../../contract/common.ts";
import { agentForSession } from "../agents/agent-versions.ts";
import { type AgentRow, findAgent } from "../agents/agents.ts";
import { harnessChains } from "../agents/harnesses.ts";
import { putInitialFiles } from "../files/files.ts";
import type { Db } from "../pool.ts";
import { createSession, ownWorkspaceId } from "../session-rows.ts";
import { isUniqueViolation } from "../sqlstate.ts";

export type AgentSession = { outcome: "ready" } | { outcome: "refused"; why: string };

/**
 * Makes the session, with the first files of harness and agent. The caller chooses its id: whoever repeats the call
 * finds the session that the first one made.
 *
 * @throws RetryableError the database could not be reached
 */
export async function openAgentSession(
  db: Db,
  input: {
    organizationId: string;
    sessionId: string;
    agentId: string;
    title: string | null;
    ownerId: string;
  },
): Promise<AgentSession> {
  const { organizationId, sessionId } = input;
  const found = await findAgent(db, organizationId, input.agentId);
  const agent = found && (await agentForSession(db, organizationId, found));
  if (!agent || agent.status === "deleted") return { outcome: "refused", why: "its agent does not exist" };
  if (agent.status === "archived") return { outcome: "refused", why: `its agent ${agent.name} is archived` };
  const [known] = await db.sql`
    select from sessions where id = ${sessionId} and organization_id = ${organizationId} and deleted_at is null`;
  if (known) return { outcome: "ready" };

  const workspaceId = ownWorkspaceId(sessionId);
  const files = await starterFiles(db, organizationId, agent);
  await putInitialFiles(db, { organizationId, treeId: workspaceId }, files);
  try {
    await createSession(db, {
      organizationId,
      id: sessionId,
      fields: {
        harness_id: agent.harness_id,
        agent_id: agent.id,
        agent_version_id: agent.default_version_id,
        workspace_id: workspaceId,
        owner_principal_id: input.ownerId,
        title: input.title,
        locale: null,
        model_id: null,
        system_prompt: null,
        capabilities: [],
        tools: [],
        initial_files: [],
        mcp_servers: {},
        network_access: null,
        hints: null,
        parallel_tool_calls: null,
        default_delivery: null,
        max_iterations: null,
        tags: [],
      },
    });
  } catch (error) {
    // Another process made the same one at the same moment.
    if (!isUniqueViolation(error)) throw error;
  }
  return { outcome: "ready" };
}

/** By path: the harness's parents, the harness, the agent; the last one wins. */
async function starterFiles(db: Db, organizationId: string, agent: AgentRow): Promise<InitialFile[]> {
  const chain = (await harnessChains(db, organizationId, [agent.harness_id])).get(agent.harness_id) ?? [];
  const files = new Map<string, InitialFile>();
  for (const layer of [...chain.toReversed(), agent]) {
    for (const file of layer.initial_files) files.set(file.path, file);
  }
  return [...files.values()];
}
