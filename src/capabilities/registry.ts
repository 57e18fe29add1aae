/**
 * The list of capabilities, and what an agent's references to them amount to: one prompt and a list of tools.
 */
import { z } from "zod";
import type { ApprovalPolicy, Capability, MountSpec } from "./capability.ts";
import { currentTime } from "./current-time.ts";
import { declarativeCapability } from "./declarative.ts";
import type { Guardrails } from "./guardrail-checks.ts";
import { guardrails } from "./guardrails.ts";
import { memory } from "./memory.ts";
import { outboundPolicy, refuseServerUrl } from "./outbound.ts";
import { sessionDatabase } from "./session-database.ts";
import { sessionFiles } from "./session-files.ts";
import { sessionSchedule } from "./session-schedule.ts";
import { sessionStorage } from "./session-storage.ts";
import { skillCapability, skills } from "./skills.ts";
import { subagents } from "./subagents.ts";
import { timer } from "./timer.ts";
import type { Tool } from "./tool.ts";
import { toolApproval } from "./tool-approval.ts";
import { type WebFetchOptions, webFetchCapability } from "./web-fetch.ts";

/** `{ref, config}` as agents, harnesses and sessions carry it. */
export interface CapabilityRef {
  ref: string;
  config?: unknown;
}

export interface ResolvedTool {
  tool: Tool;
  capabilityId: string;
  capabilityName: string;
}

export interface ResolvedCapabilities {
  /** The prompt texts in order, parted by an empty line; empty when there are none. */
  prompt: string;
  /** The texts that the prompt is made of, and whose they are. */
  prompts: { capabilityId: string; capabilityName: string; text: string }[];
  tools: ResolvedTool[];
  /** Which calls wait for a person; null: none. */
  approval: ApprovalPolicy | null;
  /** Memories in the session's files. */
  mounts: MountSpec[];
  /** What checks the turn's texts, in the order of the capabilities. */
  guards: Guardrails[];
  /** References that name nothing here. A stored agent may outlive a capability; its other ones still work. */
  unknown: string[];
}

/** A capability as plain data, named as on the wire. */
export interface CapabilityEntry {
  id: string;
  name: string;
  description: string;
  category: string;
  icon: string;
  risk_level: "low" | "medium" | "high";
  is_guardrail: boolean;
  features: readonly string[];
  dependencies: readonly string[];
  /** JSON Schema of `config`; null when the capability takes none. */
  config_schema: Record<string, unknown> | null;
  /** What it adds to the system prompt without any configuration; null adds nothing. */
  system_prompt: string | null;
  /** The tools that it has without any configuration. */
  tool_definitions: readonly Record<string, unknown>[];
}

export interface Capabilities {
  /** In the order in which they are shown. */
  list(): readonly CapabilityEntry[];
  /** null when there is none of that id. */
  find(id: string): CapabilityEntry | null;
  /** Why no server can be at this address, for people; null when one may be. What is stored is judged by it. */
  refuseServerUrl(url: string): string | null;
  /** null when `ref` exists and takes this configuration; otherwise what is wrong, for people. */
  validate(ref: string, config: unknown): string | null;
  /**
   * Prompt and tools of a list of references. Dependencies come before what needs them; the order is kept
   * otherwise. A reference that occurs again stays at its first place and takes the later configuration. A stored
   * configuration that no longer fits (it did when it was written) gives way to the capability's defaults. The
   * definition of a declarative one stands in its configuration (declarative.ts).
   */
  resolve(refs: readonly CapabilityRef[]): ResolvedCapabilities;
}

/** Everything that the operator decides about capabilities. */
export interface CapabilityOptions {
  webFetch?: WebFetchOptions;
  /** Capabilities beside those of the house, behind them in the list. */
  more?: readonly Capability[];
}

/** Lists of references whose tools are kept: turns come with few different ones, and schemas take long to make. */
const RESOLVED_MAX = 256;

