-- Which agent a queued message is addressed to; null: the session's own. Of a message that began its turn, runs.agent_id
-- says it.
alter table queued_messages add column agent_id text references agents (id);
