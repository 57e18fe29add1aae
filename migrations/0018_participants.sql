-- Who takes part in a session beside those that its own row names: its agent, who is the host, and its owner. They have a
-- row here only once they have left.
create table session_participants (
  id text primary key,
  session_id text not null references sessions (id) on delete cascade,
  organization_id text not null,
  kind text not null check (kind in ('agent', 'user')),
  role text not null check (role in ('host', 'member')),
  principal_id text not null,
  agent_id text references agents (id),
  joined_at timestamptz not null default now(),
  left_at timestamptz,
  check ((kind = 'agent') = (agent_id is not null))
);
create index session_participants_of_session on session_participants (session_id, joined_at);
-- Nobody takes part twice at the same time.
create unique index session_participants_present
  on session_participants (session_id, kind, (coalesce(agent_id, principal_id))) where left_at is null;
create index session_participants_of_agent on session_participants (agent_id) where agent_id is not null;
