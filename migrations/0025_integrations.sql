-- Accounts of users elsewhere.
create table connections (
  organization_id text not null references organizations (id),
  user_id text not null references users (id) on delete cascade,
  provider text not null,
  api_key_sealed text not null,
  provider_username text,
  scopes text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (organization_id, user_id, provider)
);

create table mcp_servers (
  id text primary key,
  organization_id text not null references organizations (id),
  name text not null,
  description text,
  url text not null,
  auth_mode text not null check (auth_mode in ('none', 'api_key', 'o_auth')),
  protocol_mode text not null check (protocol_mode in ('auto', 'legacy', 'stable', 'rc')),
  api_key_sealed text,
  -- Name -> value, each value sealed for its name.
  headers_sealed jsonb not null default '{}',
  status text not null default 'active' check (status in ('active', 'disabled', 'archived', 'deleted')),
  archived_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index mcp_servers_name on mcp_servers (organization_id, name) where status <> 'deleted';
create index mcp_servers_newest on mcp_servers (organization_id, created_at desc, id desc) where status <> 'deleted';

create table skills (
  id text primary key,
  organization_id text not null references organizations (id),
  name text not null,
  description text not null,
  -- The document with its front matter, as it came; the columns beside it were read from it.
  skill_md text not null,
  version text not null,
  license text,
  compatibility text,
  allowed_tools text,
  metadata jsonb not null default '{}',
  user_invocable boolean not null,
  disable_model_invocation boolean not null,
  source_type text not null check (source_type in ('markdown', 'archive')),
  -- What came along with the document: [{path, content}], text only.
  files jsonb not null default '[]',
  status text not null default 'active' check (status in ('active', 'disabled', 'archived', 'deleted')),
  archived_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index skills_name on skills (organization_id, name) where status <> 'deleted';
create index skills_newest on skills (organization_id, created_at desc, id desc) where status <> 'deleted';
