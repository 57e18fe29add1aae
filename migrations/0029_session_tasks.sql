-- Sessions that an agent's session has handed work to: the first is the one at the top, the last the one that did.
alter table sessions add column parent_ids text[] check (cardinality(parent_ids) > 0);

-- Work that a session has handed out.
create table session_tasks (
  id text primary key,
  organization_id text not null,
  session_id text not null references sessions (id) on delete cascade,
  root_session_id text not null,
  kind text not null check (kind in ('subagent', 'external_agent', 'background_tool', 'monitor')),
  display_name text not null,
  state text not null check (state in ('queued', 'running', 'awaiting_input', 'succeeded', 'failed', 'canceled')),
  -- What was asked for: {agent?, task}.
  spec jsonb not null,
  wake_policy text not null default 'on_terminal' check (wake_policy in ('silent', 'on_terminal', 'on_activity')),
  -- The call that waits for it.
  run_id text not null,
  tool_call_id text not null,
  -- The turn that does it.
  child_session_id text not null,
  child_run_id text not null,
  summary text,
  -- {kind, message}
  error jsonb,
  cancel_requested_at timestamptz,
  started_at timestamptz not null default now(),
  finished_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((state in ('succeeded', 'failed', 'canceled')) = (finished_at is not null))
);
create index session_tasks_of_session on session_tasks (session_id, created_at);
create index session_tasks_newest on session_tasks (organization_id, created_at desc, id desc);
create index session_tasks_open on session_tasks (id) where finished_at is null;
create index session_tasks_by_call on session_tasks (run_id, tool_call_id);
create index waits_for_subagents on waits (run_id) where kind = 'subagent' and status = 'pending';

create table task_messages (
  id text primary key,
  task_id text not null references session_tasks (id) on delete cascade,
  -- inbound: to the task.
  direction text not null check (direction in ('inbound', 'outbound')),
  content jsonb not null,
  in_reply_to text,
  created_at timestamptz not null default clock_timestamp()
);
create index task_messages_of_task on task_messages (task_id, id);
