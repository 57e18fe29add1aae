import { limits } from "../../contract/limits.ts";
import type { Db } from "../pool.ts";
import { DEAD_LOOKED_AT_MAX, isRetryable } from "./dead-runs.ts";

/** The engine as it stands now, over all organizations. */
export interface EngineFigures {
  queued: number;
  running: number;
  waiting: number;
  /** Runs that ended without an answer and can be retried. */
  dead: number;
  /** Workers that have not stopped and are not silent. */
  workers: number;
  /** Of these, those that do not drain. */
  active_workers: number;
  /** Of these, those with a free slot. */
  accepting_workers: number;
  capacity: number;
  load: number;
  /** Of the workers that are still listed. */
  started: number;
  completed: number;
  failed: number;
}

export async function readEngineFigures({ sql }: Db): Promise<EngineFigures> {
  const rows = await sql<EngineFigures[]>`
    select (select count(*) from runs where state = 'queued') as queued,
           (select count(*) from runs where state = 'running') as running,
           (select count(*) from runs where state = 'waiting') as waiting,
           (select count(*)
              from organizations o, lateral (
                select id, session_id, input_sequence from runs
                 where organization_id = o.id and state in ('failed', 'sealed')
                 order by finished_at desc limit ${DEAD_LOOKED_AT_MAX}
              ) dead
             where ${isRetryable(sql)}) as dead,
           w.*
      from (select count(*) filter (where is_alive) as workers,
                   count(*) filter (where is_active) as active_workers,
                   count(*) filter (where is_active and load < concurrency) as accepting_workers,
                   coalesce(sum(concurrency) filter (where is_alive), 0)::int as capacity,
                   coalesce(sum(load) filter (where is_alive), 0)::int as load,
                   coalesce(sum(runs_started), 0)::bigint as started,
                   coalesce(sum(runs_completed), 0)::bigint as completed,
                   coalesce(sum(runs_failed), 0)::bigint as failed
              from workers, lateral (
                select status <> 'stopped'
                       and heartbeat_at > now() - ${limits.workerSilentSeconds} * interval '1 second' as is_alive
              ) alive, lateral (
                select is_alive and status = 'running' and not is_drain_wanted as is_active
              ) active) w`;
  return rows[0] as EngineFigures;
}
