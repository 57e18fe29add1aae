-- What operators see of the engine, and what they ask of a worker.
alter table workers
  -- Turns that it was the first to take up.
  add column runs_started bigint not null default 0,
  -- An operator wants it to claim nothing more. The worker reads it with each heartbeat.
  add column is_drain_wanted boolean not null default false;

-- Turns that ended without an answer: the newest of them may be retried.
create index runs_dead on runs (organization_id, finished_at desc) where state in ('failed', 'sealed');
