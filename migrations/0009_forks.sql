-- A fork shows the events of the session that it was made from, up to one of them, and goes on with its own from
-- the next sequence. No event is copied: the fork names whose events come before its own.
alter table sessions
  add column forked_from_session_id text,
  add column forked_from_sequence bigint check (forked_from_sequence > 0),
  -- Oldest first: lineage_ids[n] wrote the events after lineage_up_to[n - 1] (0 for the first), up to and with
  -- lineage_up_to[n]; the last one is forked_from_sequence. Null: not a fork. Never changes.
  add column lineage_ids text[],
  add column lineage_up_to bigint[],
  add check ((forked_from_session_id is null) = (lineage_ids is null)),
  add check ((forked_from_sequence is null) = (lineage_ids is null)),
  add check (cardinality(lineage_ids) > 0 and cardinality(lineage_ids) = cardinality(lineage_up_to));

-- Who needs the events of this session? Asked before they are removed for good.
create index sessions_by_ancestor on sessions using gin (lineage_ids) where lineage_ids is not null;
