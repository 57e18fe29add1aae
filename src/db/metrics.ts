/** Figures about the whole installation, for operators: counts over partial indexes and PostgreSQL's own statistics. */
import type { Db } from "./pool.ts";

export interface WorkerFigures {
  id: string;
  status: "running" | "draining";
  concurrency: number;
  load: number;
  runs_completed: number;
  runs_failed: number;
}

export interface TableFigures {
  name: string;
  live: number;
  dead: number;
}

export interface Figures {
  /** Runs that have not ended. Queued ones that are not yet due are in `delayed` and not in `queued`. */
  queued: number;
  delayed: number;
  running: number;
  /** By what they wait on. */
  waiting: Record<string, number>;
  /** How long the run that is due and has waited longest has waited; 0 when none is. */
  oldest_queued_seconds: number;
  /** Approvals that nobody has decided on, and the age of the oldest. */
  approvals_pending: number;
  oldest_approval_seconds: number;
  /** Workers that have not stopped. */
  workers: WorkerFigures[];
  /** Of this database, since its statistics were last reset. */
  deadlocks: number;
  commits: number;
  rollbacks: number;
  /** The tables that the engine writes most. */
  tables: TableFigures[];
}

export async function readFigures({ sql }: Db): Promise<Figures> {
  const rows = await sql<{ figures: Figures }[]>`
    select jsonb_build_object(
      'queued', (select count(*) from runs where state = 'queued' and available_at <= now()),
      'delayed', (select count(*) from runs where state = 'queued' and available_at > now()),
      'running', (select count(*) from runs where state = 'running'),
      'waiting', (select coalesce(jsonb_object_agg(waiting_on, n), '{}')
                    from (select waiting_on, count(*) as n from runs where state = 'waiting' group by waiting_on) w),
      'oldest_queued_seconds', (select coalesce(extract(epoch from now() - min(available_at)), 0)
                                  from runs where state = 'queued' and available_at <= now()),
      'approvals_pending', approvals.n,
      'oldest_approval_seconds', coalesce(extract(epoch from now() - approvals.oldest), 0),
      'workers', (select coalesce(jsonb_agg(to_jsonb(w) order by w.id), '[]')
                    from (select id, status, concurrency, load, runs_completed, runs_failed
                            from workers where status <> 'stopped') w),
      'deadlocks', d.deadlocks, 'commits', d.xact_commit, 'rollbacks', d.xact_rollback,
      'tables', (select coalesce(jsonb_agg(to_jsonb(t) order by t.name), '[]')
                   from (select relname as name, n_live_tup as live, n_dead_tup as dead from pg_stat_user_tables
                          where relname in ('events', 'runs', 'sessions', 'steps', 'waits', 'workers')) t)
    ) as figures
      from pg_stat_database d,
           (select count(*) as n, min(w.requested_at) as oldest
              from waits w join runs r on r.id = w.run_id
             where w.kind = 'approval' and w.status = 'pending' and r.state = 'waiting') approvals
     where d.datname = current_database()`;
  return (rows[0] as { figures: Figures }).figures;
}
