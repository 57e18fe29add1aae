import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import { sealPlace } from "../../base/seal.ts";
import type { ProviderLimits, ProviderTrace } from "../../contract/provider.ts";
import { assignments } from "../assign.ts";
import type { Db } from "../pool.ts";
import { isUniqueViolation } from "../sqlstate.ts";

/** Without the key: no reader of this row can show it. */
export interface ProviderRow {
  id: string;
  name: string;
  provider_type: string;
  base_url: string | null;
  api_key_set: boolean;
  trace: ProviderTrace | null;
  limits: ProviderLimits | null;
  status: "active" | "disabled";
  last_synced_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export interface ModelRow {
  id: string;
  provider_id: string;
  model_id: string;
  display_name: string;
  capabilities: string[];
  source: "manual" | "discovered" | "predefined";
  enabled: boolean;
  is_favorite: boolean;
  /** The provider did not list it any more at the last sync. */
  is_stale: boolean;
  created_at: Date;
  updated_at: Date;
}

export interface ModelProviderRow extends ModelRow {
  provider_name: string;
  provider_type: string;
  provider_status: "active" | "disabled";
  provider_key_set: boolean;
}

/** Where a provider's key is sealed to; the worker that opens it names the same place. */
export function providerKeyPlace(organizationId: string, providerId: string): string {
  return sealPlace({ tenant: organizationId, table: "providers", row: providerId, column: "api_key_sealed" });
}

const selectProvider = ({ sql }: Pick<Db, "sql">) => sql`
  id, name, provider_type, base_url, api_key_sealed is not null as api_key_set, trace, limits, status,
  last_synced_at, created_at, updated_at`;

const MODEL_COLUMNS = [
  "id",
  "provider_id",
  "model_id",
  "display_name",
  "capabilities",
  "source",
  "enabled",
  "is_favorite",
  "is_stale",
  "created_at",
  "updated_at",
] as const;

export async function listProviders({ sql }: Db, organizationId: string): Promise<ProviderRow[]> {
  return await sql<ProviderRow[]>`
    select ${selectProvider({ sql })} from providers
     where organization_id = ${organizationId} order by created_at, id`;
}

export async function findProvider(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<ProviderRow | null> {
  const rows = await sql<ProviderRow[]>`
    select ${selectProvider({ sql })} from providers where id = ${id} and organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

export async function insertProvider(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    name: string;
    providerType: string;
    baseUrl: string | null;
    apiKeySealed: string | null;
    trace: ProviderTrace | null;
    limits: ProviderLimits | null;
  },
): Promise<ProviderRow> {
  const rows = await sql<ProviderRow[]>`
    insert into providers (id, organization_id, name, provider_type, base_url, api_key_sealed, trace, limits)
    values (${input.id}, ${input.organizationId}, ${input.name}, ${input.providerType}, ${input.baseUrl},
            ${input.apiKeySealed}, ${input.trace === null ? null : toJsonText(input.trace)}::text::jsonb,
            ${input.limits === null ? null : toJsonText(input.limits)}::text::jsonb)
    returning ${selectProvider({ sql })}`;
  return rows[0] as ProviderRow;
}

/** A provider that a person has changed is that person's from then on: the seed leaves it alone. */
export async function updateProvider(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: {
      name?: string | undefined;
      provider_type?: string | undefined;
      base_url?: string | null | undefined;
      api_key_sealed?: string | null | undefined;
      status?: "active" | "disabled" | undefined;
      trace?: ProviderTrace | null | undefined;
      limits?: ProviderLimits | null | undefined;
    };
  },
): Promise<ProviderRow | null> {
  const set = assignments(sql, input.changes, { trace: "json", limits: "json" });
  const isCredential = input.changes.api_key_sealed !== undefined || input.changes.base_url !== undefined;
  const rows = await sql<ProviderRow[]>`
    update providers
       set updated_at = now()${isCredential ? sql`, seed_is_overridden = true` : sql``}${set === null ? sql`` : sql`, ${set}`}
     where id = ${input.id} and organization_id = ${input.organizationId}
    returning ${selectProvider({ sql })}`;
  return rows[0] ?? null;
}

/**
 * Takes the provider and its models away. Turns that name one of them fail with `model_unavailable`; an organization
 * whose default it was has none.
 */
export async function deleteProvider({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    with undone as (
      update organizations o
         set default_model_id = null, updated_at = now()
        from models m
       where o.id = ${organizationId} and m.id = o.default_model_id and m.provider_id = ${id}
    )
    delete from providers where id = ${id} and organization_id = ${organizationId} returning id`;
  return rows.length > 0;
}

export async function listModels(
  { sql }: Db,
  input: {
    organizationId: string;
    source: string | null;
    includeStale: boolean;
    favoritesOnly: boolean;
  },
): Promise<ModelProviderRow[]> {
  return await sql<ModelProviderRow[]>`
    select ${modelWithProvider({ sql })}
      from models m join providers p on p.id = m.provider_id
     where m.organization_id = ${input.organizationId}
       and (${input.source}::text is null or m.source = ${input.source})
       and (${input.includeStale} or not m.is_stale)
       and (not ${input.favoritesOnly} or m.is_favorite)
     order by p.created_at, p.id, m.created_at, m.id`;
}

export async function findModel(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<ModelProviderRow | null> {
  const rows = await sql<ModelProviderRow[]>`
    select ${modelWithProvider({ sql })}
      from models m join providers p on p.id = m.provider_id
     where m.id = ${id} and m.organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

const modelWithProvider = ({ sql }: Pick<Db, "sql">) => sql`
  m.id, m.provider_id, m.model_id, m.display_name, m.capabilities, m.source, m.enabled, m.is_favorite, m.is_stale,
  m.created_at, m.updated_at, p.name as provider_name, p.provider_type, p.status as provider_status,
  p.api_key_sealed is not null as provider_key_set`;

export async function listModelsOfProvider(
  { sql }: Db,
  organizationId: string,
  providerId: string,
): Promise<ModelRow[]> {
  return await sql<ModelRow[]>`
    select ${sql(MODEL_COLUMNS)} from models
     where organization_id = ${organizationId} and provider_id = ${providerId} order by created_at, id`;
}

export type ModelWritten =
  | { outcome: "written"; model: ModelRow }
  | { outcome: "not_found" }
  | { outcome: "name_taken" };

/** `not_found`: the organization has no such provider. `name_taken`: the provider has this model already. */
export async function insertModel(
  { sql }: Db,
  input: {
    organizationId: string;
    providerId: string;
    modelId: string;
    displayName: string;
    capabilities: string[];
    enabled: boolean;
    isFavorite: boolean;
  },
): Promise<ModelWritten> {
  try {
    const rows = await sql<ModelRow[]>`
      insert into models (id, organization_id, provider_id, model_id, display_name, capabilities, enabled, is_favorite)
      select ${newId("model")}, organization_id, id, ${input.modelId}, ${input.displayName},
             ${input.capabilities}::text[], ${input.enabled}, ${input.isFavorite}
        from providers where id = ${input.providerId} and organization_id = ${input.organizationId}
      returning ${sql(MODEL_COLUMNS)}`;
    return rows[0] ? { outcome: "written", model: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}

export async function updateModel(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: {
      model_id?: string | undefined;
      display_name?: string | undefined;
      provider_id?: string | undefined;
      capabilities?: string[] | undefined;
      enabled?: boolean | undefined;
      is_favorite?: boolean | undefined;
    };
  },
): Promise<ModelWritten> {
  const set = assignments(sql, input.changes, { capabilities: "text[]" });
  try {
    const rows = await sql<ModelRow[]>`
      update models
         set updated_at = now()${set === null ? sql`` : sql`, ${set}`}
       where id = ${input.id} and organization_id = ${input.organizationId}
      returning ${sql(MODEL_COLUMNS)}`;
    return rows[0] ? { outcome: "written", model: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/** An organization whose default the model was has none from then on. */
export async function deleteModel({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    with undone as (
      update organizations set default_model_id = null, updated_at = now()
       where id = ${organizationId} and default_model_id = ${id}
    )
    delete from models where id = ${id} and organization_id = ${organizationId} returning id`;
  return rows.length > 0;
}
