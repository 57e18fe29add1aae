/** What became of due times. An execution runs for as long as the turn that it began. */
import type { ExecutionStatus } from "../../contract/schedule.ts";
import type { Db } from "../pool.ts";
import type { Page, Slice } from "../search.ts";

export interface ExecutionRow {
  id: string;
  schedule_id: string;
  scheduled_at: Date;
  status: ExecutionStatus;
  turn_id: string | null;
  error: string | null;
  started_at: Date;
  completed_at: Date | null;
  created_at: Date;
}

const COLUMNS = [
  "id",
  "schedule_id",
  "scheduled_at",
  "status",
  "turn_id",
  "error",
  "started_at",
  "completed_at",
  "created_at",
] as const;

/** The last due first. The caller has looked the schedule up. */
export async function listExecutions(
  { sql }: Db,
  input: { scheduleId: string; status: ExecutionStatus | null } & Slice,
): Promise<Page<ExecutionRow>> {
  const wanted = sql`
    schedule_id = ${input.scheduleId} and ${input.status === null ? sql`true` : sql`status = ${input.status}`}`;
  const [rows, counted] = await Promise.all([
    sql<ExecutionRow[]>`
      select ${sql(COLUMNS)} from schedule_executions
       where ${wanted}
       order by scheduled_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from schedule_executions where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

export async function findExecution(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<ExecutionRow | null> {
  const rows = await sql<ExecutionRow[]>`
    select ${sql(COLUMNS)} from schedule_executions where id = ${id} and organization_id = ${organizationId}`;
  return rows[0] ?? null;
}

export interface ExecutionStats {
  total: number;
  completed: number;
  failed: number;
  skipped: number;
  /** Of those that began a turn and have ended; null: none has. */
  average_ms: number | null;
  last_status: ExecutionStatus | null;
}

export async function executionStats({ sql }: Db, scheduleId: string): Promise<ExecutionStats> {
  const rows = await sql<ExecutionStats[]>`
    select count(*) as total,
           count(*) filter (where status = 'completed') as completed,
           count(*) filter (where status = 'failed') as failed,
           count(*) filter (where status = 'skipped') as skipped,
           round(avg(extract(epoch from completed_at - started_at) * 1000)
                   filter (where turn_id is not null))::bigint as average_ms,
           (array_agg(status order by scheduled_at desc, id desc))[1] as last_status
      from schedule_executions where schedule_id = ${scheduleId}`;
  return rows[0] as ExecutionStats;
}

/** Takes over what became of the turns that executions began. Any number of processes may do so. */
export async function settleExecutions({ sql }: Db, limit: number): Promise<number> {
  const rows = await sql`
    with over as (
      select e.id, r.id as run_id, r.state, coalesce(r.error, r.error_code) as error, r.finished_at
        from schedule_executions e left join runs r on r.id = e.turn_id
       where e.status = 'running'
         and (r.finished_at is not null
              -- Withdrawn from the queue, or gone with its session.
              or (r.id is null and not exists (select from queued_messages q where q.turn_id = e.turn_id)))
       limit ${limit}
    )
    update schedule_executions e
       set status = case when over.state = 'completed' then 'completed'
                         when over.state in ('failed', 'sealed') then 'failed' else 'cancelled' end,
           error = case when over.run_id is null then 'its message was withdrawn, or its session is gone'
                        when over.state in ('failed', 'sealed') then over.error end,
           completed_at = coalesce(over.finished_at, now())
      from over where e.id = over.id and e.status = 'running'
    returning e.id`;
  return rows.length;
}
