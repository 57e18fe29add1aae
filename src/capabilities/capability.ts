/**
 * The capabilities room: named bundles of prompt and tools that extend an agent. A capability is data plus tools.
 * It cannot import a database, a driver or the API; what it needs it gets through `ToolContext`.
 */
import type { z } from "zod";
import type { Guardrails } from "./guardrail-checks.ts";
import type { Tool } from "./tool.ts";

/** Which calls wait for a person, and how long. */
export interface ApprovalPolicy {
  /** How long a call waits for a decision, in milliseconds. */
  timeoutMs: number;
  /** Why a person must allow calls of this tool; null when they run by themselves. */
  reasonFor(tool: Tool): string | null;
}

/** A tree of files that a capability puts into the session's. */
export interface MountSpec {
  /** `mem_…` */
  treeId: string;
  /** Normalized; not the root. */
  path: string;
  isWritable: boolean;
}

export interface Capability {
  /** The name that agents refer to: `web_fetch`. */
  id: string;
  name: string;
  description: string;
  category: string;
  icon: string;
  riskLevel: "low" | "medium" | "high";
  /** Tabs of a user interface that this capability switches on: `file_system`. */
  features: readonly string[];
  dependencies: readonly string[];
  /** Shape of `config` in `{ref, config}`; null when it takes none. */
  config: z.ZodType | null;
  /** Text added to the system prompt; null adds nothing. */
  prompt(config: unknown): string | null;
  /** The tools under this configuration. */
  tools(config: unknown): readonly Tool[];
  /** Which calls, of all tools of the turn, wait for a person; null has no say. */
  approval(config: unknown): ApprovalPolicy | null;
  /** What is mounted into the files of the session; none lies within another. */
  mounts(config: unknown): readonly MountSpec[];
  /** What a user interface shows among the guardrails. */
  isGuardrail: boolean;
  /** Checks on what the agent says, calls and gets back; null has none. */
  guard(config: unknown): Guardrails | null;
}

/** Ties `prompt` and `tools` to the configuration's type. A capability without `config` gets undefined. */
export function defineCapability<S extends z.ZodType = z.ZodUndefined>(definition: {
  id: string;
  name: string;
  description: string;
  category: string;
  icon: string;
  riskLevel?: Capability["riskLevel"];
  features?: readonly string[];
  dependencies?: readonly string[];
  config?: S;
  prompt?(config: z.output<S>): string | null;
  tools(config: z.output<S>): readonly Tool[];
  approval?(config: z.output<S>): ApprovalPolicy | null;
  mounts?(config: z.output<S>): readonly MountSpec[];
  isGuardrail?: boolean;
  guard?(config: z.output<S>): Guardrails | null;
}): Capability {
  const parse = (config: unknown): z.output<S> =>
    (definition.config ? definition.config.parse(config ?? {}) : undefined) as z.output<S>;
  return {
    id: definition.id,
    name: definition.name,
    description: definition.description,
    category: definition.category,
    icon: definition.icon,
    riskLevel: definition.riskLevel ?? "low",
    features: definition.features ?? [],
    dependencies: definition.dependencies ?? [],
    config: definition.config ?? null,
    prompt: (config) => definition.prompt?.(parse(config)) ?? null,
    tools: (config) => definition.tools(parse(config)),
    approval: (config) => definition.approval?.(parse(config)) ?? null,
    mounts: (config) => definition.mounts?.(parse(config)) ?? [],
    isGuardrail: definition.isGuardrail ?? false,
    guard: (config) => definition.guard?.(parse(config)) ?? null,
  };
}
