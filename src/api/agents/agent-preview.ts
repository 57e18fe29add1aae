/** What an agent would give its model, and what is amiss with it. Nothing is stored, and nobody is called. */
import {
  AgentAnalysisResponse,
  AgentPreviewResponse,
  FINDING_SEVERITIES,
  type Finding,
  PreviewAgentRequest,
} from "../../contract/agent-analysis.ts";
import type { ToolDefinition } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import { readHarness } from "../../db/agents/harnesses.ts";
import { modelState } from "../../db/providers/model-state.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { type AgentLayerFields, type ResolvedAgent, resolveAgent, toolsToWire } from "./agent-config.ts";
import { readChanges } from "./agent-input.ts";
import { analyzeAgent } from "./agent-rules.ts";
import type { AnalyzedAgent } from "./finding.ts";
import { EMPTY_LAYER, requireJsonBytes } from "./layer.ts";

type Deps = Pick<ApiDeps, "db" | "capabilities" | "reviewAgent">;

export function agentPreviewRoutes(deps: Deps): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/agents/preview",
      operationId: "preview_agent",
      tag: "agents",
      summary: "The prompt and the tools that an agent would give its model",
      description:
        "Made as a turn makes them: with the harness (the default one, when none is named) and the capabilities of " +
        "both. `findings` are those of the analysis. Nothing is stored and nobody is called: the tools of MCP servers " +
        "are not in it.",
      access: "read",
      body: PreviewAgentRequest,
      responses: { 200: AgentPreviewResponse },
      problems: ["invalid_id", "limit_exceeded"],
      async run({ body, caller }) {
        const { resolved, findings } = await look(deps, caller, body);
        return reply(200, {
          system_prompt: resolved.offer.systemPrompt,
          tools: toolsToWire(resolved.offer),
          findings,
        });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/analyze",
      operationId: "analyze_agent",
      tag: "agents",
      summary: "What is amiss with an agent",
      description:
        "By built-in rules (`source: builtin`), and by the agent's model (`source: llm`, one call that is in no session's " +
        "usage) when the caller may write agents and the model is a real one: not the simulated one. A model that could " +
        "not be asked is a finding, `model_not_asked`. Warnings come first. Each finding has a `rule_id`, which is stable " +
        "for the rules, what was seen, where, and a `fix`.",
      access: "read",
      body: PreviewAgentRequest,
      responses: { 200: AgentAnalysisResponse },
      problems: ["invalid_id", "limit_exceeded"],
      async run({ body, caller, request }) {
        const { resolved, findings } = await look(deps, caller, body);
        const reviewed = caller.canWrite ? await review(deps, caller, body, resolved, request.signal) : [];
        return reply(200, { findings: gravestFirst([...findings, ...reviewed]) });
      },
    }),
  ];
}

async function look(
  deps: Deps,
  caller: Caller,
  body: PreviewAgentRequest,
): Promise<{ resolved: ResolvedAgent; findings: Finding[] }> {
  const { organizationId } = caller;
  const { tools, default_model_id: modelId, ...rest } = body;
  for (const tool of tools ?? []) requireJsonBytes("tools", tool, limits.toolDefinitionBytesMax);
  // A model that is not there is a finding, not a refusal; so are tools that are not whole.
  const changes = await readChanges(deps, { ...caller, isAdmin: true }, rest);
  const harness = changes.harness_id ?? (await readHarness(deps.db, organizationId, "default"))?.id;
  if (harness === undefined) throw new Error("the default harness is missing");
  const agent: AgentLayerFields = {
    ...EMPTY_LAYER,
    ...changes,
    harness_id: harness,
    system_prompt: body.system_prompt,
    default_model_id: modelId ?? null,
    tools: (tools ?? []).flatMap(toolOf),
  };
  const resolved = await resolveAgent(deps, organizationId, agent);
  return { resolved, findings: await findingsOf(deps, organizationId, agent, resolved) };
}

/** What its model finds; nothing when it has none that could be asked. */
async function review(
  { db, reviewAgent }: Deps,
  { organizationId }: Caller,
  { system_prompt: prompt }: PreviewAgentRequest,
  { modelId, offer }: ResolvedAgent,
  signal: AbortSignal,
): Promise<Finding[]> {
  const model = await modelState(db, organizationId, modelId);
  const isReal = model.provider_type !== null && model.provider_type !== "llmsim";
  const isReady = model.is_enabled && model.is_provider_active && (model.has_key || model.base_url !== null);
  if (model.id === null || !isReal || !isReady) return [];
  const tools = toolsToWire(offer).map(({ name, description }) => ({
    name: String(name),
    description: String(description),
  }));
  return reviewAgent({ organizationId, modelId: model.id, prompt, tools }, signal);
}

const gravestFirst = (findings: readonly Finding[]): Finding[] =>
  FINDING_SEVERITIES.flatMap((severity) => findings.filter((one) => one.severity === severity));

/** What is amiss with an agent, by the rules. */
export async function findingsOf(
  { db, capabilities }: Pick<ApiDeps, "db" | "capabilities">,
  organizationId: string,
  agent: AgentLayerFields,
  resolved: ResolvedAgent,
): Promise<Finding[]> {
  const known = capabilities
    .list()
    .flatMap(({ id, tool_definitions: tools }) =>
      tools.map(({ name }) => ({ name: String(name), capabilityId: id })),
    );
  const serverTools = resolved.capabilities.tools.map(({ tool }) => ({
    name: tool.name,
    isOpenWorld: tool.hints?.open_world === true,
  }));
  const fixed = resolved.offer.systemPrompt + JSON.stringify(toolsToWire(resolved.offer));
  const analyzed: AnalyzedAgent = {
    prompt: agent.system_prompt,
    clientTools: agent.tools,
    serverTools,
    knownTools: known,
    capabilityIds: resolved.refs.map(({ ref }) => ref),
    unknownCapabilities: resolved.capabilities.unknown,
    approval: resolved.capabilities.approval,
    network: resolved.network,
    mcpServers: agent.mcp_servers,
    maxIterations: agent.max_iterations ?? limits.iterationsDefault,
    model: await modelState(db, organizationId, resolved.modelId),
    // About four characters a token.
    fixedTokens: Math.ceil(fixed.length / 4),
  };
  return analyzeAgent(analyzed);
}

/** A client-side tool, however little it says; what is no tool of the client's, or has no name, is left out. */
function toolOf(sent: Record<string, unknown>): ToolDefinition[] {
  const { name, type = "client_side" } = sent;
  if (type !== "client_side" || typeof name !== "string" || name === "") return [];
  const hints = typeof sent.hints === "object" && sent.hints !== null ? { hints: sent.hints as object } : {};
  const policy = sent.policy === "requires_approval" ? { policy: "requires_approval" as const } : {};
  return [
    {
      type: "client_side",
      name,
      description: typeof sent.description === "string" ? sent.description : "",
      parameters: sent.parameters ?? {},
      ...(hints as Pick<ToolDefinition, "hints">),
      ...policy,
    },
  ];
}
