import {
  CapabilityConfig,
  CapabilityConfigInput,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
  WithUrls,
} from "./common.ts";
import { limits } from "./limits.ts";
import { DELIVERIES } from "./message.ts";
import { Id, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";
import { TokenUsage } from "./usage.ts";

export const RESOURCE_STATUSES = ["active", "archived", "deleted"] as const;

/** Stored configuration: prompt, model, capabilities, client tools, starter files, one harness. */
export const Agent = Type.Object({
  id: Id("agent"),
  name: Type.String(),
  display_name: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  system_prompt: Type.String(),
  harness_id: Id("harness"),
  default_model_id: Type.Optional(Type.String()),
  /** The same as `default_model_id`, under the name that the TypeScript SDK reads. */
  model: Type.Optional(Type.String()),
  capabilities: Type.Array(CapabilityConfig),
  tools: Type.Array(ToolDefinition),
  initial_files: Type.Array(InitialFile),
  mcpServers: McpServers,
  network_access: Type.Optional(NetworkAccessList),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  default_delivery: Type.Optional(OneOf(DELIVERIES)),
  max_iterations: Type.Optional(Type.Integer()),
  tags: Type.Array(Type.String()),
  status: OneOf(RESOURCE_STATUSES),
  forked_from_agent_id: Type.Optional(Id("agent")),
  forked_from_version_id: Type.Optional(Id("agentver")),
  root_agent_id: Type.Optional(Id("agent")),
  default_version_id: Type.Optional(Id("agentver")),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Agent = Static<typeof Agent>;

export const AgentWithUrls = WithUrls(Agent);
export type AgentWithUrls = Static<typeof AgentWithUrls>;

/** What reading adds: how much the agent is used. `usage` is the sum over its sessions. */
export const AgentWithCounts = Type.Intersect([
  AgentWithUrls,
  Type.Object({ session_count: Type.Integer(), app_count: Type.Integer(), usage: TokenUsage }),
]);
export type AgentWithCounts = Static<typeof AgentWithCounts>;

export const Name = Type.String({ description: "Lowercase words joined by hyphens, at most 64 characters." });

/** The configuration that agents and sessions share, as a request may carry it. */
export const LayerRequest = {
  capabilities: Maybe(Type.Array(CapabilityConfigInput, { maxItems: limits.capabilitiesMax })),
  tools: Maybe(Type.Array(ToolDefinition, { maxItems: limits.clientToolsMax })),
  initial_files: Maybe(Type.Array(InitialFile, { maxItems: limits.initialFilesMax })),
  mcpServers: Maybe(McpServers),
  network_access: Maybe(NetworkAccessList),
  parallel_tool_calls: Maybe(Type.Boolean()),
  /** What becomes of a message that finds its session busy and does not say. Null: `steer`. */
  default_delivery: Maybe(OneOf(DELIVERIES)),
  max_iterations: Maybe(Type.Integer({ minimum: 1, maximum: limits.maxIterationsMax })),
  tags: Maybe(Type.Array(Type.String({ maxLength: limits.tagCharsMax }), { maxItems: limits.tagsMax })),
};

const AgentRequest = {
  display_name: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
  description: Maybe(Type.String()),
  harness_id: Maybe(Type.String()),
  harness_name: Maybe(Type.String()),
  default_model_id: Maybe(Type.String()),
  /** The TypeScript SDK's name for `default_model_id`, which wins when both are there. */
  model: Maybe(Type.String()),
  ...LayerRequest,
};

/** With `id` the agent of that id is created or replaced; without, the one of that name. */
export const CreateAgentRequest = Type.Object({
  id: Maybe(Type.String()),
  name: Name,
  system_prompt: Type.String(),
  ...AgentRequest,
});
export type CreateAgentRequest = Static<typeof CreateAgentRequest>;

/**
 * Absent: stays as it is. Null: put back to its empty value, where there is one (`name`, `system_prompt`,
 * `harness_id` and `status` have none and stay).
 */
export const UpdateAgentRequest = Type.Object({
  name: Maybe(Name),
  system_prompt: Maybe(Type.String()),
  status: Maybe(OneOf(RESOURCE_STATUSES)),
  ...AgentRequest,
});
export type UpdateAgentRequest = Static<typeof UpdateAgentRequest>;

export const CheckAgentNameResponse = Type.Object({ available: Type.Boolean() });
