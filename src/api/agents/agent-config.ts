/**
 * What an agent comes to with its harness and its capabilities: the merge that the engine makes at the start of a
 * turn, without a session.
 */

import { sortKeys } from "../../base/json.ts";
import {
  declarativeNames,
  definedFiles,
  definedMcpServers,
  withDefinitions,
} from "../../capabilities/declarative.ts";
import {
  mergeCapabilities,
  mergeClientTools,
  mergeFiles,
  mergeMcpServers,
  mergeNetwork,
  mergePrompts,
} from "../../capabilities/layers.ts";
import { type Offer, offerOf } from "../../capabilities/offer.ts";
import { type ResolvedCapabilities, toolDefinitionOf } from "../../capabilities/registry.ts";
import { skillIds, withSkills } from "../../capabilities/skills.ts";
import type { CapabilityConfig } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { Snapshot } from "../../db/agents/agent-versions.ts";
import type { AgentFields, AgentRow } from "../../db/agents/agents.ts";
import { readDefinitions } from "../../db/agents/declarative-capabilities.ts";
import { harnessChains } from "../../db/agents/harnesses.ts";
import { readSkillHeads } from "../../db/integrations/skill-library.ts";
import type { ApiDeps } from "../deps.ts";
import { present } from "../http/respond.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities">;

/** The fields of an agent that turns are made of. */
export type AgentLayerFields = Omit<AgentFields, "name" | "display_name" | "description" | "tags">;

export interface ResolvedAgent {
  offer: Offer;
  refs: CapabilityConfig[];
  capabilities: ResolvedCapabilities;
  network: ReturnType<typeof mergeNetwork>;
  /** null: nobody below the organization's default names one. */
  modelId: string | null;
  /** As the wire shows it. */
  config: Record<string, unknown>;
}

export async function resolveAgent(
  { db, capabilities: catalog }: Deps,
  organizationId: string,
  agent: AgentLayerFields,
): Promise<ResolvedAgent> {
  const chain = (await harnessChains(db, organizationId, [agent.harness_id])).get(agent.harness_id) ?? [];
  const nearestFirst = [agent, ...chain];
  const layers = nearestFirst.toReversed();
  const refs = mergeCapabilities(layers.map((layer) => layer.capabilities));
  const definitions = await readDefinitions(db, organizationId, declarativeNames(refs));
  const capabilities = catalog.resolve(
    withSkills(withDefinitions(refs, definitions), await readSkillHeads(db, organizationId, skillIds(refs))),
  );
  const offer = offerOf(
    {
      systemPrompt: mergePrompts(layers.map((layer) => layer.system_prompt)),
      clientTools: mergeClientTools([agent.tools]),
    },
    capabilities,
    null,
  );
  const network = mergeNetwork(layers.map((layer) => layer.network_access));
  const modelId = nearestFirst.map((layer) => layer.default_model_id).find((id) => id !== null) ?? null;
  const config = present({
    system_prompt: offer.systemPrompt,
    model_id: modelId,
    capabilities: refs,
    tools: toolsToWire(offer),
    initial_files: mergeFiles([
      definedFiles(refs, definitions),
      ...layers.map((layer) => layer.initial_files),
    ]),
    mcpServers: mergeMcpServers([
      ...definedMcpServers(refs, definitions),
      ...layers.map((layer) => layer.mcp_servers),
    ]),
    network_access: network,
    parallel_tool_calls:
      nearestFirst.map((layer) => layer.parallel_tool_calls).find((value) => value !== null) ?? null,
    default_delivery: agent.default_delivery ?? "steer",
    max_iterations: agent.max_iterations ?? limits.iterationsDefault,
  });
  return { offer, refs, capabilities, network, modelId, config };
}

/** Every tool that the model would be offered: those of the server with where they come from, then the client's. */
export function toolsToWire({ tools, clientTools }: Offer): Record<string, unknown>[] {
  return [
    ...[...tools.values()].map(({ tool, capabilityId, capabilityName }) => {
      const definition = toolDefinitionOf(tool);
      const from = { capability_id: capabilityId, capability_name: capabilityName };
      return { ...definition, hints: { ...(definition.hints as object), ...from } };
    }),
    ...[...clientTools.values()].map((tool) => present(tool)),
  ];
}

/** What a version keeps of the agent. */
export async function snapshotOf(deps: Deps, organizationId: string, agent: AgentRow): Promise<Snapshot> {
  const { config } = await resolveAgent(deps, organizationId, agent);
  return { authored: authoredOf(agent), resolved: config, hash: configHash(config) };
}

/** SHA-256, in hex, of a resolved configuration. */
export function configHash(config: Record<string, unknown>): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify(sortKeys(config))).digest("hex");
}

/** What a caller decides about the agent, and nothing else of its row. */
function authoredOf(agent: AgentRow): AgentFields {
  return {
    harness_id: agent.harness_id,
    name: agent.name,
    display_name: agent.display_name,
    description: agent.description,
    system_prompt: agent.system_prompt,
    default_model_id: agent.default_model_id,
    capabilities: agent.capabilities,
    tools: agent.tools,
    initial_files: agent.initial_files,
    mcp_servers: agent.mcp_servers,
    network_access: agent.network_access,
    parallel_tool_calls: agent.parallel_tool_calls,
    default_delivery: agent.default_delivery,
    max_iterations: agent.max_iterations,
    tags: agent.tags,
  };
}
