-- What a session's tools put aside under a name: plain values, and secrets that only the server can read.
create table session_values (
  session_id text not null references sessions (id) on delete cascade,
  key text not null,
  organization_id text not null,
  value text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (session_id, key)
);

create table session_secrets (
  session_id text not null references sessions (id) on delete cascade,
  name text not null,
  organization_id text not null,
  value_sealed text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (session_id, name)
);
