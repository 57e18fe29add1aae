import type { Db } from "../pool.ts";

/** True when the organization has this model, enabled, at an active provider. */
export async function modelExists({ sql }: Db, organizationId: string, modelId: string): Promise<boolean> {
  const rows = await sql`
    select from models m join providers p on p.id = m.provider_id
     where m.id = ${modelId} and m.organization_id = ${organizationId} and m.enabled and p.status = 'active'`;
  return rows.length > 0;
}
