/**
 * What model calls do to budgets: reserve before the call, settle after it.
 *
 * A call is let through while something is left that no other call has reserved, and reserves what it may cost at
 * most. Calls that are under way together can therefore overshoot a limit by one call, however many they are. All
 * that is decided stands on the budget's row, under its lock; budgets are locked by id, before any other row.
 */
import { BUDGET_WARNING_SHARE } from "../../contract/budget.ts";
import type { Db, Sql } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";
import { budgetsOf } from "./budgets.ts";

/** What a call costs or may cost, in each metered currency. */
export interface CallCost {
  usd: number;
  tokens: number;
}

/**
 * `continue`  the call may go out, its cost is reserved
 * `warn`      the same, and for the first time only a fifth of the limit is left
 * `wait`      all that is left is reserved by other calls
 * `pause`     more than the soft limit was spent: a person decides
 * `stop`      nothing is left
 */
export type MeterAction = "continue" | "warn" | "wait" | "pause" | "stop";

export interface MeteredBudget {
  id: string;
  currency: string;
  balance: number;
  limit_amount: number;
  soft_limit: number | null;
  action: MeterAction;
}

const costIn = (sql: Sql, cost: CallCost) => sql`
  case b.currency when 'usd' then ${cost.usd}::float8 when 'tokens' then ${cost.tokens}::float8
                  when 'credits' then ${cost.tokens / 1_000}::float8 else 0 end`;

/**
 * Asks every budget that a session's calls count against. Reserves with all of them or with none.
 *
 * @returns one row a budget; none when the session has no budget
 */
export async function reserveBudgets(
  db: Db,
  call: { organizationId: string; sessionId: string; runId: string; cost: CallCost },
): Promise<MeteredBudget[]> {
  const { sql } = db;
  return sql<MeteredBudget[]>`
    with s as materialized (
      select id, organization_id, agent_id, owner_principal_id, lineage_ids, parent_ids from sessions
       where id = ${call.sessionId} and organization_id = ${call.organizationId}
    ), b as materialized (
      select b.*, ${costIn(sql, call.cost)} as cost
        from s ${budgetsOf(sql)}
       where b.status <> 'disabled'
       order by b.id for no key update of b
    ), rolled as (
      update budget_ledger l set is_rolled_off = true
        from b
       where l.budget_id = b.id and not l.is_rolled_off and l.amount > 0
         and l.created_at <= now() - b.window_seconds * interval '1 second'
      returning l.budget_id, l.amount
    ), held as (
      select r.budget_id, r.amount from budget_reservations r where r.run_id = ${call.runId}
    ), renewed as materialized (
      select b.*, budget_period_start(b.period, b.period_started_at, now()) as begins,
             coalesce((select amount from held where held.budget_id = b.id), 0) as own,
             coalesce((select sum(amount) from rolled where rolled.budget_id = b.id), 0) as given_back
        from b
    ), counted as materialized (
      select renewed.*, begins > period_started_at as is_anew,
             case when begins > period_started_at then limit_amount else balance + given_back end as left_now
        from renewed
    ), judged as materialized (
      select counted.*, case
               when left_now <= 0 then 'stop'
               when status = 'paused' then 'pause'
               when soft_limit is not null and limit_amount - left_now > soft_limit
                    and (is_anew or not is_soft_limit_waived) then 'pause'
               when left_now - (reserved - own) <= 0 then 'wait'
               when left_now <= ${BUDGET_WARNING_SHARE}::float8 * limit_amount and (is_anew or not is_warned) then 'warn'
               else 'continue'
             end as action
        from counted
    ), verdict as materialized (
      select not exists (select from judged where action in ('stop', 'pause', 'wait')) as is_let_through
    ), changed as (
      update budgets
         set balance = j.left_now, period_started_at = j.begins,
             reserved = greatest(0, j.reserved - j.own + case when v.is_let_through then j.cost else 0 end),
             status = case j.action when 'stop' then 'exhausted' when 'pause' then 'paused' else 'active' end,
             is_warned = (j.is_warned and not j.is_anew) or j.action = 'warn',
             is_soft_limit_waived = j.is_soft_limit_waived and not j.is_anew
        from judged j, verdict v where budgets.id = j.id
    ), remembered as (
      insert into budget_reservations (run_id, budget_id, amount)
      select ${call.runId}, j.id, j.cost from judged j, verdict v where v.is_let_through
      on conflict (run_id, budget_id) do update set amount = excluded.amount, created_at = now()
    ), forgotten as (
      delete from budget_reservations r using verdict v where r.run_id = ${call.runId} and not v.is_let_through
    )
    select id, currency, left_now as balance, limit_amount, soft_limit, action from judged order by id`.catch(
    (error) => {
      throw asRetryable(error);
    },
  );
}

