/** Shapes that several resources share: capability references, files, tools, network rules, links, lists. */

import { limits } from "./limits.ts";
import { JsonObject, MapOf, Maybe, OneOf, type Static, type TSchema, Type } from "./schema.ts";

/** A capability by reference, with its configuration. Order matters: prompt texts are joined in it. */
export const CapabilityConfig = Type.Object({
  ref: Type.String({ minLength: 1, maxLength: 200 }),
  config: Type.Optional(Type.Unknown()),
});
export type CapabilityConfig = Static<typeof CapabilityConfig>;

/** On the way in a bare `"web_fetch"` means `{"ref": "web_fetch"}`. */
export const CapabilityConfigInput = Type.Union([
  Type.String({ minLength: 1, maxLength: 200 }),
  CapabilityConfig,
]);
export type CapabilityConfigInput = Static<typeof CapabilityConfigInput>;

/** A file that a new workspace starts with. `content` is text, or base64 when `encoding` says so. */
export const InitialFile = Type.Object({
  path: Type.String({ minLength: 1, maxLength: limits.pathCharsMax }),
  content: Type.String(),
  encoding: Type.Optional(OneOf(["text", "base64"])),
  is_readonly: Type.Optional(Type.Boolean()),
});
export type InitialFile = Static<typeof InitialFile>;

/**
 * A tool that the client runs itself. `parameters` is a JSON Schema. Other types than `client_side` may be sent, known
 * ones (`builtin`) and others; they are dropped, only the server defines server tools.
 */
export const ToolDefinition = Type.Object({
  type: Type.String({ maxLength: limits.nameCharsMax, examples: ["client_side"] }),
  name: Type.String({ minLength: 1, maxLength: limits.nameCharsMax, pattern: "^[a-zA-Z0-9_-]+$" }),
  description: Type.String({ maxLength: limits.toolDescriptionCharsMax }),
  parameters: Type.Unknown(),
  full_parameters: Type.Optional(Type.Unknown()),
  display_name: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
  category: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
  hints: Type.Optional(JsonObject),
  deferrable: Type.Optional(OneOf(["never", "automatic", "always"])),
  policy: Type.Optional(OneOf(["auto", "requires_approval", "client_side"])),
});
export type ToolDefinition = Static<typeof ToolDefinition>;

const NetworkRules = Type.Array(Type.String({ maxLength: limits.networkRuleCharsMax }), {
  maxItems: limits.networkRulesMax,
});

/** Hosts that tools may (`allowed`, when it is not empty) and may never (`blocked`) reach. */
export const NetworkAccessList = Type.Object({
  allowed: Type.Optional(NetworkRules),
  blocked: Type.Optional(NetworkRules),
});
export type NetworkAccessList = Static<typeof NetworkAccessList>;

/** MCP servers of one layer, by name. */
export const McpServers = MapOf(
  Type.Object({
    type: Type.Optional(OneOf(["http", "stdio"])),
    url: Type.Optional(Type.String()),
    command: Maybe(Type.String()),
    args: Type.Optional(Type.Array(Type.String())),
    env: Type.Optional(MapOf(Type.String())),
    headers: Type.Optional(MapOf(Type.String())),
    auth_mode: Type.Optional(OneOf(["none", "api_key", "o_auth"])),
    oauth_provider_id: Maybe(Type.String()),
    protocol_mode: Type.Optional(OneOf(["auto", "legacy", "stable", "rc"])),
    tool_discovery: Type.Optional(Type.Boolean()),
  }),
);
export type McpServers = Static<typeof McpServers>;

/** What the caller may do next with an object, or about an error. */
export const AllowedAction = Type.Object({
  rel: Type.String(),
  method: Type.Optional(Type.String()),
  href: Type.Optional(Type.String()),
  operation_id: Type.Optional(Type.String()),
  hint: Type.Optional(Type.String()),
});
export type AllowedAction = Static<typeof AllowedAction>;

/** The fields that every object carries beside its own. */
export const Urls = Type.Object({
  self_url: Type.String(),
  view_url: Type.String(),
  ui_link: Type.String(),
  allowed_actions: Type.Array(AllowedAction),
});
export type Urls = Static<typeof Urls>;

export const WithUrls = <T extends TSchema>(schema: T) => Type.Intersect([schema, Urls]);

/** `GET /v1/{resource}/config`: which actions a user interface should offer. */
export const ResourceConfigResponse = Type.Object({ policies: MapOf(Type.Boolean()) });

/** Sessions, runs, tokens and cost of one agent or harness. Durations in milliseconds, cost in US dollars. */
export const ResourceStats = Type.Object({
  session_count: Type.Integer(),
  active_session_count: Type.Integer(),
  idle_session_count: Type.Integer(),
  started_session_count: Type.Integer(),
  waiting_for_tool_results_session_count: Type.Integer(),
  execution_count: Type.Integer(),
  first_session_at: Type.Optional(Type.String({ format: "date-time" })),
  last_session_at: Type.Optional(Type.String({ format: "date-time" })),
  last_execution_at: Type.Optional(Type.String({ format: "date-time" })),
  total_session_duration_ms: Type.Integer(),
  avg_session_duration_ms: Type.Optional(Type.Integer()),
  total_input_tokens: Type.Integer(),
  total_output_tokens: Type.Integer(),
  total_cache_read_tokens: Type.Integer(),
  total_cache_creation_tokens: Type.Integer(),
  total_cost_usd: Type.Number(),
  total_actual_cost_usd: Type.Number(),
  total_estimated_cost_usd: Type.Number(),
});
export type ResourceStats = Static<typeof ResourceStats>;

/** Lowercase words joined by single hyphens, at most 64 characters. */
export const SLUG = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
