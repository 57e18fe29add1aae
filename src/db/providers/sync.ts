/** What a provider lists, merged into what is stored. */
import { newId } from "../../base/id.ts";
import type { Db } from "../pool.ts";

/** A provider with its key, sealed. For who opens it; it must not leave the process. */
export interface SealedProvider {
  id: string;
  name: string;
  provider_type: string;
  base_url: string | null;
  api_key_sealed: string | null;
}

export async function findSealedProvider(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<SealedProvider | null> {
  const rows = await sql<SealedProvider[]>`
    select id, name, provider_type, base_url, api_key_sealed from providers
     where id = ${id} and organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

/** Models by the vendor's name, with the name that people read. */
export interface ListedModel {
  modelId: string;
  displayName: string;
}

/**
 * New models come as `discovered`. Those that are there keep what people decided about them (name, favourite, switched
 * off); one that was stale and is listed again is not any more. What is listed no more becomes stale, except models
 * that a person added.
 *
 * @param input.isWhole  false: the list was cut, what is missing from it may still be there
 * @returns null when the organization has no such provider
 */
export async function mergeListedModels(
  { sql }: Db,
  input: { organizationId: string; providerId: string; listed: readonly ListedModel[]; isWhole: boolean },
): Promise<{ created: number; updated: number; stale: number } | null> {
  const listed = [...new Map(input.listed.map((one) => [one.modelId, one])).values()];
  const rows = await sql<{ created: number; updated: number; stale: number }[]>`
    with provider as (
      update providers set last_synced_at = now()
       where id = ${input.providerId} and organization_id = ${input.organizationId}
      returning id, organization_id
    ), listed as (
      select * from unnest(${listed.map(() => newId("model"))}::text[], ${listed.map((one) => one.modelId)}::text[],
                           ${listed.map((one) => one.displayName)}::text[]) as l(id, model_id, display_name)
    ), created as (
      insert into models (id, organization_id, provider_id, model_id, display_name, source)
      select l.id, p.organization_id, p.id, l.model_id, l.display_name, 'discovered' from provider p cross join listed l
      on conflict (provider_id, model_id) do nothing
      returning id
    ), updated as (
      update models m
         set is_stale = false, updated_at = now(),
             display_name = case when m.source = 'discovered' and m.display_name = m.model_id
                                 then l.display_name else m.display_name end
        from provider p cross join listed l
       where m.provider_id = p.id and m.model_id = l.model_id
         and (m.is_stale or (m.source = 'discovered' and m.display_name = m.model_id
                             and l.display_name <> m.model_id))
      returning m.id
    ), stale as (
      update models m
         set is_stale = true, updated_at = now()
        from provider p
       where m.provider_id = p.id and m.source <> 'manual' and not m.is_stale and ${input.isWhole}
         and not exists (select from listed l where l.model_id = m.model_id)
      returning m.id
    )
    select (select count(*) from created) as created, (select count(*) from updated) as updated,
           (select count(*) from stale) as stale
      from provider`;
  return rows[0] ?? null;
}
