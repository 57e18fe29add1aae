/** Which capabilities that an organization made itself may be referred to. */
import type { Db } from "../pool.ts";

/** Kind of a reference → its table. */
const TABLES = { mcp: "mcp_servers", skill: "skills" } as const;

export type StoredKind = keyof typeof TABLES;

/** The ids among these that are the organization's and active. */
export async function activeIds(
  { sql }: Db,
  organizationId: string,
  kind: StoredKind,
  ids: readonly string[],
): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    select id from ${sql(TABLES[kind])}
     where organization_id = ${organizationId} and id = any(${[...ids]}::text[]) and status = 'active'`;
  return new Set(rows.map(({ id }) => id));
}
