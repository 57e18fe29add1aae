-- One row a provider and model that has been in trouble; no row is a closed breaker. Written when something changes.
create table circuit_breakers (
  provider_id text not null references providers (id) on delete cascade,
  -- The vendor's name of the model.
  model_id text not null,
  organization_id text not null references organizations (id),
  state text not null check (state in ('closed', 'open', 'half_open')),
  -- Why it is open: the provider failed, asked for a long wait, or an operator said so.
  reason text check (reason in ('failures', 'rate_limited', 'operator')),
  -- Failures in a row while closed.
  failure_count integer not null default 0,
  -- Probes that succeeded.
  success_count integer not null default 0,
  -- Times that it opened without closing in between: the cool-down grows with it.
  trips integer not null default 0,
  window_started_at timestamptz,
  last_failure_at timestamptz,
  opened_at timestamptz,
  -- From when a probe may go; null while an operator holds it open.
  half_open_at timestamptz,
  probe_expires_at timestamptz,
  -- Every change names the version that it was decided on.
  version integer not null default 1,
  updated_at timestamptz not null default now(),
  primary key (provider_id, model_id),
  check ((state = 'closed') = (reason is null)),
  check ((state = 'half_open') = (probe_expires_at is not null))
);
create index circuit_breakers_of_organization on circuit_breakers (organization_id, updated_at desc);

-- How much a provider may be asked at once: {max_concurrent_requests?, requests_per_minute?}; null is no limit.
alter table providers add column limits jsonb;
