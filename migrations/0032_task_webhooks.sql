-- Where an organization wants to be told that a task has ended.
create table task_webhooks (
  id text primary key,
  organization_id text not null references organizations (id),
  url text not null,
  secret_sealed text not null,
  enabled boolean not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index task_webhooks_of_organization on task_webhooks (organization_id, created_at);

-- What is to be told, and whether it was: written together with what it tells.
create table webhook_deliveries (
  -- The receiver's `webhook-id`: the same at each try.
  id text primary key,
  webhook_id text not null references task_webhooks (id) on delete cascade,
  organization_id text not null,
  body text not null,
  attempts integer not null default 0,
  -- Null: it is over. While it is tried this is when somebody else may.
  next_attempt_at timestamptz default now(),
  -- Null while it is not over.
  outcome text check (outcome in ('delivered', 'failed')),
  last_error text,
  created_at timestamptz not null default now(),
  done_at timestamptz,
  check ((next_attempt_at is null) = (outcome is not null)),
  check ((outcome is null) = (done_at is null))
);
create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where next_attempt_at is not null;
create index webhook_deliveries_done on webhook_deliveries (done_at) where done_at is not null;
