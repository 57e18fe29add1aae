-- A budget caps what its subject may spend on model calls. Everything that a reservation must decide stands on the
-- budget's own row: statements that wait for its lock then see its newest version.
create table budgets (
  id text primary key,
  organization_id text not null references organizations (id),
  subject_type text not null check (subject_type in ('session', 'agent', 'user', 'organization')),
  subject_id text not null,
  -- usd, tokens, credits (1,000 tokens); any other is kept by hand and not metered.
  currency text not null,
  limit_amount double precision not null check (limit_amount > 0),
  soft_limit double precision check (soft_limit > 0 and soft_limit <= limit_amount),
  -- What is left of the current period; below 0 after the one call that overshot.
  balance double precision not null,
  -- What calls that are under way may cost at most.
  reserved double precision not null default 0 check (reserved >= 0),
  -- {"type": "duration", "seconds"} | {"type": "rolling", "window"} | {"type": "calendar", "unit"}; null: for ever.
  period jsonb,
  -- A rolling window in seconds, read from the period once.
  window_seconds bigint check (window_seconds > 0),
  period_started_at timestamptz not null default now(),
  status text not null default 'active' check (status in ('active', 'paused', 'exhausted', 'disabled')),
  -- A person let the subject go on past the soft limit.
  is_soft_limit_waived boolean not null default false,
  is_warned boolean not null default false,
  metadata jsonb,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((window_seconds is not null) = (coalesce(period ->> 'type', '') = 'rolling'))
) with (fillfactor = 70);
create index budgets_of_subject on budgets (organization_id, subject_type, subject_id) where deleted_at is null;

-- Every debit (amount above 0) and credit. `ref_id` names what it was for: the same thing is never debited twice.
create table budget_ledger (
  id text primary key,
  budget_id text not null references budgets (id) on delete cascade,
  amount double precision not null,
  meter_source text not null,
  ref_type text,
  ref_id text,
  session_id text,
  description text,
  -- A debit that has left its rolling window and was given back to the balance.
  is_rolled_off boolean not null default false,
  created_at timestamptz not null default now()
);
create index budget_ledger_newest on budget_ledger (budget_id, created_at desc, id desc);
create unique index budget_ledger_once on budget_ledger (budget_id, ref_id) where ref_id is not null;

-- What the model call of a run holds of a budget until it is settled. One call of a run is under way at a time.
create table budget_reservations (
  run_id text not null,
  budget_id text not null references budgets (id) on delete cascade,
  amount double precision not null check (amount >= 0),
  created_at timestamptz not null default now(),
  primary key (run_id, budget_id)
);

-- Where the period begins that `at` lies in, given where some period began.
create function budget_period_start(period jsonb, started timestamptz, at timestamptz) returns timestamptz
language sql stable as $$
  select case period ->> 'type'
    when 'duration' then started + floor(extract(epoch from at - started) / (period ->> 'seconds')::float8)
                                   * (period ->> 'seconds')::float8 * interval '1 second'
    when 'calendar' then greatest(started, date_trunc(period ->> 'unit', at, 'UTC'))
    else started
  end
$$;

-- Runs that wait for a budget, found by it: the budget stands in the place of a call.
create index waits_for_budget on waits (tool_call_id) where kind = 'budget' and status = 'pending';

-- A session whose turn waits for a budget.
alter table sessions drop constraint sessions_status_check, drop constraint sessions_check,
  add constraint sessions_status_check
    check (status in ('started', 'active', 'idle', 'waitingfortoolresults', 'paused')),
  add constraint sessions_active_run_check
    check ((active_run_id is not null) = (status in ('active', 'waitingfortoolresults', 'paused')));
