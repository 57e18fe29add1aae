-- Capabilities that an organization writes down instead of programming: a prompt, files and servers under a name.
create table declarative_capabilities (
  id text primary key,
  organization_id text not null references organizations (id),
  -- What `declarative:<name>` refers to.
  name text not null,
  definition jsonb not null,
  status text not null default 'active' check (status in ('active', 'archived', 'deleted')),
  archived_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index declarative_capabilities_name on declarative_capabilities (organization_id, name)
  where status <> 'deleted';
