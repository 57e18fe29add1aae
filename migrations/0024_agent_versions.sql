-- A version is an agent as it was at one moment; nothing changes or removes it. `authored_config` has the columns of
-- `agents` that a caller decides about (jsonb_populate_record puts them back), `resolved_config` what they and the
-- harness came to.
create table agent_versions (
  id text primary key,
  organization_id text not null references organizations (id),
  agent_id text not null references agents (id),
  version_number integer not null check (version_number > 0),
  semver_major integer not null,
  semver_minor integer not null,
  semver_patch integer not null,
  change_kind text not null
    check (change_kind in ('auto', 'manual', 'patch', 'minor', 'major', 'import', 'rollback', 'fork')),
  config_hash text not null,
  authored_config jsonb not null,
  resolved_config jsonb not null,
  summary text,
  parent_version_id text references agent_versions (id),
  -- The version that a rollback or a fork was made of; may belong to another agent.
  source_version_id text references agent_versions (id),
  created_by_principal_id text,
  created_at timestamptz not null default now(),
  unique (agent_id, version_number),
  unique (agent_id, semver_major, semver_minor, semver_patch)
);

alter table agents
  -- The version that new sessions use; null: they use the agent as it is.
  add column default_version_id text references agent_versions (id),
  add column forked_from_version_id text references agent_versions (id),
  -- The first of a line of copies and forks; null for who is no copy.
  add column root_agent_id text;

with recursive line as (
  select id, forked_from_agent_id as root, 1 as depth from agents where forked_from_agent_id is not null
  union all
  select line.id, a.forked_from_agent_id, line.depth + 1
    from line join agents a on a.id = line.root
   where a.forked_from_agent_id is not null and line.depth < 100
)
update agents a
   set root_agent_id = (select root from line where line.id = a.id order by depth desc limit 1)
 where a.forked_from_agent_id is not null;

-- The version that the session runs; null: the agent as it is at each turn.
alter table sessions add column agent_version_id text references agent_versions (id);
