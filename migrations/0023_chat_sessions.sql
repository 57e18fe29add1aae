-- The one session in which a principal talks with the platform itself.
create table chat_sessions (
  organization_id text not null,
  principal_id text not null,
  session_id text not null references sessions (id) on delete cascade,
  primary key (organization_id, principal_id)
);
create index chat_sessions_of_session on chat_sessions (session_id);
