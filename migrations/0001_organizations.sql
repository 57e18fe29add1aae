-- Organizations own everything. Each table below carries organization_id, and each query names it.
create table organizations (
  id text primary key,
  name text not null,
  default_model_id text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- The organization of a server without authentication.
insert into organizations (id, name)
values ('org_00000000000000000000000000000001', 'Default');

-- Facts about this installation that every process must agree on (which encryption key the rows were sealed with).
create table installation (
  name text primary key,
  value text not null,
  created_at timestamptz not null default now()
);
