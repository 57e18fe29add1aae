-- What becomes of a message that finds its session busy, when the message itself does not say.
alter table agents
  add column default_delivery text check (default_delivery in ('steer', 'queue', 'interrupt', 'reject'));
alter table sessions
  add column default_delivery text check (default_delivery in ('steer', 'queue', 'interrupt', 'reject')),
  -- Rows of queued_messages. It stands here so that the statement that ends a run sees, under the row's lock, that
  -- something waits.
  add column queue_length integer not null default 0 check (queue_length >= 0);

-- Messages that wait for their turn. A row is taken out when its turn begins or when it is withdrawn.
create table queued_messages (
  -- The message's own id.
  id text primary key,
  session_id text not null references sessions (id) on delete cascade,
  organization_id text not null,
  -- Grows within the session; the lowest is next.
  position bigint not null,
  -- The id of the run that it will become.
  turn_id text not null,
  message jsonb not null,
  controls jsonb,
  metadata jsonb,
  tags text[],
  priority integer not null,
  preview text not null,
  created_at timestamptz not null default now(),
  unique (session_id, position)
);
-- Whose queue must be moved on? Nothing that a step changes may stand here (updated_at, active_run_id), or each write
-- of the session's row would write to all its indexes.
create index sessions_to_promote on sessions (id) where queue_length > 0;
