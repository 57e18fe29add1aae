import { RESOURCE_STATUSES } from "./agent.ts";
import { CapabilityConfig, InitialFile, McpServers, NetworkAccessList, WithUrls } from "./common.ts";
import { Id, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** The layer below an agent. Built-in ones belong to no organization and cannot be changed. */
export const Harness = Type.Object({
  id: Id("harness"),
  name: Type.String(),
  display_name: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  system_prompt: Type.Optional(Type.String()),
  parent_harness_id: Type.Optional(Id("harness")),
  default_model_id: Type.Optional(Type.String()),
  capabilities: Type.Array(CapabilityConfig),
  initial_files: Type.Array(InitialFile),
  mcpServers: McpServers,
  network_access: Type.Optional(NetworkAccessList),
  parallel_tool_calls: Type.Optional(Type.Boolean()),
  tags: Type.Array(Type.String()),
  is_built_in: Type.Boolean(),
  status: OneOf(RESOURCE_STATUSES),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Harness = Static<typeof Harness>;

export const HarnessWithCounts = Type.Intersect([
  WithUrls(Harness),
  Type.Object({ agent_count: Type.Integer(), session_count: Type.Integer(), app_count: Type.Integer() }),
]);
export type HarnessWithCounts = Static<typeof HarnessWithCounts>;
