/**
 * Capabilities that are data of an organization. Whoever resolves references looks the definitions up first and puts
 * each into its reference (`withDefinitions`); the registry then makes a capability of it like any other.
 */
import type { CapabilityConfig, InitialFile, McpServers } from "../contract/common.ts";
import { type DeclarativeDefinition, declarativeName } from "../contract/declarative-capability.ts";
import type { SkillLibrary } from "../contract/skill-library.ts";
import { type Capability, defineCapability } from "./capability.ts";
import { skillLine, skills } from "./skills.ts";

/** Definitions by name. */
export type Definitions = Readonly<Record<string, DeclarativeDefinition>>;

/** The names that these references need the definitions of. */
export function declarativeNames(refs: readonly { ref: string }[]): string[] {
  return [...new Set(refs.flatMap(({ ref }) => declarativeName(ref) ?? []))];
}

/** The references with their definitions; one without stays bare, and is unknown to the registry. */
export function withDefinitions(
  refs: readonly CapabilityConfig[],
  definitions: Definitions,
): CapabilityConfig[] {
  return refs.map((one) => {
    const name = declarativeName(one.ref);
    if (name === null) return one;
    // Never a stored configuration: nobody but the organization's row defines what a name means.
    return Object.hasOwn(definitions, name) ? { ref: one.ref, config: definitions[name] } : { ref: one.ref };
  });
}

/** The capability that a reference with its definition stands for; null: not declarative, or without definition. */
export function declarativeCapability(ref: string, definition: unknown): Capability | null {
  if (declarativeName(ref) === null || typeof definition !== "object" || definition === null) return null;
  const { name, display_name, description, category, icon, system_prompt, ...rest } =
    definition as DeclarativeDefinition;
  const own = skillsForModels(definition as DeclarativeDefinition);
  const lines = own.map((skill) => skillLine(skill));
  return defineCapability({
    id: ref,
    name: display_name ?? name,
    description: description ?? "",
    category: category ?? "Declarative",
    icon: icon ?? "puzzle",
    riskLevel: rest.risk_level ?? "low",
    features: rest.features ?? [],
    dependencies: [...(own.length === 0 ? [] : [skills.id]), ...(rest.dependencies ?? [])],
    prompt: () => [system_prompt ?? "", ...lines].filter((text) => text !== "").join("\n\n") || null,
    tools: () => [],
  });
}

/** The files that these references bring along, in their order. */
export function definedFiles(refs: readonly CapabilityConfig[], definitions: Definitions): InitialFile[] {
  return definitionsOf(refs, definitions).flatMap(({ files }) =>
    (files ?? []).map(({ path, content, access }) => ({
      path,
      content,
      is_readonly: access !== "readwrite" && access !== "read_write",
    })),
  );
}

/** The MCP servers that these references bring along, in their order. */
export function definedMcpServers(refs: readonly CapabilityConfig[], definitions: Definitions): McpServers[] {
  return definitionsOf(refs, definitions).map(({ mcp_servers }) => mcp_servers ?? {});
}

/**
 * The skills of a turn with those that its declarative capabilities bring along; of two of one name the library's stands.
 *
 * @param refs  with their definitions
 */
export function withDefinedSkills(library: SkillLibrary, refs: readonly CapabilityConfig[]): SkillLibrary {
  const defined = new Map(
    refs
      .filter(({ ref, config }) => declarativeName(ref) !== null && config !== undefined)
      .flatMap(({ config }) => skillsForModels(config as DeclarativeDefinition))
      .map((skill) => [skill.name, skill]),
  );
  if (defined.size === 0) return library;
  return {
    async list() {
      const stored = await library.list();
      const heads = new Map([...defined.values(), ...stored].map((skill) => [skill.name, skill]));
      return [...heads.values()]
        .map(({ name, description }) => ({ name, description }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async read(name) {
      const stored = await library.read(name);
      const skill = defined.get(name);
      return stored ?? (skill ? { skillMd: skill.instructions, files: skill.files ?? [] } : null);
    },
  };
}

/** Those that a model may use by itself. */
function skillsForModels({ skills }: DeclarativeDefinition) {
  return (skills ?? []).filter((skill) => skill.disable_model_invocation !== true);
}

function definitionsOf(refs: readonly CapabilityConfig[], definitions: Definitions): DeclarativeDefinition[] {
  return declarativeNames(refs).flatMap((name) =>
    Object.hasOwn(definitions, name) ? (definitions[name] ?? []) : [],
  );
}