export function createCapabilities(options: CapabilityOptions = {}): Capabilities {
  const all: readonly Capability[] = [
    currentTime,
    timer,
    sessionSchedule,
    subagents,
    sessionFiles,
    memory,
    sessionStorage,
    sessionDatabase,
    skills,
    webFetchCapability(options.webFetch ?? {}),
    toolApproval,
    guardrails,
    ...(options.more ?? []),
  ];
  const { allowPrivateHosts } = outboundPolicy(options.webFetch ?? {});
  const byId = new Map(all.map((capability) => [capability.id, capability]));
  const resolved = new Map<string, ResolvedCapabilities>();
  return {
    list: () => all.map(toEntry),
    find(id) {
      const capability = byId.get(id);
      return capability ? toEntry(capability) : null;
    },
    refuseServerUrl: (url) => refuseServerUrl(url, allowPrivateHosts),
    validate: (ref, config) => validate(byId, ref, config),
    resolve(refs) {
      const key = JSON.stringify(refs.map(({ ref, config }) => [ref, config]));
      const known = resolved.get(key);
      if (known) return known;
      const fresh = resolve(byId, refs);
      if (resolved.size >= RESOLVED_MAX) resolved.clear();
      resolved.set(key, fresh);
      return fresh;
    },
  };
}

function resolve(
  byId: ReadonlyMap<string, Capability>,
  refs: readonly CapabilityRef[],
): ResolvedCapabilities {
  const configs = new Map<string, unknown>();
  for (const { ref, config } of refs) {
    if (config !== undefined || !configs.has(ref)) configs.set(ref, config);
  }
  const ordered = new Map<string, Capability>();
  const unknown = new Set<string>();
  const add = (id: string) => {
    const config = configs.get(id);
    const capability = byId.get(id) ?? declarativeCapability(id, config) ?? skillCapability(id, config);
    if (!capability) {
      unknown.add(id);
      return;
    }
    if (ordered.has(id)) return;
    for (const dependency of capability.dependencies) add(dependency);
    ordered.set(id, capability);
  };
  for (const { ref } of refs) add(ref);

  const prompts: ResolvedCapabilities["prompts"] = [];
  const tools = new Map<string, ResolvedTool>();
  const mounts: MountSpec[] = [];
  const guards: Guardrails[] = [];
  let approval: ApprovalPolicy | null = null;
  for (const capability of ordered.values()) {
    const config = fittingConfig(capability, configs.get(capability.id));
    const prompt = capability.prompt(config);
    if (prompt) {
      prompts.push({ capabilityId: capability.id, capabilityName: capability.name, text: prompt.trim() });
    }
    approval = capability.approval(config) ?? approval;
    const guard = capability.guard(config);
    if (guard) guards.push(guard);
    mounts.push(...capability.mounts(config));
    for (const tool of capability.tools(config)) {
      // Two tools of one name: the first stands, as the model can call only one of them.
      if (tools.has(tool.name)) continue;
      tools.set(tool.name, { tool, capabilityId: capability.id, capabilityName: capability.name });
    }
  }
  return {
    prompt: prompts.map(({ text }) => text).join("\n\n"),
    prompts,
    tools: [...tools.values()],
    approval,
    mounts,
    guards,
    unknown: [...unknown],
  };
}

function fittingConfig(capability: Capability, config: unknown): unknown {
  return capability.config?.safeParse(config ?? {}).success ? config : undefined;
}

function validate(byId: ReadonlyMap<string, Capability>, ref: string, config: unknown): string | null {
  const capability = byId.get(ref);
  if (!capability) {
    return `there is no capability ${JSON.stringify(ref)}; available: ${[...byId.keys()].join(", ")}`;
  }
  // What a capability does not know is passed over, as every field that nobody knows.
  if (config === undefined || config === null || !capability.config) return null;
  const parsed = capability.config.safeParse(config);
  if (parsed.success) return null;
  return `config of the capability ${ref}: ${z.prettifyError(parsed.error).replace(/\s*\n\s*/g, " ")}`;
}

/** A capability as the catalog shows it. */
export function toEntry(capability: Capability): CapabilityEntry {
  return {
    id: capability.id,
    name: capability.name,
    description: capability.description,
    category: capability.category,
    icon: capability.icon,
    risk_level: capability.riskLevel,
    is_guardrail: capability.isGuardrail,
    features: capability.features,
    dependencies: capability.dependencies,
    config_schema: capability.config ? jsonSchema(capability.config) : null,
    system_prompt: capability.prompt(undefined),
    tool_definitions: capability.tools(undefined).map(toolDefinitionOf),
  };
}

/** A tool as the wire shows it. */
export function toolDefinitionOf(tool: Tool): Record<string, unknown> {
  return {
    type: "builtin",
    name: tool.name,
    display_name: tool.displayName,
    description: tool.description,
    parameters: tool.parameters(),
    hints: { ...tool.hints },
  };
}

function jsonSchema(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: "input" }) as Record<string, unknown>;
  return rest;
}
