-- What parked runs wait for: one row a tool call. A run has pending rows exactly while it is `waiting`; rows of a run
-- that ended while it waited are over whatever their status says.
create table waits (
  run_id text not null references runs (id) on delete cascade,
  kind text not null check (kind in ('client_tool', 'approval', 'timer', 'subagent', 'budget')),
  -- Empty when the run itself waits and not one of its calls (budget).
  tool_call_id text not null,
  id text not null,
  organization_id text not null,
  session_id text not null,
  tool_name text,
  effect text check (effect in ('pure', 'idempotent', 'at_most_once')),
  arguments jsonb,
  -- SHA-256 over the tool's name and its arguments: what a decision is bound to.
  arguments_hash text,
  -- For people: why the call needs somebody.
  reason text,
  -- What the call's `tool.completed` says of the tool itself: display name, capability.
  tool_fields jsonb not null default '{}',
  -- settled: answered, decided, or the timer fired.
  status text not null default 'pending' check (status in ('pending', 'settled', 'expired', 'cancelled')),
  requested_at timestamptz not null default now(),
  expires_at timestamptz,
  decided_at timestamptz,
  decided_by text,
  decision text check (decision in ('allow', 'allow_always', 'reject', 'reject_always')),
  edited_arguments jsonb,
  comment text,
  primary key (run_id, kind, tool_call_id),
  check ((status = 'pending') = (decided_at is null))
);
-- Partial, so that 100,000 rows that wait cost the others nothing; each is named after its question.
create index waits_due on waits (expires_at) where status = 'pending';
create unique index waits_approvals on waits (id) where kind = 'approval';
create index waits_approvals_newest on waits (organization_id, requested_at desc, id desc) where kind = 'approval';
create index waits_always on waits (session_id, tool_name, decided_at desc)
  where decision in ('allow_always', 'reject_always');

-- How far the act step was when its run was parked: {succeeded, failed, open, elapsed_ms}. `open` counts the calls
-- that the worker still has to run afterwards. Null when no act step is under way.
alter table runs add column parked jsonb;