/**
 * Debits what the reserved call of a run has cost, and lets go of the reservation. A call that failed costs nothing.
 *
 * @param call.refId  names the call: the same one is never debited twice
 * @returns the budgets that it was reserved with; `warn` and `stop` when this very call brought them there
 */
export async function settleBudgets(
  db: Db,
  call: { runId: string; sessionId: string; refId: string; cost: CallCost; description: string | null },
): Promise<MeteredBudget[]> {
  const { sql } = db;
  return sql<MeteredBudget[]>`
    with b as materialized (
      select b.*, ${costIn(sql, call.cost)} as cost
        from budgets b
       where b.id in (select budget_id from budget_reservations where run_id = ${call.runId})
       order by b.id for no key update
    ), released as (
      delete from budget_reservations r using b
       where r.budget_id = b.id and r.run_id = ${call.runId}
      returning r.budget_id, r.amount
    ), spent as (
      insert into budget_ledger (id, budget_id, amount, meter_source, ref_type, ref_id, session_id, description)
      select 'ledger_' || replace(gen_random_uuid()::text, '-', ''), b.id, b.cost, 'model_call', 'model_call',
             ${call.refId}, ${call.sessionId}, ${call.description}
        from b join released on released.budget_id = b.id where b.cost > 0
      on conflict (budget_id, ref_id) where ref_id is not null do nothing
      returning budget_id, amount
    ), settled as materialized (
      select b.*, released.amount as held, b.balance - coalesce(spent.amount, 0) as left_now
        from b join released on released.budget_id = b.id left join spent on spent.budget_id = b.id
    ), judged as materialized (
      select settled.*, case
               when left_now <= 0 and balance > 0 then 'stop'
               when left_now <= ${BUDGET_WARNING_SHARE}::float8 * limit_amount and not is_warned then 'warn'
               else 'continue'
             end as action
        from settled
    ), changed as (
      update budgets
         set balance = j.left_now, reserved = greatest(0, j.reserved - j.held),
             status = case when j.status = 'active' and j.left_now <= 0 then 'exhausted' else j.status end,
             is_warned = j.is_warned or j.action <> 'continue'
        from judged j where budgets.id = j.id
    )
    select id, currency, left_now as balance, limit_amount, soft_limit, action from judged order by id`.catch(
    (error) => {
      throw asRetryable(error);
    },
  );
}

/**
 * Lets go of what runs have reserved that are not running any more: their worker died, or they were cancelled in the
 * middle of a call. What such a call has cost nobody knows.
 */
export async function releaseStaleReservations({ sql }: Db, limit: number): Promise<number> {
  const rows = await sql`
    with stale as materialized (
      select r.run_id, r.budget_id from budget_reservations r
       where not exists (select from runs where runs.id = r.run_id and runs.state = 'running')
       limit ${limit}
    ), b as materialized (
      select id from budgets where id in (select budget_id from stale) order by id for no key update
    ), released as (
      delete from budget_reservations r using stale, b
       where r.run_id = stale.run_id and r.budget_id = stale.budget_id and b.id = r.budget_id
      returning r.budget_id, r.amount
    )
    update budgets set reserved = greatest(0, reserved - freed.amount)
      from (select budget_id, sum(amount) as amount from released group by budget_id) freed
     where budgets.id = freed.budget_id
    returning budgets.id`;
  return rows.length;
}

/** A name for one model call of a run, for the ledger. */
export const callRef = (runId: string, iteration: number, attempt: number): string =>
  `${runId}:reason:${iteration}:${attempt}`;
