/**
 * PURE: the configuration of one turn, merged from its layers: harness chain (farthest first), agent, session.
 * Prompt texts are joined in that order; of two configurations of one capability the later layer's stands; of
 * network rules the allowed lists intersect and the blocked ones add up; of single values the nearest wins.
 */
import { definedMcpServers, withDefinitions } from "../capabilities/declarative.ts";
import {
  type MergedNetwork,
  mergeCapabilities,
  mergeClientTools,
  mergeMcpServers,
  mergeNetwork,
  mergePrompts,
} from "../capabilities/layers.ts";
import { withSkills } from "../capabilities/skills.ts";
import type { CapabilityConfig, McpServers, ToolDefinition } from "../contract/common.ts";
import { limits } from "../contract/limits.ts";
import type { ConfigLayer, TurnConfig } from "../db/sessions.ts";

export interface TurnPlan {
  systemPrompt: string;
  capabilities: CapabilityConfig[];
  /** Tools that the client runs; of two of one name the session's stands. */
  clientTools: ToolDefinition[];
  /** Those that declarative capabilities bring along, and those of all layers, by name. */
  mcpServers: McpServers;
  network: MergedNetwork;
  iterationsMax: number;
  /** null leaves it to the provider. */
  parallelToolCalls: boolean | null;
}

export function planTurn(config: TurnConfig): TurnPlan {
  const nearestFirst: ConfigLayer[] = [
    config.session,
    ...(config.agent ? [config.agent] : []),
    ...config.harnesses,
  ];
  const layers = [...nearestFirst].reverse();
  const capabilities = mergeCapabilities(layers.map((layer) => layer.capabilities));
  return {
    systemPrompt: mergePrompts(layers.map((layer) => layer.system_prompt)),
    capabilities: withSkills(withDefinitions(capabilities, config.definitions), config.skills),
    clientTools: mergeClientTools([config.agent?.tools ?? [], config.session.tools]),
    mcpServers: mergeMcpServers([
      ...definedMcpServers(capabilities, config.definitions),
      ...layers.map((layer) => layer.mcp_servers),
    ]),
    network: mergeNetwork(layers.map((layer) => layer.network_access)),
    iterationsMax: config.session.max_iterations ?? config.agent?.max_iterations ?? limits.iterationsDefault,
    parallelToolCalls:
      nearestFirst.map((layer) => layer.parallel_tool_calls).find((value) => value !== null) ?? null,
  };
}
