-- A run that goes on where another one failed, and what an operator decided about a call whose outcome was unknown.
alter table runs add column retried_run_id text;
alter table steps
  -- The run that the step was made in, when it was taken over from another; its calls keep that run's keys.
  add column origin_run_id text,
  -- {outcome, settled_by, settled_at}; null: nobody had to decide.
  add column settlement jsonb;
