/** Skills that the organization keeps. */
import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { isZip } from "../../base/zip.ts";
import { ResourceConfigResponse } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import { List } from "../../contract/schema.ts";
import {
  CreateSkillRequest,
  SkillContent,
  type SkillFileEntry,
  SkillUsageMap,
  SkillValidationResult,
  SkillWithUrls,
  UpdateSkillRequest,
  ValidateSkillRequest,
} from "../../contract/skill.ts";
import { readSkill, type SkillFields } from "../../contract/skill-file.ts";
import { readStoredReference } from "../../contract/stored-reference.ts";
import { capabilityUse } from "../../db/agents/capability-use.ts";
import {
  findSkill,
  insertSkill,
  listSkills,
  type SkillRow,
  skillContent,
  skillIdOfName,
  updateSkill,
} from "../../db/integrations/skills.ts";
import type { Db } from "../../db/pool.ts";
import type { ApiDeps } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import { FormBody } from "../http/media.ts";
import { pathId } from "../http/path-id.ts";
import {
  ArchivableListQuery,
  type ArchivableSlice,
  action,
  archivablePage,
  created,
  iso,
  isoOrNull,
  nameTaken,
  notArchived,
  present,
  reply,
  urlsOf,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { readSkillArchive } from "./skill-archive.ts";

const FORMAT =
  "A document begins with YAML between two lines `---` (name, description, license, compatibility, allowed-tools, " +
  "metadata, version, user-invocable, disable-model-invocation) and goes on with instructions in Markdown. ";

export function skillRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/skills",
      operationId: "list_skills",
      tag: "skills",
      summary: "List skills, newest first",
      description: "`search` looks at name and description.",
      query: ArchivableListQuery,
      responses: { 200: List(SkillWithUrls) },
      async run({ query, caller: { organizationId }, request }) {
        const list = (slice: ArchivableSlice) => listSkills(db, { organizationId, ...slice });
        return reply(200, await archivablePage(request, query, list, toWire));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/skills",
      operationId: "create_skill",
      tag: "skills",
      summary: "Create a skill from its document",
      description: `${FORMAT}Agents refer to it by \`skill:<uuid>\` in \`capabilities\`.`,
      body: CreateSkillRequest,
      responses: { 201: SkillWithUrls },
      problems: ["limit_exceeded", "name_taken", "invalid_skill"],
      run: async ({ body, caller }) =>
        created(
          toWire(
            await create(db, caller.organizationId, {
              skillMd: body.skill_md,
              files: [],
              sourceType: "markdown",
            }),
          ),
        ),
    }),
    defineRoute({
      method: "GET",
      path: "/skills/config",
      operationId: "skill_config",
      tag: "skills",
      summary: "What the caller may do with skills",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.canWrite, caller) }),
    }),
    defineRoute({
      method: "POST",
      path: "/skills/upload",
      operationId: "upload_skill",
      tag: "skills",
      summary: "Create a skill from a file",
      description:
        "`file`: a `SKILL.md`, or a ZIP archive that has one at its top or in its only folder, with text files beside " +
        `it: at most ${limits.skillFilesMax} files and ${limits.skillFilesBytesMax / 1024 / 1024} MiB unpacked.`,
      body: FormBody({
        bytesMax: limits.skillUploadBytesMax,
        fields: { file: { type: "string", format: "binary" } },
      }),
      responses: { 201: SkillWithUrls },
      problems: ["limit_exceeded", "name_taken", "invalid_skill", "payload_too_large"],
      async run({ body, caller }) {
        const file = body.get("file");
        if (!(file instanceof File)) {
          throw new UserError("invalid_request", "file: the form must have a file of this name");
        }
        const bytes = await file.bytes();
        const source = isZip(bytes)
          ? { ...readSkillArchive(bytes), sourceType: "archive" as const }
          : { skillMd: utf8(bytes), files: [], sourceType: "markdown" as const };
        return created(toWire(await create(db, caller.organizationId, source)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/skills/usage",
      operationId: "list_skills_usage",
      tag: "skills",
      summary: "How many agents and harnesses name each skill, by its id",
      description: "Skills that nobody names are not among them.",
      responses: { 200: SkillUsageMap },
      async run({ caller }) {
        const usage: Record<string, { agents: number; harnesses: number }> = {};
        for (const [ref, use] of await capabilityUse(db, caller.organizationId)) {
          const reference = readStoredReference(ref);
          if (reference === null || reference === "malformed" || reference.kind !== "skill") continue;
          const counted = usage[reference.id] ?? { agents: 0, harnesses: 0 };
          usage[reference.id] = {
            agents: counted.agents + use.agent_count,
            harnesses: counted.harnesses + use.harness_count,
          };
        }
        return reply(200, usage);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/skills/validate",
      access: "read",
      operationId: "validate_skill",
      tag: "skills",
      summary: "Say whether a document is a skill, and what is wrong with it",
      description: `${FORMAT}Nothing is stored.`,
      body: ValidateSkillRequest,
      responses: { 200: SkillValidationResult },
      async run({ body }) {
        const { fields, name, description, errors, warnings } = readSkill(body.skill_md);
        return reply(200, present({ valid: fields !== null, name, description, errors, warnings }));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/skills/{skill_id}",
      operationId: "get_skill",
      tag: "skills",
      summary: "Read a skill",
      responses: { 200: SkillWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const row = await findSkill(db, organizationId, pathId("skill", params.skill_id));
        if (!row) throw noSkill();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/skills/{skill_id}",
      operationId: "update_skill",
      tag: "skills",
      summary: "Change the document or the status of a skill",
      description:
        "Name, description and the other fields come from the new document; files of an archive stay. `status`: " +
        "agents are not offered `disabled` and `archived` skills, `active` takes them back, `deleted` is for good.",
      body: UpdateSkillRequest,
      responses: { 200: SkillWithUrls },
      problems: ["invalid_id", "not_found", "name_taken", "invalid_skill"],
      async run({ params, body, caller: { organizationId } }) {
        const skillMd = body.skill_md == null ? null : wellFormed(body.skill_md);
        const document = skillMd === null ? null : { fields: requireFields(skillMd), skillMd };
        const written = await updateSkill(db, {
          organizationId,
          id: pathId("skill", params.skill_id),
          document,
          status: body.status ?? undefined,
        });
        if (written.outcome === "not_found") throw noSkill();
        if (written.outcome === "written") return reply(200, toWire(written.skill));
        const name = document?.fields.name ?? "";
        throw nameTaken("skill", name, "/skills", await skillIdOfName(db, organizationId, name));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/skills/{skill_id}",
      operationId: "delete_skill",
      tag: "skills",
      summary: "Archive a skill",
      description: '`PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const id = pathId("skill", params.skill_id);
        const written = await updateSkill(db, { organizationId, id, document: null, status: "archived" });
        if (written.outcome !== "written") throw noSkill();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/skills/{skill_id}/delete",
      operationId: "destroy_skill",
      tag: "skills",
      summary: "Delete an archived skill for good",
      description:
        "Its name is free again; its document and files are gone. Answers with the skill as it was.",
      responses: { 200: SkillWithUrls },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const skill = await findSkill(db, organizationId, pathId("skill", params.skill_id));
        if (!skill) throw noSkill();
        const { id, name } = skill;
        const change = { organizationId, id, document: null, status: "deleted", onlyIf: "archived" } as const;
        const written = await updateSkill(db, change);
        if (written.outcome === "written") return reply(200, toWire(written.skill));
        throw notArchived(`the skill ${name}`, `/skills/${id}`);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/skills/{skill_id}/content",
      operationId: "get_skill_content",
      tag: "skills",
      summary: "The document of a skill and the files beside it",
      responses: { 200: SkillContent },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const content = await skillContent(db, organizationId, pathId("skill", params.skill_id));
        if (!content) throw noSkill();
        return reply(200, { skill_md: content.skill_md, files: content.files });
      },
    }),
  ];
}

const noSkill = () => new UserError("not_found", "Skill not found");

async function create(
  db: Db,
  organizationId: string,
  source: { skillMd: string; files: SkillFileEntry[]; sourceType: SkillRow["source_type"] },
): Promise<SkillRow> {
  const skillMd = wellFormed(source.skillMd);
  if (source.files.length > limits.skillFilesMax) {
    throw new UserError("payload_too_large", `a skill has at most ${limits.skillFilesMax} files`);
  }
  const fields = requireFields(skillMd);
  const row = await insertSkill(db, {
    ...source,
    organizationId,
    fields,
    skillMd,
    skillsMax: limits.skillsMax,
  });
  if (row) return row;
  const holder = await skillIdOfName(db, organizationId, fields.name);
  if (holder !== null) throw nameTaken("skill", fields.name, "/skills", holder);
  throw new UserError("limit_exceeded", `an organization has at most ${limits.skillsMax} skills`);
}

/** @throws UserError invalid_skill */
function requireFields(skillMd: string): SkillFields {
  const { fields, errors } = readSkill(skillMd);
  if (fields) return fields;
  throw new UserError("invalid_skill", `this is no skill: ${errors.join("; ")}`);
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new UserError("invalid_skill", "the file is neither UTF-8 text nor a ZIP archive", {
      cause: error,
    });
  }
}

function toWire(row: SkillRow): SkillWithUrls {
  const path = `/skills/${row.id}`;
  return {
    ...present({
      id: row.id,
      name: row.name,
      description: row.description,
      version: row.version,
      license: row.license,
      compatibility: row.compatibility,
      allowed_tools: row.allowed_tools,
      metadata: row.metadata,
      user_invocable: row.user_invocable,
      disable_model_invocation: row.disable_model_invocation,
      source_type: row.source_type,
      status: row.status,
      archived_at: isoOrNull(row.archived_at),
      deleted_at: isoOrNull(row.deleted_at),
      created_at: iso(row.created_at),
      updated_at: iso(row.updated_at),
    }),
    ...urlsOf(path, [
      action("update", "PATCH", path),
      action("delete", "DELETE", path),
      ...(row.status === "archived" ? [action("unarchive", "PATCH", path)] : []),
    ]),
  };
}
