-- A check of an agent: what its configuration was found to be, and one real turn. Nothing runs beside the turn: what
-- became of it is read from its run, and written down in `results` when somebody reads it after its end.
create table agent_health_checks (
  id text primary key,
  organization_id text not null references organizations (id),
  agent_id text not null references agents (id),
  config_hash text not null,
  model_id text,
  -- The check of the configuration, as the wire shows it.
  configuration jsonb not null,
  -- Null: the configuration was such that no turn was tried.
  session_id text,
  turn_id text,
  results jsonb,
  error_message text,
  created_at timestamptz not null default now(),
  completed_at timestamptz,
  check ((session_id is null) = (turn_id is null)),
  check ((results is null and error_message is null) = (completed_at is null))
);
create index agent_health_checks_newest on agent_health_checks (organization_id, agent_id, created_at desc, id desc);
