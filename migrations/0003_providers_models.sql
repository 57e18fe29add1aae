-- Providers are credentials and an address; models are what an agent can choose.
create table providers (
  id text primary key,
  organization_id text not null references organizations (id),
  name text not null,
  provider_type text not null,
  base_url text,
  -- Sealed with AES-256-GCM; null when the provider needs no key. Readable by no route.
  api_key_sealed text,
  trace jsonb,
  status text not null default 'active' check (status in ('active', 'disabled')),
  -- What the program made the row from (llmsim, OPENAI_API_KEY …); null: a person made it, the seed never touches it.
  seed text,
  -- A person has changed the address or the key of a seeded row: the environment no longer does.
  seed_is_overridden boolean not null default false,
  last_synced_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index providers_of_organization on providers (organization_id, created_at);
create unique index providers_seeded on providers (organization_id, seed) where seed is not null;

create table models (
  id text primary key,
  organization_id text not null references organizations (id),
  provider_id text not null references providers (id) on delete cascade,
  -- The vendor's name of the model.
  model_id text not null,
  display_name text not null,
  capabilities text[] not null default '{}',
  source text not null default 'manual' check (source in ('manual', 'discovered', 'predefined')),
  enabled boolean not null default true,
  is_favorite boolean not null default false,
  is_stale boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (provider_id, model_id)
);
create index models_of_organization on models (organization_id, created_at);
