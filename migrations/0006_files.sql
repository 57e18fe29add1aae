-- The files of a workspace, kept in the database: every worker sees the same ones. A session has one workspace
-- of the same hex unless it shares another's. The row is made by the first change of the files.
create table workspaces (
  id text primary key,
  organization_id text not null references organizations (id),
  -- Grows by one with each change of the files. A change names the version that it was planned on and writes
  -- nothing when another came first.
  files_version bigint not null check (files_version > 0),
  -- All files together, and all entries, directories included.
  size_bytes bigint not null check (size_bytes >= 0),
  entry_count bigint not null check (entry_count >= 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table files (
  workspace_id text not null references workspaces (id) on delete cascade,
  -- Absolute and normalized: /notes/a.md. Directories have rows too, the root has none. Byte order, so that the
  -- entries below /notes are the range from '/notes/' to '/notes0' of the primary key.
  path text collate "C" not null check (path like '/_%' and path not like '%/'),
  id uuid not null,
  organization_id text not null,
  is_directory boolean not null,
  is_readonly boolean not null,
  -- Bytes; null for a directory.
  content bytea,
  -- SHA-256 of the content, hex; null for a directory.
  hash text,
  size_bytes bigint not null check (size_bytes >= 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (workspace_id, path),
  check (is_directory = (content is null)),
  check (is_directory = (hash is null))
);

-- What a call did to the files: the same call again is answered from here and changes nothing. Needed only until
-- the call's own result is stored; old rows are pruned.
create table file_changes (
  workspace_id text not null references workspaces (id) on delete cascade,
  idempotency_key text not null,
  path text not null,
  created boolean not null,
  removed boolean not null,
  size_bytes bigint not null,
  hash text,
  created_at timestamptz not null default now(),
  primary key (workspace_id, idempotency_key)
);
create index file_changes_by_age on file_changes (created_at);
