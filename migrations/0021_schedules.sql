-- What is to happen at certain times: a message to a session, or to a new session of an agent. Those that a session's
-- agent made for it carry its id.
create table schedules (
  id text primary key,
  organization_id text not null references organizations (id),
  session_id text references sessions (id) on delete cascade,
  owner_principal_id text not null,
  -- Null for those of a session.
  name text,
  description text,
  -- Null: once, at scheduled_at.
  cron_expression text,
  scheduled_at timestamptz(3),
  -- IANA name, for the expression.
  timezone text not null,
  -- {type, name, input}
  target jsonb not null,
  enabled boolean not null,
  -- Due times that nobody was there for are made up for, the newest so many of them.
  catch_up_missed boolean not null default false,
  max_catch_up integer check (max_catch_up >= 0),
  -- Executions that may be under way when the next is due; null: any number.
  max_concurrent integer check (max_concurrent >= 0),
  retry_policy jsonb,
  -- Null: none. A fire names the due time that it is for, so that each is fired once: in milliseconds, as the
  -- programs count them.
  next_trigger_at timestamptz(3),
  last_triggered_at timestamptz,
  trigger_count bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((cron_expression is null) = (scheduled_at is not null)),
  check ((session_id is null) = (name is not null)),
  check (enabled or next_trigger_at is null)
) with (fillfactor = 80);
create index schedules_due on schedules (next_trigger_at) where next_trigger_at is not null;
create unique index schedules_by_name on schedules (organization_id, name) where session_id is null;
create index schedules_of_session on schedules (session_id, created_at) where session_id is not null;

-- What became of a due time: one row each.
create table schedule_executions (
  id text primary key,
  schedule_id text not null references schedules (id) on delete cascade,
  organization_id text not null,
  scheduled_at timestamptz(3) not null,
  -- Somebody asked for it: not one of the schedule's own times.
  is_manual boolean not null,
  status text not null check (status in ('running', 'completed', 'failed', 'cancelled', 'skipped')),
  session_id text,
  turn_id text,
  error text,
  started_at timestamptz not null default clock_timestamp(),
  completed_at timestamptz,
  created_at timestamptz not null default now(),
  check ((status = 'running') = (completed_at is null))
);
create unique index schedule_executions_once on schedule_executions (schedule_id, scheduled_at) where not is_manual;
create index schedule_executions_newest on schedule_executions (schedule_id, scheduled_at desc, id desc);
create index schedule_executions_running on schedule_executions (schedule_id) where status = 'running';
