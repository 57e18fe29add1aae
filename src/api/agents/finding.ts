import type { ApprovalPolicy } from "../../capabilities/capability.ts";
import type { Finding, FindingCategory, FindingSeverity } from "../../contract/agent-analysis.ts";
import type { McpServers, ToolDefinition } from "../../contract/common.ts";
import type { ModelState } from "../../db/providers/model-state.ts";

/** An agent as the rules look at it: its own words, and what it comes to with its harness. */
export interface AnalyzedAgent {
  /** The agent's own prompt. */
  prompt: string;
  /** Client-side tools, as they were sent. */
  clientTools: readonly ToolDefinition[];
  serverTools: readonly ServerTool[];
  /** Everything that capabilities of this program could bring. */
  knownTools: readonly { name: string; capabilityId: string }[];
  capabilityIds: readonly string[];
  unknownCapabilities: readonly string[];
  approval: ApprovalPolicy | null;
  network: { allowed: readonly string[]; blocked: readonly string[] };
  mcpServers: McpServers;
  maxIterations: number;
  model: ModelState;
  /** Tokens of the whole prompt and all tools, estimated: they go out with each model call. */
  fixedTokens: number;
}

export interface ServerTool {
  name: string;
  isOpenWorld: boolean;
}

/** A finding of a built-in rule. */
export function finding(
  rule: [ruleId: string, severity: FindingSeverity, category: FindingCategory],
  message: string,
  fix: string,
  location?: Finding["location"],
): Finding {
  const [rule_id, severity, category] = rule;
  return { rule_id, severity, category, message, fix, ...(location ? { location } : {}), source: "builtin" };
}
