import { LayerRequest, Name, RESOURCE_STATUSES } from "./agent.ts";
import { CapabilityConfig, InitialFile, McpServers, NetworkAccessList, WithUrls } from "./common.ts";
import { limits } from "./limits.ts";
import { Id, JsonObject, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** Words of whoever embeds the platform: kept and given back, never read. */
const EmbedderMetadata = MapOf(Type.String());

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
  embedder_metadata: EmbedderMetadata,
  tags: Type.Array(Type.String()),
  is_built_in: Type.Boolean(),
  status: OneOf(RESOURCE_STATUSES),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Harness = Static<typeof Harness>;

export const HarnessWithUrls = WithUrls(Harness);
export type HarnessWithUrls = Static<typeof HarnessWithUrls>;

export const HarnessWithCounts = Type.Intersect([
  HarnessWithUrls,
  Type.Object({ agent_count: Type.Integer(), session_count: Type.Integer(), app_count: Type.Integer() }),
]);
export type HarnessWithCounts = Static<typeof HarnessWithCounts>;

const HarnessRequest = {
  display_name: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
  description: Maybe(Type.String()),
  system_prompt: Maybe(Type.String()),
  parent_harness_id: Maybe(Type.String()),
  default_model_id: Maybe(Type.String()),
  embedder_metadata: Maybe(EmbedderMetadata),
  capabilities: LayerRequest.capabilities,
  initial_files: LayerRequest.initial_files,
  mcpServers: LayerRequest.mcpServers,
  network_access: LayerRequest.network_access,
  parallel_tool_calls: LayerRequest.parallel_tool_calls,
  tags: LayerRequest.tags,
};

export const CreateHarnessRequest = Type.Object({ name: Name, ...HarnessRequest });
export type CreateHarnessRequest = Static<typeof CreateHarnessRequest>;

/** Absent: stays as it is. Null: put back to its empty value (`name` and `status` have none and stay). */
export const UpdateHarnessRequest = Type.Object({
  name: Maybe(Name),
  status: Maybe(OneOf(RESOURCE_STATUSES)),
  ...HarnessRequest,
});
export type UpdateHarnessRequest = Static<typeof UpdateHarnessRequest>;

export const PreviewHarnessRequest = Type.Object({
  system_prompt: Maybe(Type.String()),
  parent_harness_id: Maybe(Type.String()),
  capabilities: LayerRequest.capabilities,
  mcpServers: LayerRequest.mcpServers,
});
export type PreviewHarnessRequest = Static<typeof PreviewHarnessRequest>;

export const HarnessPreviewResponse = Type.Object({
  system_prompt: Type.String(),
  tools: Type.Array(JsonObject),
});

/** A harness to begin with. The camelCase fields say the same again: the TypeScript SDK reads those. */
export const HarnessExample = Type.Object({
  name: Type.String(),
  display_name: Type.String(),
  displayName: Type.String(),
  description: Type.String(),
  /** Meant for trying things out. */
  dev_only: Type.Boolean(),
  devOnly: Type.Boolean(),
  /** The harness that it inherits from, by name. */
  parent_name: Type.Optional(Type.String()),
  parentName: Type.Optional(Type.String()),
  capabilities: Type.Array(CapabilityConfig),
  tags: Type.Array(Type.String()),
});
export type HarnessExample = Static<typeof HarnessExample>;
