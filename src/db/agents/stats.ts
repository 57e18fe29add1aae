import type { Db } from "../pool.ts";

/** Sums over the sessions of one agent or harness; null where there is nothing to say. */
export interface ResourceStatsRow {
  session_count: number;
  active_session_count: number;
  idle_session_count: number;
  started_session_count: number;
  waiting_for_tool_results_session_count: number;
  first_session_at: Date | null;
  last_session_at: Date | null;
  total_session_duration_ms: number;
  avg_session_duration_ms: number | null;
  total_input_tokens: number;
  total_output_tokens: number;
  total_cache_read_tokens: number;
  total_cache_creation_tokens: number;
  total_cost_usd: number;
  execution_count: number;
  last_execution_at: Date | null;
}

/** A session's duration is the time from its first turn to the last change of it. Deleted sessions do not count. */
export async function resourceStats(
  { sql }: Db,
  input: { organizationId: string; column: "agent_id" | "harness_id"; id: string },
): Promise<ResourceStatsRow> {
  const rows = await sql<ResourceStatsRow[]>`
    with mine as materialized (
      select id, status, created_at, input_tokens, output_tokens, cache_read_tokens, cache_creation_tokens, cost_usd,
             case when started_at is null then 0
                  else extract(epoch from updated_at - started_at) * 1000 end as duration_ms
        from sessions
       where organization_id = ${input.organizationId} and ${sql(input.column)} = ${input.id} and deleted_at is null
    ), executed as (
      select count(*) as execution_count, max(r.queued_at) as last_execution_at
        from runs r join mine on mine.id = r.session_id
    )
    select count(mine.id) as session_count,
           count(*) filter (where status = 'active') as active_session_count,
           count(*) filter (where status = 'idle') as idle_session_count,
           count(*) filter (where status = 'started') as started_session_count,
           count(*) filter (where status = 'waitingfortoolresults') as waiting_for_tool_results_session_count,
           min(created_at) as first_session_at,
           max(created_at) as last_session_at,
           coalesce(sum(duration_ms), 0)::bigint as total_session_duration_ms,
           avg(duration_ms)::bigint as avg_session_duration_ms,
           coalesce(sum(input_tokens), 0)::bigint as total_input_tokens,
           coalesce(sum(output_tokens), 0)::bigint as total_output_tokens,
           coalesce(sum(cache_read_tokens), 0)::bigint as total_cache_read_tokens,
           coalesce(sum(cache_creation_tokens), 0)::bigint as total_cache_creation_tokens,
           coalesce(sum(cost_usd), 0) as total_cost_usd,
           executed.execution_count,
           executed.last_execution_at
      from executed left join mine on true
     group by executed.execution_count, executed.last_execution_at`;
  return rows[0] as ResourceStatsRow;
}
