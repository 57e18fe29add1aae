-- Large contents on their way into a row, in pieces, so that neither side ever has one in a single message. A row is
-- needed for a moment only: what a killed process left is swept. Unlogged, for nothing depends on it: after a crash of
-- the database the upload has failed and is made again.
create unlogged table staged_bytes (
  upload_id uuid not null,
  -- From 0 on, without a gap.
  position integer not null,
  piece bytea not null,
  staged_at timestamptz not null default now(),
  primary key (upload_id, position)
);
alter table staged_bytes alter column piece set storage external;
create index staged_bytes_by_age on staged_bytes (staged_at);

-- Files are read in pieces: of a compressed content all that is before a piece would have to be unpacked for it.
alter table files alter column content set storage external;
