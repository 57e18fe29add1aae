import type { Db } from "../pool.ts";

/** A model as a turn would find it. */
export interface ModelState {
  /** null: none is named, and the organization has no default. */
  id: string | null;
  /** The vendor's name; null when there is no such model. */
  model_id: string | null;
  is_enabled: boolean;
  is_provider_active: boolean;
  has_key: boolean;
  provider_type: string | null;
  base_url: string | null;
}

/** @param modelId  null: the organization's default */
export async function modelState(
  { sql }: Db,
  organizationId: string,
  modelId: string | null,
): Promise<ModelState> {
  const [state] = await sql<ModelState[]>`
    select wanted.id, m.model_id, coalesce(m.enabled, false) as is_enabled,
           coalesce(p.status = 'active', false) as is_provider_active, p.api_key_sealed is not null as has_key,
           p.provider_type, p.base_url
      from (select coalesce(${modelId}, default_model_id) as id from organizations where id = ${organizationId}) wanted
      left join models m on m.id = wanted.id and m.organization_id = ${organizationId}
      left join providers p on p.id = m.provider_id`;
  if (!state) throw new Error(`there is no organization ${organizationId}`);
  return state;
}
