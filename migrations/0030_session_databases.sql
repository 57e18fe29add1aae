-- SQLite databases of sessions, whole: a worker takes one into memory, changes it, and puts it back if nobody else did.
create table session_databases (
  session_id text not null references sessions (id) on delete cascade,
  name text not null,
  organization_id text not null,
  -- Grows by one with each change. Who changes names the version that it began with.
  version bigint not null default 1,
  -- null: empty, nothing was ever written.
  content bytea,
  size_bytes bigint not null default 0,
  page_count integer not null default 0,
  -- Tables and views, read from the content when it was written.
  tables jsonb not null default '[]',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (session_id, name)
);
-- Already packed bytes are rare; compressing megabytes at each write is what costs.
alter table session_databases alter column content set storage external;
