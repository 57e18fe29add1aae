import type { Db } from "../pool.ts";

export interface CapabilityUse {
  agent_count: number;
  harness_count: number;
}

/** How many agents and harnesses name each capability, by its id; those that nobody names are not in it. */
export async function capabilityUse(
  { sql }: Db,
  organizationId: string,
): Promise<Map<string, CapabilityUse>> {
  const rows = await sql<(CapabilityUse & { ref: string })[]>`
    select ref, count(*) filter (where kind = 'agent') as agent_count,
           count(*) filter (where kind = 'harness') as harness_count
      from (
        select distinct 'agent' as kind, id, item->>'ref' as ref
          from agents, jsonb_array_elements(capabilities) item
         where organization_id = ${organizationId} and status = 'active'
        union all
        select distinct 'harness', id, item->>'ref'
          from harnesses, jsonb_array_elements(capabilities) item
         where (organization_id = ${organizationId} or organization_id is null) and status = 'active'
      ) used
     group by ref`;
  return new Map(rows.map(({ ref, ...use }) => [ref, use]));
}
