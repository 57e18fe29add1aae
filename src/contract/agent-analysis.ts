/** What an agent would give its model, and what is amiss with it, before it is stored. */
import { LayerRequest } from "./agent.ts";
import { limits } from "./limits.ts";
import { JsonObject, Maybe, OneOf, type Static, Type } from "./schema.ts";

export const FINDING_SEVERITIES = ["warning", "suggestion", "info"] as const;
export type FindingSeverity = (typeof FINDING_SEVERITIES)[number];

export const FINDING_CATEGORIES = ["structure", "completeness", "effectiveness", "safety", "cost"] as const;
export type FindingCategory = (typeof FINDING_CATEGORIES)[number];

export const FINDING_SOURCES = ["builtin", "llm", "health_check"] as const;

/** `start` and `end` count characters of the field's text, as JavaScript counts them. */
export const FindingLocation = Type.Object({
  field: Type.String(),
  start: Type.Optional(Type.Integer()),
  end: Type.Optional(Type.Integer()),
});

export const Finding = Type.Object({
  /** Stable: `prompt_empty`. */
  rule_id: Type.String(),
  severity: OneOf(FINDING_SEVERITIES),
  category: OneOf(FINDING_CATEGORIES),
  message: Type.String(),
  /** What to do. */
  fix: Type.Optional(Type.String()),
  location: Type.Optional(FindingLocation),
  source: OneOf(FINDING_SOURCES),
});
export type Finding = Static<typeof Finding>;

/** The fields of an agent that turns are made of. Tools need not be whole: what they lack is found. */
export const PreviewAgentRequest = Type.Object({
  system_prompt: Type.String(),
  capabilities: LayerRequest.capabilities,
  tools: Maybe(Type.Array(JsonObject, { maxItems: limits.clientToolsMax })),
  mcpServers: LayerRequest.mcpServers,
  harness_id: Maybe(Type.String()),
  harness_name: Maybe(Type.String()),
  default_model_id: Maybe(Type.String({ maxLength: limits.nameCharsMax })),
  network_access: LayerRequest.network_access,
  parallel_tool_calls: LayerRequest.parallel_tool_calls,
  max_iterations: LayerRequest.max_iterations,
});
export type PreviewAgentRequest = Static<typeof PreviewAgentRequest>;

export const AgentPreviewResponse = Type.Object({
  system_prompt: Type.String(),
  tools: Type.Array(JsonObject),
  findings: Type.Array(Finding),
});

export const AgentAnalysisResponse = Type.Object({ findings: Type.Array(Finding) });
