/** Skills for turns: what references name, without what is archived, switched off, or kept for people. */
import type { SkillContentEntry, SkillHead, SkillLibrary } from "../../contract/skill-library.ts";
import type { Db } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";

const usable = ({ sql }: Pick<Db, "sql">, organizationId: string, ids: readonly string[]) => sql`
  organization_id = ${organizationId} and id = any(${[...ids]}::text[]) and status = 'active'
  and not disable_model_invocation`;

/** By id; those that agents may not use are left out. */
export async function readSkillHeads(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Record<string, SkillHead>> {
  if (ids.length === 0) return {};
  const rows = await sql<(SkillHead & { id: string })[]>`
    select id, name, description from skills where ${usable({ sql }, organizationId, ids)}`;
  return Object.fromEntries(rows.map(({ id, ...head }) => [id, head]));
}

/** @returns the library of a turn that refers to these skills */
export function createSkillLibraries(
  db: Db,
): (scope: { organizationId: string; ids: readonly string[] }) => SkillLibrary {
  const { sql } = db;
  return ({ organizationId, ids }) => ({
    async list() {
      return await retryable(sql<SkillHead[]>`
        select name, description from skills where ${usable(db, organizationId, ids)} order by name`);
    },
    async read(name) {
      const rows = await retryable(sql<SkillContentEntry[]>`
        select skill_md as "skillMd", files from skills
         where ${usable(db, organizationId, ids)} and name = ${name}`);
      return rows[0] ?? null;
    },
  });
}

async function retryable<T>(work: PromiseLike<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asRetryable(error);
  }
}
