/** Skills of an organization. What stands in the document is also in columns, read when it was stored. */
import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type { SkillFileEntry } from "../../contract/skill.ts";
import type { SkillFields } from "../../contract/skill-file.ts";
import { assignments, statusStamps } from "../assign.ts";
import type { Db } from "../pool.ts";
import { type Page, type Slice, searchPatterns } from "../search.ts";
import { isUniqueViolation } from "../sqlstate.ts";

/** Without document and files, which may be large. */
export interface SkillRow extends SkillFields {
  id: string;
  source_type: "markdown" | "archive";
  status: "active" | "disabled" | "archived" | "deleted";
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export interface SkillContentRow {
  skill_md: string;
  files: SkillFileEntry[];
}

export type SkillWritten =
  | { outcome: "written"; skill: SkillRow }
  | { outcome: "not_found" }
  | { outcome: "name_taken" };

const COLUMNS = [
  "id",
  "name",
  "description",
  "version",
  "license",
  "compatibility",
  "allowed_tools",
  "metadata",
  "user_invocable",
  "disable_model_invocation",
  "source_type",
  "status",
  "archived_at",
  "deleted_at",
  "created_at",
  "updated_at",
] as const;

/** Newest first. */
export async function listSkills(
  { sql }: Db,
  input: { organizationId: string; search: string | null; includeArchived: boolean } & Slice,
): Promise<Page<SkillRow>> {
  const wanted = sql`
    organization_id = ${input.organizationId} and status <> 'deleted'
    and (${input.includeArchived} or status <> 'archived')
    and concat_ws(' ', name, description) ilike all (${searchPatterns(input.search)}::text[])`;
  const [rows, counted] = await Promise.all([
    sql<SkillRow[]>`
      select ${sql(COLUMNS)} from skills
       where ${wanted}
       order by created_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from skills where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Archived ones are found, deleted ones are not. */
export async function findSkill({ sql }: Db, organizationId: string, id: string): Promise<SkillRow | null> {
  const rows = await sql<SkillRow[]>`
    select ${sql(COLUMNS)} from skills
     where id = ${id} and organization_id = ${organizationId} and status <> 'deleted'`;
  return rows[0] ?? null;
}

export async function skillContent(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<SkillContentRow | null> {
  const rows = await sql<SkillContentRow[]>`
    select skill_md, files from skills
     where id = ${id} and organization_id = ${organizationId} and status <> 'deleted'`;
  return rows[0] ?? null;
}

export async function skillIdOfName(
  { sql }: Db,
  organizationId: string,
  name: string,
): Promise<string | null> {
  const rows = await sql<{ id: string }[]>`
    select id from skills where organization_id = ${organizationId} and name = ${name} and status <> 'deleted'`;
  return rows[0]?.id ?? null;
}

/** @returns null when the name is taken, or the organization has `skillsMax` already */
export async function insertSkill(
  { sql }: Db,
  input: {
    organizationId: string;
    fields: SkillFields;
    sourceType: SkillRow["source_type"];
    skillMd: string;
    files: readonly SkillFileEntry[];
    skillsMax: number;
  },
): Promise<SkillRow | null> {
  const { fields } = input;
  const rows = await sql<SkillRow[]>`
    insert into skills (id, organization_id, name, description, skill_md, version, license, compatibility,
                        allowed_tools, metadata, user_invocable, disable_model_invocation, source_type, files)
    select ${newId("skill")}, ${input.organizationId}, ${fields.name}, ${fields.description}, ${input.skillMd},
           ${fields.version}, ${fields.license}, ${fields.compatibility}, ${fields.allowed_tools},
           ${toJsonText(fields.metadata)}::text::jsonb, ${fields.user_invocable}, ${fields.disable_model_invocation},
           ${input.sourceType}, ${toJsonText(input.files)}::text::jsonb
     where (select count(*) from skills
             where organization_id = ${input.organizationId} and status <> 'deleted') < ${input.skillsMax}
    on conflict (organization_id, name) where status <> 'deleted' do nothing
    returning ${sql(COLUMNS)}`;
  return rows[0] ?? null;
}

/** Changes what is given; undefined stays. The files of a deleted skill go with it. `onlyIf`: of another status, it is not found. */
export async function updateSkill(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    document: { fields: SkillFields; skillMd: string } | null;
    status: SkillRow["status"] | undefined;
    onlyIf?: SkillRow["status"];
  },
): Promise<SkillWritten> {
  const { status, document } = input;
  const set = assignments(
    sql,
    {
      ...document?.fields,
      skill_md: document?.skillMd,
      status,
      ...(status === "deleted" ? { skill_md: "", files: [] } : {}),
    },
    { metadata: "json", files: "json" },
  );
  try {
    const rows = await sql<SkillRow[]>`
      update skills
         set updated_at = now()${statusStamps(sql, status)}${set === null ? sql`` : sql`, ${set}`}
       where id = ${input.id} and organization_id = ${input.organizationId} and status <> 'deleted'
         and status = coalesce(${input.onlyIf ?? null}, status)
      returning ${sql(COLUMNS)}`;
    return rows[0] ? { outcome: "written", skill: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}
