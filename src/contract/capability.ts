import { WithUrls } from "./common.ts";
import { JsonObject, OneOf, type Static, Type } from "./schema.ts";

/** A named bundle of prompt and tools, as the catalog shows it. */
export const CapabilityInfo = Type.Object({
  id: Type.String(),
  name: Type.String(),
  description: Type.String(),
  status: Type.String({ description: "available, coming_soon" }),
  category: Type.Optional(Type.String()),
  icon: Type.Optional(Type.String()),
  risk_level: OneOf(["low", "medium", "high"]),
  features: Type.Array(Type.String()),
  dependencies: Type.Array(Type.String()),
  /** JSON Schema of `config`; absent when the capability takes none. */
  config_schema: Type.Optional(JsonObject),
  system_prompt: Type.Optional(Type.String()),
  tool_definitions: Type.Array(JsonObject),
  is_guardrail: Type.Boolean(),
  is_mcp: Type.Boolean(),
  is_skill: Type.Boolean(),
  agent_count: Type.Integer(),
  harness_count: Type.Integer(),
});
export type CapabilityInfo = Static<typeof CapabilityInfo>;

export const CapabilityInfoWithUrls = WithUrls(CapabilityInfo);
export type CapabilityInfoWithUrls = Static<typeof CapabilityInfoWithUrls>;
