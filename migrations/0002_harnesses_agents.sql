-- A harness is the layer below an agent; an agent is stored configuration: prompt, model, capabilities.
create table harnesses (
  id text primary key,
  organization_id text references organizations (id), -- null: built in, seen by every organization
  name text not null,
  display_name text,
  description text,
  system_prompt text,
  parent_harness_id text references harnesses (id),
  default_model_id text,
  capabilities jsonb not null default '[]',
  initial_files jsonb not null default '[]',
  mcp_servers jsonb not null default '{}',
  network_access jsonb,
  parallel_tool_calls boolean,
  tags text[] not null default '{}',
  status text not null default 'active' check (status in ('active', 'archived', 'deleted')),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index harnesses_name on harnesses (coalesce(organization_id, ''), name) where status <> 'deleted';

insert into harnesses (id, organization_id, name, display_name, description, capabilities)
values
  ('harness_00000000000000000000000000000001', null, 'base', 'Base',
   'Nothing but the agent itself.', '[]'),
  ('harness_00000000000000000000000000000002', null, 'generic', 'Generic',
   'The default: files, the web and the time of day.',
   '[{"ref": "session_file_system"}, {"ref": "web_fetch"}, {"ref": "current_time"}]');

create table agents (
  id text primary key,
  organization_id text not null references organizations (id),
  harness_id text not null references harnesses (id),
  name text not null,
  display_name text,
  description text,
  system_prompt text not null,
  default_model_id text,
  capabilities jsonb not null default '[]',
  tools jsonb not null default '[]',
  initial_files jsonb not null default '[]',
  mcp_servers jsonb not null default '{}',
  network_access jsonb,
  parallel_tool_calls boolean,
  max_iterations integer check (max_iterations > 0),
  tags text[] not null default '{}',
  status text not null default 'active' check (status in ('active', 'archived', 'deleted')),
  forked_from_agent_id text,
  archived_at timestamptz,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index agents_name on agents (organization_id, name) where status <> 'deleted';
create index agents_newest on agents (organization_id, created_at desc, id desc) where status <> 'deleted';
