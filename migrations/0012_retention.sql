-- Deleted sessions wait here for their end; a workspace goes when no session has it any more.
create index sessions_deleted on sessions (deleted_at) where deleted_at is not null;
create index sessions_of_workspace on sessions (workspace_id);
-- Old remembered messages: rows are written in order of their age, so a summary of each block is enough.
create index accepted_messages_by_age on accepted_messages using brin (created_at);

-- Dead rows are what slows a queue down. By default they are removed when they make up a fifth of a table; of a
-- million runs that ended that would be 200,000 dead entries at the head of the queue's index.
alter table runs set (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
                      autovacuum_analyze_scale_factor = 0.02);
alter table sessions set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000);
alter table workers set (fillfactor = 50);
