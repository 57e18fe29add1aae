-- How often a run's worker was lost, and how often it was put back for a passing error, since its last checkpoint.
-- A stored step sets both back: what moves on may be taken over any number of times.
alter table runs
  add column takeovers integer not null default 0,
  add column retries integer not null default 0;
