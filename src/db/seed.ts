import { newId } from "../base/id.ts";
import type { Sealer } from "../base/seal.ts";
import { modelProfile } from "../contract/model-profile.ts";
import { DEFAULT_MODELS } from "../contract/model-table.ts";
import type { ProviderType } from "../contract/provider.ts";
import type { Db } from "./pool.ts";
import { providerKeyPlace } from "./providers/providers.ts";
import { asRetryable } from "./sqlstate.ts";

/** What the environment says about one vendor. */
export interface SeedCredentials {
  apiKey: string;
  /** null: the vendor's own address. */
  baseUrl: string | null;
}

interface Seed {
  /** Marks the row, so that the next start finds it again. */
  mark: string;
  name: string;
  type: ProviderType;
  credentials: SeedCredentials | null;
}

/**
 * Makes the providers that a server can start with: the simulated one always, OpenAI and Anthropic when the
 * environment has their keys, each with its default models. Safe to repeat and to run in several processes at once.
 *
 * A key or address that changed in the environment is taken over into the row that was made from it, unless a
 * person has changed that row's key or address since. What people made is never touched, and a key that left the
 * environment stays in its row. The organization's default model becomes the first of a real provider, else the
 * simulated one; a default that a person chose stays.
 */
export async function seedProviders(
  db: Db,
  input: {
    organizationId: string;
    sealer: Pick<Sealer, "seal" | "open">;
    openai: SeedCredentials | null;
    anthropic: SeedCredentials | null;
  },
): Promise<void> {
  const seeds: Seed[] = [
    { mark: "llmsim", name: "Simulated", type: "llmsim", credentials: null },
    ...(input.openai
      ? [{ mark: "OPENAI_API_KEY", name: "OpenAI", type: "openai" as const, credentials: input.openai }]
      : []),
    ...(input.anthropic
      ? [
          {
            mark: "ANTHROPIC_API_KEY",
            name: "Anthropic",
            type: "anthropic" as const,
            credentials: input.anthropic,
          },
        ]
      : []),
  ];
  try {
    let isRealNew = false;
    for (const seed of seeds) {
      const isNew = await seedProvider(db, input, seed);
      if (isNew && seed.type !== "llmsim") isRealNew = true;
    }
    await chooseDefaultModel(db, input.organizationId, isRealNew);
  } catch (error) {
    throw asRetryable(error);
  }
}

/** @returns true when this call made the provider */
async function seedProvider(
  db: Db,
  input: { organizationId: string; sealer: Pick<Sealer, "seal" | "open"> },
  seed: Seed,
): Promise<boolean> {
  const row = await findSeeded(db, input.organizationId, seed.mark);
  if (row) {
    await refresh(db, input, seed, row);
    return false;
  }
  if (await insertSeeded(db, input, seed)) return true;
  // Another process was faster; its environment may differ from ours.
  const theirs = await findSeeded(db, input.organizationId, seed.mark);
  if (theirs) await refresh(db, input, seed, theirs);
  return false;
}

interface SeededRow {
  id: string;
  base_url: string | null;
  api_key_sealed: string | null;
  seed_is_overridden: boolean;
}

async function findSeeded({ sql }: Db, organizationId: string, mark: string): Promise<SeededRow | null> {
  const rows = await sql<SeededRow[]>`
    select id, base_url, api_key_sealed, seed_is_overridden
      from providers where organization_id = ${organizationId} and seed = ${mark}`;
  return rows[0] ?? null;
}

/** Provider and models in one statement. @returns false when the provider was there already */
async function insertSeeded(
  { sql }: Db,
  input: { organizationId: string; sealer: Pick<Sealer, "seal"> },
  { mark, name, type, credentials }: Seed,
): Promise<boolean> {
  const id = newId("prov");
  const sealed = credentials
    ? input.sealer.seal(credentials.apiKey, providerKeyPlace(input.organizationId, id))
    : null;
  const models: readonly string[] = DEFAULT_MODELS[type];
  const rows = await sql`
    with provider as (
      insert into providers (id, organization_id, name, provider_type, base_url, api_key_sealed, seed)
      values (${id}, ${input.organizationId}, ${name}, ${type}, ${credentials?.baseUrl ?? null}, ${sealed}, ${mark})
      on conflict (organization_id, seed) where seed is not null do nothing
      returning id, organization_id
    )
    insert into models (id, organization_id, provider_id, model_id, display_name, source)
    select m.id, provider.organization_id, provider.id, m.model_id, m.display_name, 'predefined'
      from provider,
           unnest(${models.map(() => newId("model"))}::text[], ${[...models]}::text[],
                  ${models.map((model) => modelProfile(model)?.name ?? model)}::text[])
             as m(id, model_id, display_name)
    returning id`;
  return rows.length > 0;
}

async function refresh(
  { sql }: Db,
  input: { organizationId: string; sealer: Pick<Sealer, "seal" | "open"> },
  { credentials }: Seed,
  row: SeededRow,
): Promise<void> {
  if (credentials === null || row.seed_is_overridden) return;
  const place = providerKeyPlace(input.organizationId, row.id);
  if (
    row.base_url === credentials.baseUrl &&
    opened(input.sealer, row.api_key_sealed, place) === credentials.apiKey
  )
    return;
  await sql`
    update providers
       set api_key_sealed = ${input.sealer.seal(credentials.apiKey, place)}, base_url = ${credentials.baseUrl},
           updated_at = now()
     where id = ${row.id} and organization_id = ${input.organizationId} and not seed_is_overridden`;
}

/** null when there is no key or it cannot be opened any more: the environment's key replaces it. */
function opened(sealer: Pick<Sealer, "open">, sealed: string | null, place: string): string | null {
  if (sealed === null) return null;
  try {
    return sealer.open(sealed, place);
  } catch {
    return null;
  }
}

async function chooseDefaultModel({ sql }: Db, organizationId: string, isRealNew: boolean): Promise<void> {
  await sql`
    with best as (
      select m.id
        from models m join providers p on p.id = m.provider_id
       where m.organization_id = ${organizationId} and m.enabled and p.status = 'active'
       order by p.provider_type = 'llmsim', p.created_at, p.id, m.created_at, m.id
       limit 1
    )
    update organizations
       set default_model_id = best.id, updated_at = now()
      from best
     where organizations.id = ${organizationId}
       and (default_model_id is null
            or not exists (select from models where models.id = organizations.default_model_id)
            or (${isRealNew} and exists (select from models m join providers p on p.id = m.provider_id
                                          where m.id = organizations.default_model_id and p.seed = 'llmsim')))`;
}

export interface DefaultModel {
  id: string;
  model_id: string;
  display_name: string;
  provider_name: string;
  provider_type: string;
}

/** The organization's default model, or null when none is set. */
export async function defaultModel({ sql }: Db, organizationId: string): Promise<DefaultModel | null> {
  const rows = await sql<DefaultModel[]>`
    select m.id, m.model_id, m.display_name, p.name as provider_name, p.provider_type
      from organizations o
      join models m on m.id = o.default_model_id
      join providers p on p.id = m.provider_id
     where o.id = ${organizationId}`;
  return rows[0] ?? null;
}
