-- A run is the durable execution of one turn; its id is the turn's id. This table is the queue.
create table runs (
  id text primary key,
  organization_id text not null,
  session_id text not null references sessions (id) on delete cascade,
  agent_id text,
  state text not null default 'queued'
    check (state in ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'sealed')),
  waiting_on text check (waiting_on in ('client_tools', 'approval', 'subagent', 'timer', 'budget')),
  priority integer not null default 0,
  attempt integer not null default 0,
  -- The fencing token: every write of a worker names the epoch of its claim.
  lease_epoch integer not null default 0,
  lease_owner text,
  lease_expires_at timestamptz,
  available_at timestamptz not null default now(),
  input_message_id text not null,
  input_sequence bigint not null,
  -- Set by the caller for this turn: model, effort, locale.
  controls jsonb,
  iterations integer not null default 0,
  final_message_id text,
  error_code text,
  error text,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  cache_read_tokens bigint not null default 0,
  cache_creation_tokens bigint not null default 0,
  cost_usd double precision not null default 0,
  time_to_first_token_ms integer,
  has_deltas boolean not null default false,
  queued_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  check ((state = 'running') = (lease_expires_at is not null)),
  check ((state = 'running') = (lease_owner is not null)),
  check ((state = 'waiting') = (waiting_on is not null)),
  check ((state in ('completed', 'failed', 'cancelled', 'sealed')) = (finished_at is not null))
) with (fillfactor = 70);
-- Each partial index is named after the question that it answers; ended runs are in none but the lists'.
create index runs_claimable on runs (priority desc, available_at, id) where state = 'queued';
create index runs_leased on runs (lease_expires_at) where state = 'running';
create index runs_leased_by on runs (lease_owner) where state = 'running';
create unique index runs_one_active_per_session on runs (session_id) where state in ('running', 'waiting');
create index runs_newest on runs (organization_id, queued_at desc, id desc);
create index runs_of_session on runs (session_id, queued_at desc);
create index runs_with_deltas on runs (finished_at) where has_deltas and finished_at is not null;

-- A message that was sent with a client_message_id, so that a repeated POST answers with the first result.
create table accepted_messages (
  session_id text not null references sessions (id) on delete cascade,
  client_message_id text not null,
  message_id text not null,
  turn_id text not null,
  sequence bigint not null,
  created_at timestamptz not null default now(),
  primary key (session_id, client_message_id)
);

-- Checkpoints. A step that is stored is never run again.
create table steps (
  run_id text not null references runs (id) on delete cascade,
  name text not null,
  kind text not null check (kind in ('reason', 'tool')),
  tool_name text,
  effect text check (effect in ('pure', 'idempotent', 'at_most_once')),
  -- pending: an at_most_once tool is about to run; unknown: it was killed and nobody knows.
  status text not null check (status in ('pending', 'settled', 'unknown')),
  attempt integer not null,
  result jsonb,
  usage jsonb,
  error text,
  started_at timestamptz not null,
  finished_at timestamptz,
  primary key (run_id, name),
  check ((status = 'settled') <= (finished_at is not null))
);

create table workers (
  id text primary key,
  hostname text not null,
  pid integer not null,
  version text not null,
  concurrency integer not null,
  load integer not null default 0,
  runs_completed bigint not null default 0,
  runs_failed bigint not null default 0,
  status text not null default 'running' check (status in ('running', 'draining', 'stopped')),
  -- The advisory lock that the process holds while it lives.
  lock_key integer not null,
  started_at timestamptz not null default now(),
  heartbeat_at timestamptz not null default now()
);
create index workers_alive on workers (heartbeat_at) where status <> 'stopped';
