/**
 * PURE: what is amiss with an agent, by rules: no model is asked. Each rule says what it saw, where, and what to do
 * about it; a secret that it saw is not repeated. Ids of rules are stable, their words are not.
 */
import { FINDING_SEVERITIES, type Finding } from "../../contract/agent-analysis.ts";
import type { ToolDefinition } from "../../contract/common.ts";
import type { ModelState } from "../../db/providers/model-state.ts";
import { type AnalyzedAgent, finding } from "./finding.ts";
import { promptFindings } from "./prompt-rules.ts";
import { toolFindings } from "./tool-rules.ts";

const FINDINGS_MAX = 100;
const FIXED_TOKENS_MANY = 10_000;
const ITERATIONS_MANY = 1_000;

/** Warnings first, then suggestions, then what is good to know. */
export function analyzeAgent(agent: AnalyzedAgent): Finding[] {
  const findings = [
    ...modelFindings(agent.model),
    ...promptFindings(agent),
    ...toolFindings(agent),
    ...safetyFindings(agent),
    ...costFindings(agent),
  ];
  const rank = ({ severity }: Finding) => FINDING_SEVERITIES.indexOf(severity);
  return findings.sort((a, b) => rank(a) - rank(b)).slice(0, FINDINGS_MAX);
}

/** Vendors that answer nobody without a key at their own address. */
const NEEDS_KEY = new Set(["openai", "anthropic"]);

export function modelFindings(model: ModelState): Finding[] {
  const at = { field: "default_model_id" };
  if (model.id === null) {
    return [
      finding(
        ["model_missing", "warning", "structure"],
        "No model is set, for the agent, its harness or the organization.",
        "Set default_model_id, or choose a default model for the organization.",
        at,
      ),
    ];
  }
  if (model.model_id === null || !model.is_enabled || !model.is_provider_active) {
    const why =
      model.model_id === null
        ? `There is no model ${model.id}.`
        : `The model ${model.model_id} or its provider is switched off.`;
    return [
      finding(
        ["model_unavailable", "warning", "structure"],
        `${why} Every turn will fail.`,
        "Choose an enabled model of an active provider.",
        at,
      ),
    ];
  }
  if (model.has_key || model.base_url !== null || !NEEDS_KEY.has(model.provider_type ?? "")) return [];
  return [
    finding(
      ["provider_key_missing", "warning", "structure"],
      `The provider of ${model.model_id} has no API key. Every turn will fail.`,
      "Store the key with PATCH /v1/providers/{id}.",
      at,
    ),
  ];
}

const RISKY_NAME =
  /(?:^|[_-])(?:delete|remove|drop|destroy|purge|wipe|pay|charge|refund|transfer|purchase|buy|send|publish|deploy|cancel|terminate)(?:[_-]|$)/i;

function safetyFindings(agent: AnalyzedAgent): Finding[] {
  const findings: Finding[] = [];
  const isChanging = ({ hints }: ToolDefinition) => hints?.readonly !== true;
  const reaching = agent.serverTools.filter(({ isOpenWorld }) => isOpenWorld).map(({ name }) => name);
  const changing = agent.clientTools.filter(isChanging).map(({ name }) => name);
  if (reaching.length > 0 && agent.network.allowed.length === 0) {
    const tools = `${reaching.join(", ")} may reach every host`;
    findings.push(
      changing.length > 0
        ? finding(
            ["network_open_with_writes", "warning", "safety"],
            `${tools}, and ${changing.join(", ")} may change something: what a page says can make the agent act.`,
            "Allow only the hosts that are needed in network_access.allowed, or hold calls with tool_approval.",
            { field: "network_access" },
          )
        : finding(
            ["network_open", "info", "safety"],
            `${tools}.`,
            "Name the hosts that are needed in network_access.allowed.",
            { field: "network_access" },
          ),
    );
  }
  const risky = agent.clientTools.filter(
    ({ hints, name, policy }) =>
      policy !== "requires_approval" &&
      (hints?.destructive === true || (hints?.readonly !== true && RISKY_NAME.test(name))),
  );
  if (risky.length > 0 && agent.approval === null) {
    findings.push(
      finding(
        ["approval_missing", "warning", "safety"],
        `${risky.map(({ name }) => name).join(", ")} cannot be taken back, and nobody is asked.`,
        "Give the tool the policy requires_approval, or the agent the capability tool_approval.",
        { field: "capabilities" },
      ),
    );
  }
  for (const [name, server] of Object.entries(agent.mcpServers)) {
    const url = URL.parse(server.url ?? "");
    if (url?.protocol === "http:" && !/^(?:localhost|127\.|\[::1\])/.test(url.hostname)) {
      findings.push(
        finding(
          ["mcp_not_encrypted", "warning", "safety"],
          `The MCP server ${name} is reached without encryption.`,
          "Use an https address.",
          { field: `mcpServers.${name}.url` },
        ),
      );
    }
  }
  return findings;
}

function costFindings(agent: AnalyzedAgent): Finding[] {
  const findings: Finding[] = [];
  if (agent.fixedTokens > FIXED_TOKENS_MANY) {
    findings.push(
      finding(
        ["fixed_tokens_many", "info", "cost"],
        `Prompt and tools are about ${agent.fixedTokens} tokens, which go out with every model call.`,
        "Shorten the prompt, or leave out tools that are not used.",
        { field: "system_prompt" },
      ),
    );
  }
  const hasTools = agent.clientTools.length + agent.serverTools.length > 0;
  if (agent.maxIterations === 1 && hasTools) {
    findings.push(
      finding(
        ["iterations_too_few", "warning", "effectiveness"],
        "With one iteration the model never sees what a tool answered.",
        "Set max_iterations to at least 2.",
        { field: "max_iterations" },
      ),
    );
  }
  if (agent.maxIterations > ITERATIONS_MANY) {
    findings.push(
      finding(
        ["iterations_many", "info", "cost"],
        `One message may lead to ${agent.maxIterations} model calls.`,
        "Lower max_iterations, or give the agent a budget.",
        { field: "max_iterations" },
      ),
    );
  }
  return findings;
}
