import type {
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
} from "../contract/common.ts";
import { DECLARATIVE_PREFIX, type DeclarativeDefinition } from "../contract/declarative-capability.ts";
import { limits } from "../contract/limits.ts";
import type { ProviderLimits } from "../contract/provider.ts";
import type { SkillHead } from "../contract/skill-library.ts";
import { createGrouping } from "./_grouping.ts";
import { budgetsOf } from "./budgets/budgets.ts";
import type { LineageColumns } from "./lineage.ts";
import type { Db } from "./pool.ts";
import { type BreakerView, selectBreakerView } from "./providers/breakers.ts";
import { asRetryable } from "./sqlstate.ts";

const CONFIG_GROUP_MAX = 100;

/** What every layer of a turn's configuration may say; the engine merges harness chain, agent and session. */
export interface ConfigLayer {
  id: string;
  system_prompt: string | null;
  capabilities: CapabilityConfig[];
  initial_files: InitialFile[];
  mcp_servers: McpServers;
  network_access: NetworkAccessList | null;
  parallel_tool_calls: boolean | null;
}

export interface HarnessLayer extends ConfigLayer {
  name: string;
  parent_harness_id: string | null;
  default_model_id: string | null;
}

export interface AgentLayer extends ConfigLayer {
  name: string;
  display_name: string | null;
  harness_id: string;
  default_model_id: string | null;
  tools: ToolDefinition[];
  max_iterations: number | null;
  status: "active" | "archived" | "deleted";
}

export interface SessionLayer extends ConfigLayer, LineageColumns {
  harness_id: string;
  agent_id: string | null;
  workspace_id: string;
  model_id: string | null;
  title: string | null;
  locale: string | null;
  hints: Record<string, unknown> | null;
  tools: ToolDefinition[];
  max_iterations: number | null;
  tags: string[];
}

/** The model of a turn and the credentials to reach it. `api_key_sealed` must not leave the process. */
export interface ResolvedModel {
  model: { id: string; model_id: string; display_name: string; capabilities: string[] };
  provider: {
    id: string;
    name: string;
    provider_type: string;
    base_url: string | null;
    api_key_sealed: string | null;
    limits: ProviderLimits | null;
  };
  /** As of the reading; null is closed and without failures. */
  breaker: BreakerView | null;
}

export interface TurnConfig {
  session: SessionLayer;
  agent: AgentLayer | null;
  /** Nearest first: the session's harness, then its parent, and so on. */
  harnesses: HarnessLayer[];
  /** The organization's default model, or null when none is set. */
  defaultModelId: string | null;
  /** The model that the nearest layer naming one asks for; null when no layer and no default names one. */
  requestedModelId: string | null;
  /** null when there is no such model any more, or it or its provider is switched off. */
  model: ResolvedModel | null;
  /** Of the declarative capabilities that the layers name, by name. */
  definitions: Record<string, DeclarativeDefinition>;
  /** Of the skills that the layers name and agents may use, by id. */
  skills: Record<string, SkillHead>;
  /** Whether a budget counts the session's model calls: its own, its agent's, its owner's or the organization's. */
  hasBudgets: boolean;
}

export interface TurnConfigRef {
  sessionId: string;
  organizationId: string;
  controlsModelId: string | null;
  /** Who answers; absent or null: the session's own agent. */
  agentId?: string | null;
}

/**
 * Everything a turn is configured by, in one statement. The model is the first that is named by: the turn's
 * controls, the session, the agent, the nearest harness, the organization. It is not looked for further when that
 * one cannot be used: a turn must not silently run on another model than it was asked to.
 *
 * @param input.controlsModelId  what the message asked for; null when it did not
 * @returns null when the session does not exist (any more)
 */
export async function loadTurnConfig(db: Db, input: TurnConfigRef): Promise<TurnConfig | null> {
  try {
    return await askTurnConfig(db, input);
  } catch (error) {
    throw asRetryable(error);
  }
}

/** Grouped: the runs of a claim, and those of a busy worker, are configured by few statements. */
const askTurnConfig = createGrouping({ groupMax: CONFIG_GROUP_MAX, answer: loadTurnConfigs });

