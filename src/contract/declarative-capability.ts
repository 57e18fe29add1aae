/** Capabilities that an organization writes down: `declarative:<name>` in `capabilities` refers to one. */
import { RESOURCE_STATUSES } from "./agent.ts";
import { McpServers, WithUrls } from "./common.ts";
import { limits } from "./limits.ts";
import { Id, JsonObject, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const DECLARATIVE_PREFIX = "declarative:";

/** The name in `declarative:<name>`; null for any other reference. */
export function declarativeName(ref: string): string | null {
  return ref.startsWith(DECLARATIVE_PREFIX) ? ref.slice(DECLARATIVE_PREFIX.length) : null;
}

const Label = Type.String({ maxLength: limits.displayNameCharsMax });
const Words = Type.Array(Label, { maxItems: limits.tagsMax });

/** A file that a new session's workspace starts with. */
const DefinitionFile = Type.Object({
  path: Type.String({ minLength: 1, maxLength: limits.pathCharsMax }),
  content: Type.String(),
  /** By default the session cannot change it. */
  access: Type.Optional(OneOf(["readonly", "read_only", "readwrite", "read_write"])),
});

const DefinitionSkill = Type.Object({
  name: Type.String({ minLength: 1, maxLength: limits.nameCharsMax }),
  description: Type.String(),
  instructions: Type.String(),
  files: Maybe(Type.Array(Type.Object({ path: Type.String(), content: Type.String() }))),
  user_invocable: Maybe(Type.Boolean()),
  disable_model_invocation: Maybe(Type.Boolean()),
});

/** What a capability amounts to. Fields beyond these are kept and given back. */
export const DeclarativeDefinition = Type.Object({
  name: Type.String({ description: "Lowercase words joined by hyphens, at most 64 characters." }),
  display_name: Maybe(Label),
  description: Maybe(Type.String()),
  icon: Maybe(Label),
  category: Maybe(Label),
  /** Joins the system prompt at the capability's place. */
  system_prompt: Maybe(Type.String()),
  files: Maybe(Type.Array(DefinitionFile, { maxItems: limits.initialFilesMax })),
  mcp_servers: Maybe(McpServers),
  skills: Maybe(Type.Array(DefinitionSkill, { maxItems: limits.declarativeSkillsMax })),
  /** The program's own capabilities that come with it. */
  dependencies: Maybe(Words),
  features: Maybe(Words),
  risk_level: Maybe(OneOf(["low", "medium", "high"])),
});
export type DeclarativeDefinition = Static<typeof DeclarativeDefinition>;

export const DeclarativeCapability = Type.Object({
  id: Id("cap"),
  /** What agents, harnesses and sessions refer to: `declarative:<name>`. */
  capability_id: Type.String(),
  name: Type.String(),
  display_name: Type.Optional(Type.String()),
  description: Type.String(),
  definition: JsonObject,
  status: OneOf(RESOURCE_STATUSES),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type DeclarativeCapability = Static<typeof DeclarativeCapability>;

export const DeclarativeCapabilityWithUrls = WithUrls(DeclarativeCapability);
export type DeclarativeCapabilityWithUrls = Static<typeof DeclarativeCapabilityWithUrls>;

export const CreateDeclarativeCapabilityRequest = Type.Object({ definition: DeclarativeDefinition });

/** A definition replaces the whole of the one before. */
export const UpdateDeclarativeCapabilityRequest = Type.Object({
  definition: Maybe(DeclarativeDefinition),
  status: Maybe(OneOf(RESOURCE_STATUSES)),
});
