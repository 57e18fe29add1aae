/** Versions of agents: snapshots that nothing changes. */
import { limits } from "./limits.ts";
import { Id, JsonObject, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const CHANGE_KINDS = [
  "auto",
  "manual",
  "patch",
  "minor",
  "major",
  "import",
  "rollback",
  "fork",
] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

export const AgentVersion = Type.Object({
  id: Id("agentver"),
  agent_id: Id("agent"),
  /** 1, 2, 3, … */
  version_number: Type.Integer(),
  semver_major: Type.Integer(),
  semver_minor: Type.Integer(),
  semver_patch: Type.Integer(),
  /** `1.2.3` */
  version: Type.String(),
  /** New sessions of the agent use it. */
  is_published: Type.Boolean(),
  change_kind: OneOf(CHANGE_KINDS),
  /** SHA-256 of `resolved_config`: the same for what makes the same turns. */
  config_hash: Type.String(),
  /** The agent's own fields. */
  authored_config: JsonObject,
  /** What they and the harness came to when the version was made. */
  resolved_config: JsonObject,
  summary: Type.Optional(Type.String()),
  parent_version_id: Type.Optional(Id("agentver")),
  source_version_id: Type.Optional(Id("agentver")),
  created_by_principal_id: Type.Optional(Type.String()),
  created_at: Timestamp,
});
export type AgentVersion = Static<typeof AgentVersion>;

const Summary = Maybe(Type.String({ maxLength: limits.versionSummaryCharsMax }));

export const CreateAgentVersionRequest = Type.Object({
  change_kind: Maybe(OneOf(CHANGE_KINDS)),
  summary: Summary,
});

export const SetDefaultAgentVersionRequest = Type.Object({
  version_id: Type.Union([Type.String(), Type.Null()], {
    description: "null: new sessions use the agent as it is.",
  }),
});

export const RollbackAgentVersionRequest = Type.Object({
  save_version: Type.Optional(Type.Boolean()),
  summary: Summary,
});

export const ForkAgentVersionRequest = Type.Object({
  name: Type.String(),
  display_name: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
  description: Maybe(Type.String()),
});

/** By field: what it was and what it became; a side that has no such field leaves it out. */
const FieldChanges = MapOf(
  Type.Object({ from: Type.Optional(Type.Unknown()), to: Type.Optional(Type.Unknown()) }),
);
export type FieldChanges = Static<typeof FieldChanges>;

export const AgentVersionDiffResponse = Type.Object({
  from_version_id: Id("agentver"),
  to_version_id: Id("agentver"),
  authored_diff: FieldChanges,
  resolved_diff: FieldChanges,
});
