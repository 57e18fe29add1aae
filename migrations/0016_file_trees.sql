-- What has files is a tree of files with a name and a life of its own. A workspace is one kind of it.
alter table workspaces rename to file_trees;
alter table files rename column workspace_id to tree_id;
alter table file_changes rename column workspace_id to tree_id;

alter table file_trees
  add column kind text not null default 'workspace' check (kind in ('workspace', 'memory')),
  add column name text,
  add column description text,
  -- starting: its first files are put, and the session that it is for is not there yet. An archived tree is read-only.
  -- A deleted one is gone for everybody, and its files go by and by.
  add column status text not null default 'active' check (status in ('starting', 'active', 'archived', 'deleted')),
  -- A workspace that was made with its session ends with the last session that has it.
  add column is_session_default boolean not null default false,
  -- Where the files of a memory come from, without any credential; null: they are put by hand.
  add column source jsonb,
  add column sync_status text not null default 'idle' check (sync_status in ('idle', 'pending', 'syncing', 'synced', 'failed')),
  add column last_synced_at timestamptz,
  add column last_sync_error text,
  add column archived_at timestamptz,
  add column deleted_at timestamptz;

update file_trees set is_session_default = true, name = 'session-' || substring(id from 5);
insert into file_trees (id, organization_id, files_version, size_bytes, entry_count, name, is_session_default, created_at)
select workspace_id, min(organization_id), 1, 0, 0, 'session-' || substring(workspace_id from 5), true, min(created_at)
  from sessions
 where deleted_at is null
 group by workspace_id
on conflict (id) do nothing;
update file_trees
   set status = 'deleted', deleted_at = now()
 where not exists (select from sessions where workspace_id = file_trees.id and deleted_at is null);

alter table file_trees
  alter column name set not null,
  add check ((status = 'archived') = (archived_at is not null)),
  add check ((status = 'deleted') = (deleted_at is not null)),
  add check (kind = 'workspace' or not is_session_default),
  add check (kind = 'memory' or source is null);
create unique index file_trees_name on file_trees (organization_id, kind, name) where status in ('active', 'archived');
create index file_trees_newest on file_trees (organization_id, kind, created_at desc, id desc)
  where status in ('active', 'archived');
-- What is to go for good, and what was begun and never finished.
create index file_trees_ending on file_trees (updated_at) where status in ('starting', 'deleted');
