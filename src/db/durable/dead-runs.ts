/** Runs that ended without an answer, where the conversation has not gone on since: an operator may retry them. */
import type { Db, Sql } from "../pool.ts";
import type { Page, Slice } from "../search.ts";

/** Of an organization's dead runs, the newest so many are looked at: older ones are history. */
export const DEAD_LOOKED_AT_MAX = 1_000;

export interface DeadRun {
  id: string;
  session_id: string;
  agent_id: string | null;
  input_message_id: string;
  attempt: number;
  error_code: string | null;
  error: string | null;
  /** Of this run and of those that it was a retry of, oldest first. */
  errors: string[];
  finished_at: Date;
}

/** As `retryRun` decides it. For a statement in which `dead` is a run. */
export const isRetryable = (sql: Sql) => sql`
  exists (select from sessions s
           where s.id = dead.session_id and s.deleted_at is null and s.active_run_id is null)
  and not exists (select from runs newer
                   where newer.session_id = dead.session_id
                     and (newer.input_sequence > dead.input_sequence or newer.retried_run_id = dead.id))`;

const RETRIES_FOLLOWED_MAX = 100;

/** The last that died first. */
export async function listDeadRuns(
  { sql }: Db,
  input: { organizationId: string; runId: string | null } & Slice,
): Promise<Page<DeadRun>> {
  const rows = await sql<(DeadRun & { total: number })[]>`
    with dead as materialized (
      select id, session_id, agent_id, input_message_id, input_sequence, attempt, error_code, error, finished_at
        from runs
       where organization_id = ${input.organizationId} and state in ('failed', 'sealed')
         and ${input.runId === null ? sql`true` : sql`id = ${input.runId}`}
       order by finished_at desc
       limit ${DEAD_LOOKED_AT_MAX}
    ), retryable as materialized (
      select dead.* from dead where ${isRetryable(sql)}
    )
    select shown.*, counted.total,
           (with recursive chain as (
              select r.retried_run_id, coalesce(r.error, r.error_code, r.state) as error, 1 as depth
                from runs r where r.id = shown.id
              union all
              select r.retried_run_id, coalesce(r.error, r.error_code, r.state), chain.depth + 1
                from chain join runs r on r.id = chain.retried_run_id
               where chain.depth < ${RETRIES_FOLLOWED_MAX}
            )
            select array_agg(error order by depth desc) from chain) as errors
      from (select count(*) as total from retryable) counted
      left join lateral (
        select id, session_id, agent_id, input_message_id, attempt, error_code, error, finished_at
          from retryable
         order by finished_at desc, id desc
         limit ${input.limit} offset ${input.offset}
      ) shown on true`;
  const total = rows[0]?.total ?? 0;
  return { rows: rows.filter((row) => row.id !== null).map(({ total: _, ...row }) => row), total };
}
