-- A session is one conversation and owns one event log.
--
-- What a request must decide about a busy session (is a turn running? has a message come since the worker
-- looked?) stands on the session row itself: a statement that waits for the row's lock sees its newest version,
-- while rows of other tables are seen as they were when the statement began.
create table sessions (
  id text primary key,
  organization_id text not null references organizations (id),
  harness_id text not null references harnesses (id),
  agent_id text references agents (id),
  workspace_id text not null,
  owner_principal_id text not null,
  title text,
  locale text,
  model_id text,
  system_prompt text,
  capabilities jsonb not null default '[]',
  tools jsonb not null default '[]',
  initial_files jsonb not null default '[]',
  mcp_servers jsonb not null default '{}',
  network_access jsonb,
  hints jsonb,
  parallel_tool_calls boolean,
  max_iterations integer check (max_iterations > 0),
  tags text[] not null default '{}',
  is_pinned boolean not null default false,
  status text not null default 'started' check (status in ('started', 'active', 'idle', 'waitingfortoolresults')),
  -- The run that is queued, running or waiting; null when the session is at rest.
  active_run_id text,
  -- Sequence of the newest event, and of the newest input.message (0: none yet).
  last_sequence bigint not null default 0,
  last_input_sequence bigint not null default 0,
  preview text,
  output_preview text,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cache_read_tokens bigint not null default 0,
  cache_creation_tokens bigint not null default 0,
  cost_usd double precision not null default 0,
  started_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((active_run_id is not null) = (status in ('active', 'waitingfortoolresults')))
) with (fillfactor = 80);
create index sessions_newest on sessions (organization_id, created_at desc, id desc) where deleted_at is null;
create index sessions_of_agent on sessions (agent_id, created_at desc) where deleted_at is null;

-- The append-only log. `id` ends in the sequence (see src/base/id.ts), so that no index on it is needed.
create table events (
  session_id text not null,
  sequence bigint not null check (sequence > 0),
  id text not null,
  type text not null,
  ts timestamptz not null default clock_timestamp(),
  context jsonb not null default '{}',
  data jsonb not null,
  metadata jsonb,
  tags text[],
  primary key (session_id, sequence)
);
-- What the model's history is built from; a session's token deltas are many and are not in it.
create index events_history on events (session_id, sequence)
  where type in ('input.message', 'output.message.completed', 'tool.completed', 'reason.started', 'reason.item');
