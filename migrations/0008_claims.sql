-- How often a run's worker was lost, and how often it was put back for a passing error, since its last checkpoint.
-- A stored step sets both back: what moves on may be taken over any number of times.
alter table runs
  add column takeovers integer not null default 0,
  add column retries integer not null default 0;

-- An organization's part of the slots when several have runs that wait.
alter table organizations add column weight double precision not null default 1 check (weight > 0 and weight <= 1000);

-- The queue, by organization: a claim skips from one organization to the next.
drop index runs_claimable;
create index runs_queued on runs (organization_id, priority desc, available_at, id) where state = 'queued';
-- Counts what runs, by organization. A heartbeat changes no indexed column, so that it writes to no index and leaves
-- no row behind that only a vacuum removes (HOT): the end of a lease is in none, and who looks for leases that ran
-- out looks at the running rows.
drop index runs_leased;
create index runs_running on runs (organization_id) where state = 'running';
drop index workers_alive;
