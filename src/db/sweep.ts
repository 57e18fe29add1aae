import { DELTA_TYPES } from "../contract/event.ts";
import type { Db } from "./pool.ts";

/** "evsw": one sweep at a time in this database. */
export const SWEEP_LOCK = 0x65_76_73_77;
const RUNS_PER_SWEEP = 500;
const KEEP_WORKERS_DAYS = 1;

/**
 * Prunes the token deltas of turns that ended a while ago (the completed messages stand) and forgets workers that
 * stopped long ago. Does nothing when another process is at it. An answer that its turn's end cut off has no
 * completed message: its deltas are all that is left of what people saw, and stay.
 *
 * @param options.keepDeltasMs  how long after its end a turn keeps its deltas, for readers that lag
 */
export async function sweep({ sql }: Db, options: { keepDeltasMs: number }): Promise<{ deltas: number }> {
  const rows = await sql<{ deltas: number }[]>`
    with permit as materialized (
      select pg_try_advisory_xact_lock(${SWEEP_LOCK}) as is_mine
    ), ended as materialized (
      select runs.id, runs.session_id, runs.input_sequence, runs.state
        from runs, permit
       where permit.is_mine and has_deltas and finished_at < now() - ${options.keepDeltasMs} * interval '1 millisecond'
       order by finished_at
       limit ${RUNS_PER_SWEEP}
         for no key update of runs skip locked
    ), cut_off as materialized (
      select ended.id as run_id, started.sequence
        from ended, lateral (
          select e.sequence, e.data ->> 'message_id' as message_id
            from events e
           where e.session_id = ended.session_id and e.sequence > ended.input_sequence
             and e.type = 'output.message.started' and e.context ->> 'turn_id' = ended.id
           order by e.sequence desc
           limit 1
        ) started
       where ended.state <> 'completed'
         and not exists (
           select from events e
            where e.session_id = ended.session_id and e.sequence > started.sequence
              and e.type = 'output.message.completed' and e.data #>> '{message,id}' = started.message_id)
    ), pruned as (
      delete from events e using ended left join cut_off on cut_off.run_id = ended.id
       where e.session_id = ended.session_id and e.sequence > ended.input_sequence
         and e.type = any (${[...DELTA_TYPES]}::text[]) and e.context ->> 'turn_id' = ended.id
         and (cut_off.sequence is null or e.sequence < cut_off.sequence)
      returning 1
    ), marked as (
      update runs set has_deltas = false from ended where runs.id = ended.id
    ), forgotten as (
      delete from workers using permit
       where permit.is_mine and status = 'stopped' and heartbeat_at < now() - ${KEEP_WORKERS_DAYS} * interval '1 day'
    )
    select count(*) as deltas from pruned`;
  return { deltas: rows[0]?.deltas ?? 0 };
}
