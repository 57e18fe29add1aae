/** Skills: instructions, with files, that an agent reads when a task asks for them. */
import { WithUrls } from "./common.ts";
import { INTEGRATION_STATUSES } from "./mcp-server.ts";
import { Id, JsonObject, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const Skill = Type.Object({
  id: Id("skill"),
  name: Type.String(),
  description: Type.String(),
  version: Type.String(),
  license: Type.Optional(Type.String()),
  compatibility: Type.Optional(Type.String()),
  allowed_tools: Type.Optional(Type.String()),
  metadata: JsonObject,
  user_invocable: Type.Boolean(),
  disable_model_invocation: Type.Boolean(),
  source_type: OneOf(["markdown", "archive"]),
  status: OneOf(INTEGRATION_STATUSES),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Skill = Static<typeof Skill>;

export const SkillWithUrls = WithUrls(Skill);
export type SkillWithUrls = Static<typeof SkillWithUrls>;

/** Text, at a path relative to the document: `scripts/run.py`. */
export const SkillFileEntry = Type.Object({ path: Type.String(), content: Type.String() });
export type SkillFileEntry = Static<typeof SkillFileEntry>;

export const SkillContent = Type.Object({ skill_md: Type.String(), files: Type.Array(SkillFileEntry) });

/** How many agents and harnesses name the skill. */
export const SkillUsage = Type.Object({ agents: Type.Integer(), harnesses: Type.Integer() });
export const SkillUsageMap = MapOf(SkillUsage);

export const SkillValidationResult = Type.Object({
  valid: Type.Boolean(),
  name: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  errors: Type.Array(Type.String()),
  warnings: Type.Array(Type.String()),
});

export const CreateSkillRequest = Type.Object({ skill_md: Type.String() });
export const ValidateSkillRequest = CreateSkillRequest;

/** Absent and null: stays. */
export const UpdateSkillRequest = Type.Object({
  skill_md: Maybe(Type.String()),
  status: Maybe(OneOf(INTEGRATION_STATUSES)),
});
