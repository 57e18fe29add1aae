-- When the files of a memory's source were last begun to be fetched; null: never.
alter table file_trees add column sync_started_at timestamptz;
create index file_trees_with_source on file_trees (sync_started_at nulls first)
  where source is not null and status = 'active';