async function loadTurnConfigs(
  { sql }: Db,
  inputs: readonly TurnConfigRef[],
): Promise<(TurnConfig | null)[]> {
  const rows = await sql<(TurnConfigRow & { place: number })[]>`
    select asked.place, config.*
      from unnest(${inputs.map((one) => one.sessionId)}::text[], ${inputs.map((one) => one.organizationId)}::text[],
                  ${inputs.map((one) => one.controlsModelId)}::text[],
                  ${inputs.map((one) => one.agentId ?? null)}::text[], ${inputs.map((_, place) => place)}::int[])
             as asked(session_id, organization_id, controls_model_id, agent_id, place),
           lateral (
         with recursive session as (
           select id, harness_id, agent_id, agent_version_id, workspace_id, model_id, title, locale, hints, system_prompt, capabilities,
                  tools, initial_files, mcp_servers, network_access, parallel_tool_calls, max_iterations, tags,
                  lineage_ids, lineage_up_to
             from sessions
            where id = asked.session_id and organization_id = asked.organization_id and deleted_at is null
         ), agent as (
           select a.id, a.name, a.display_name, a.harness_id, a.default_model_id, a.system_prompt, a.capabilities, a.tools,
                  a.initial_files, a.mcp_servers, a.network_access, a.parallel_tool_calls, a.max_iterations, a.status
             from session
             join agents live on live.id = coalesce(asked.agent_id, session.agent_id)
             left join agent_versions v on v.id = session.agent_version_id and v.agent_id = live.id,
             -- As the session's version says; without one, as it is now.
             lateral jsonb_populate_record(live, coalesce(v.authored_config - 'name', '{}')) a
            where live.organization_id = asked.organization_id
         ), chain as (
           select h.id, h.name, h.parent_harness_id, h.default_model_id, h.system_prompt, h.capabilities, h.initial_files,
                  h.mcp_servers, h.network_access, h.parallel_tool_calls, 1 as depth
             from harnesses h join session on h.id = session.harness_id
           union all
           select h.id, h.name, h.parent_harness_id, h.default_model_id, h.system_prompt, h.capabilities, h.initial_files,
                  h.mcp_servers, h.network_access, h.parallel_tool_calls, chain.depth + 1
             from harnesses h join chain on h.id = chain.parent_harness_id
            where chain.depth < ${limits.harnessDepthMax}
         ), wanted as (
           select coalesce(
                    asked.controls_model_id,
                    (select model_id from session),
                    (select default_model_id from agent),
                    (select default_model_id from chain where default_model_id is not null order by depth limit 1),
                    organizations.default_model_id
                  ) as model_id,
                  organizations.default_model_id
             from organizations where id = asked.organization_id
         ), model as (
           select jsonb_build_object(
                    'model', jsonb_build_object('id', m.id, 'model_id', m.model_id, 'display_name', m.display_name,
                                                'capabilities', m.capabilities),
                    'provider', jsonb_build_object('id', p.id, 'name', p.name, 'provider_type', p.provider_type,
                                                   'base_url', p.base_url, 'api_key_sealed', p.api_key_sealed,
                                                   'limits', p.limits),
                    'breaker', ${selectBreakerView({ sql })}
                  ) as resolved
             from wanted
             join models m on m.id = wanted.model_id and m.organization_id = asked.organization_id and m.enabled
             join providers p on p.id = m.provider_id and p.status = 'active'
             left join circuit_breakers b on b.provider_id = p.id and b.model_id = m.model_id
         )
         select to_jsonb(session) as session,
                (select to_jsonb(agent) from agent) as agent,
                (select jsonb_agg(to_jsonb(chain) - 'depth' order by depth) from chain) as harnesses,
                wanted.default_model_id,
                wanted.model_id as requested_model_id,
                (select resolved from model) as model,
                (select jsonb_object_agg(d.name, d.definition)
                   from declarative_capabilities d
                  where d.organization_id = asked.organization_id and d.status <> 'deleted'
                    and d.name in (
                          select substr(item->>'ref', ${DECLARATIVE_PREFIX.length + 1})
                            from (select capabilities from session union all select capabilities from agent
                                  union all select capabilities from chain) named,
                                 jsonb_array_elements(named.capabilities) item
                           where starts_with(item->>'ref', ${DECLARATIVE_PREFIX}))) as definitions,
                (select jsonb_object_agg(k.id, jsonb_build_object('name', k.name, 'description', k.description))
                   from skills k
                  where k.organization_id = asked.organization_id and k.status = 'active'
                    and not k.disable_model_invocation
                    and k.id in (
                          -- As contract/stored-reference.ts reads it.
                          select 'skill_' || replace(replace(lower(substr(item->>'ref', 7)), 'skill_', ''), '-', '')
                            from (select capabilities from session union all select capabilities from agent
                                  union all select capabilities from chain) named,
                                 jsonb_array_elements(named.capabilities) item
                           where starts_with(item->>'ref', 'skill:'))) as skills,
                exists (select from sessions s ${budgetsOf(sql)}
                         where s.id = asked.session_id and b.status <> 'disabled') as has_budgets
           from session cross join wanted
           ) config`;
  const found: (TurnConfig | null)[] = inputs.map(() => null);
  for (const row of rows) {
    found[row.place] = {
      session: row.session,
      agent: row.agent,
      harnesses: row.harnesses,
      defaultModelId: row.default_model_id,
      requestedModelId: row.requested_model_id,
      model: row.model,
      definitions: row.definitions ?? {},
      skills: row.skills ?? {},
      hasBudgets: row.has_budgets,
    };
  }
  return found;
}

interface TurnConfigRow {
  session: SessionLayer;
  agent: AgentLayer | null;
  harnesses: HarnessLayer[];
  default_model_id: string | null;
  requested_model_id: string | null;
  model: ResolvedModel | null;
  definitions: Record<string, DeclarativeDefinition> | null;
  skills: Record<string, SkillHead> | null;
  has_budgets: boolean;
}
