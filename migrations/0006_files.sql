-- The files of a workspace, kept in the database: every worker sees the same ones. A session has one workspace
-- of the same hex unless it shares another's.
create table files (
  workspace_id text not null,
  -- Absolute and normalized: /notes/a.md. Directories have rows too.
  path text not null check (path like '/%'),
  id uuid not null,
  organization_id text not null,
  is_directory boolean not null default false,
  is_readonly boolean not null default false,
  -- Bytes; null for a directory.
  content bytea,
  -- SHA-256 of the content, hex.
  hash text,
  size_bytes bigint not null default 0,
  -- The call that wrote the file last: the same call again is answered, not repeated.
  idempotency_key text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace_id, path),
  check (is_directory = (content is null))
);
