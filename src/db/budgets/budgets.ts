/** Budgets as rows: what the routes write and read. What model calls do to them is in budget-meter.ts. */
import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type { BudgetPeriod, BudgetStatus, BudgetSubject } from "../../contract/budget.ts";
import { userOf } from "../access/users.ts";
import { assignments } from "../assign.ts";
import type { Db, Sql } from "../pool.ts";

export interface BudgetRow {
  id: string;
  organization_id: string;
  subject_type: BudgetSubject;
  subject_id: string;
  currency: string;
  limit_amount: number;
  soft_limit: number | null;
  balance: number;
  reserved: number;
  status: BudgetStatus;
  period: BudgetPeriod | null;
  period_started_at: Date;
  is_soft_limit_waived: boolean;
  metadata: Record<string, unknown> | null;
  created_at: Date;
  updated_at: Date;
}

export interface LedgerRow {
  id: string;
  budget_id: string;
  amount: number;
  meter_source: string;
  ref_type: string | null;
  ref_id: string | null;
  session_id: string | null;
  description: string | null;
  created_at: Date;
}

/**
 * The row as it stands now: a period that is over has begun anew, debits that have left a rolling window are given
 * back. The stored row catches up with the next reservation.
 */
const columns = (sql: Sql) => sql`
  b.id, b.organization_id, b.subject_type, b.subject_id, b.currency, b.limit_amount, b.soft_limit, b.reserved,
  b.period, b.is_soft_limit_waived, b.metadata, b.created_at, b.updated_at,
  budget_period_start(b.period, b.period_started_at, now()) as period_started_at,
  case when b.status = 'exhausted' and now_left.balance > 0 then 'active' else b.status end as status,
  now_left.balance`;

const nowLeft = (sql: Sql) => sql`
  cross join lateral (
    select case when budget_period_start(b.period, b.period_started_at, now()) > b.period_started_at then b.limit_amount
                else b.balance + case when b.window_seconds is null then 0 else coalesce(
                       (select sum(l.amount) from budget_ledger l
                         where l.budget_id = b.id and not l.is_rolled_off and l.amount > 0
                           and l.created_at <= now() - b.window_seconds * interval '1 second'), 0) end
           end as balance
  ) now_left`;

export async function insertBudget(
  { sql }: Db,
  input: {
    organizationId: string;
    subjectType: BudgetSubject;
    subjectId: string;
    currency: string;
    limit: number;
    softLimit: number | null;
    period: BudgetPeriod | null;
    metadata: Record<string, unknown> | null;
  },
): Promise<BudgetRow> {
  const rows = await sql<BudgetRow[]>`
    with b as (
      insert into budgets (id, organization_id, subject_type, subject_id, currency, limit_amount, soft_limit, balance,
                           period, window_seconds, metadata)
      values (${newId("budget")}, ${input.organizationId}, ${input.subjectType}, ${input.subjectId}, ${input.currency},
              ${input.limit}, ${input.softLimit}, ${input.limit},
              ${input.period === null ? null : toJsonText(input.period)}::text::jsonb, ${windowSeconds(input.period)},
              ${input.metadata === null ? null : toJsonText(input.metadata)}::text::jsonb)
      returning *
    )
    select ${columns(sql)} from b ${nowLeft(sql)}`;
  return rows[0] as BudgetRow;
}

/** "5h" → 18,000; null for a budget without a rolling window. */
export function windowSeconds(period: BudgetPeriod | null): number | null {
  if (period?.type !== "rolling") return null;
  return Number.parseInt(period.window, 10) * (period.window.endsWith("h") ? 3_600 : 86_400);
}

export async function findBudget({ sql }: Db, organizationId: string, id: string): Promise<BudgetRow | null> {
  const rows = await sql<BudgetRow[]>`
    select ${columns(sql)} from budgets b ${nowLeft(sql)}
     where b.id = ${id} and b.organization_id = ${organizationId} and b.deleted_at is null`;
  return rows[0] ?? null;
}

/** Oldest first; null filters take everything. */
export async function listBudgets(
  { sql }: Db,
  input: { organizationId: string; subjectType: BudgetSubject | null; subjectId: string | null },
): Promise<BudgetRow[]> {
  return sql<BudgetRow[]>`
    select ${columns(sql)} from budgets b ${nowLeft(sql)}
     where b.organization_id = ${input.organizationId} and b.deleted_at is null
       and (${input.subjectType}::text is null or b.subject_type = ${input.subjectType})
       and (${input.subjectId}::text is null or b.subject_id = ${input.subjectId})
     order by b.created_at, b.id`;
}

/** The budgets that a model call of this session counts against: its own and those of the sessions it was forked
 * from, its agent's, its owner's, the organization's. */
export async function budgetsOfSession(
  { sql }: Db,
  organizationId: string,
  sessionId: string,
): Promise<BudgetRow[]> {
  return sql<BudgetRow[]>`
    select ${columns(sql)}
      from sessions s ${budgetsOf(sql)} ${nowLeft(sql)}
     where s.id = ${sessionId} and s.organization_id = ${organizationId} and s.deleted_at is null
     order by b.created_at, b.id`;
}

/**
 * Joins a session `s` with the budgets `b` that its model calls count against: four looks into an index, and one for
 * each session above it, which it was forked from or which handed its work to it, in any order: none of it is a way
 * around a budget.
 */
export const budgetsOf = (sql: Sql) => sql`
  cross join lateral (
    values ('session', s.id), ('agent', s.agent_id), ('user', s.owner_principal_id), ('organization', s.organization_id)
    union all select 'session', above.id from (
      with recursive above (id) as (
        select unnest(array_cat(s.lineage_ids, s.parent_ids))
        union
        select unnest(array_cat(x.lineage_ids, x.parent_ids)) from above join sessions x on x.id = above.id
      )
      select id from above
    ) above
  ) subject (type, id)
  join budgets b on b.organization_id = s.organization_id and b.subject_type = subject.type
                and b.subject_id = subject.id and b.deleted_at is null`;

/**
 * A changed limit changes what is left by as much. A changed soft limit counts anew, also where it was waived.
 *
 * @returns null when there is no such budget
 */
export async function updateBudget(
  db: Db,
  input: {
    organizationId: string;
    id: string;
    limit: number | undefined;
    softLimit: number | null | undefined;
    status: "active" | "paused" | "disabled" | undefined;
    metadata: Record<string, unknown> | null | undefined;
  },
): Promise<BudgetRow | null> {
  const { sql } = db;
  const set = assignments(
    sql,
    {
      limit_amount: input.limit,
      soft_limit: input.softLimit,
      status: input.status,
      metadata: input.metadata,
      ...(input.softLimit === undefined ? {} : { is_soft_limit_waived: false }),
    },
    { metadata: "json" },
  );
  const rows = await sql<{ id: string }[]>`
    update budgets set updated_at = now(), balance = balance + coalesce(${input.limit ?? null}::float8 - limit_amount, 0)
           ${set === null ? sql`` : sql`, ${set}`}
     where id = ${input.id} and organization_id = ${input.organizationId} and deleted_at is null
    returning id`;
  return rows.length === 0 ? null : findBudget(db, input.organizationId, input.id);
}

/** Soft: the ledger stays. @returns false when there is no such budget */
export async function deleteBudget({ sql }: Db, organizationId: string, id: string): Promise<boolean> {
  const rows = await sql`
    update budgets set deleted_at = now(), updated_at = now()
     where id = ${id} and organization_id = ${organizationId} and deleted_at is null
    returning id`;
  return rows.length > 0;
}

/** Adds to what is left and wakes a paused or exhausted budget. @returns null when there is no such budget */
export async function topUpBudget(
  db: Db,
  input: { organizationId: string; id: string; amount: number; description: string | null },
): Promise<BudgetRow | null> {
  const rows = await db.sql`
    with topped as (
      update budgets
         set balance = balance + ${input.amount}, updated_at = now(), is_warned = false,
             is_soft_limit_waived = is_soft_limit_waived or status = 'paused',
             status = case when status = 'disabled' then status
                           when balance + ${input.amount} > 0 then 'active' else 'exhausted' end
       where id = ${input.id} and organization_id = ${input.organizationId} and deleted_at is null
      returning id
    )
    insert into budget_ledger (id, budget_id, amount, meter_source, description)
    select ${newId("ledger")}, id, ${-input.amount}::float8, 'top_up', ${input.description} from topped
    returning budget_id`;
  return rows.length === 0 ? null : findBudget(db, input.organizationId, input.id);
}

/** Newest first; empty when there is no such budget. */
export async function listLedger(
  { sql }: Db,
  input: { organizationId: string; id: string; offset: number; limit: number },
): Promise<LedgerRow[]> {
  return sql<LedgerRow[]>`
    select l.id, l.budget_id, l.amount, l.meter_source, l.ref_type, l.ref_id, l.session_id, l.description, l.created_at
      from budget_ledger l join budgets b on b.id = l.budget_id
     where b.id = ${input.id} and b.organization_id = ${input.organizationId} and b.deleted_at is null
     order by l.created_at desc, l.id desc
    offset ${input.offset} limit ${input.limit}`;
}

/**
 * Lets the paused budgets of a session go on, up to their hard limits.
 *
 * @param input.subjects  whose budgets; the others stay paused
 * @returns their ids; null when there is no such session
 */
export async function resumeBudgets(
  db: Db,
  input: { organizationId: string; sessionId: string; subjects: readonly BudgetSubject[] },
): Promise<BudgetRow[] | null> {
  const { sql } = db;
  const { organizationId, sessionId } = input;
  const rows = await sql<{ session_id: string; ids: string[] | null }[]>`
    with session as materialized (
      select s.id, s.organization_id, s.agent_id, s.owner_principal_id, s.lineage_ids, s.parent_ids from sessions s
       where s.id = ${sessionId} and s.organization_id = ${organizationId} and s.deleted_at is null
    ), locked as materialized (
      select b.id from session s ${budgetsOf(sql)}
       where b.status = 'paused' and b.subject_type = any (${[...input.subjects]}::text[])
       order by b.id for no key update of b
    ), resumed as (
      update budgets b set status = 'active', is_soft_limit_waived = true, updated_at = now()
        from locked where b.id = locked.id
      returning b.id
    )
    select session.id as session_id, (select array_agg(id order by id) from resumed) as ids from session`;
  const row = rows[0];
  if (!row) return null;
  const resumed = await Promise.all((row.ids ?? []).map((id) => findBudget(db, organizationId, id)));
  return resumed.filter((budget) => budget !== null);
}

/** Whether there is something in the organization that a budget can be for. A user is whoever owns a session. */
export async function subjectExists(
  { sql }: Db,
  organizationId: string,
  type: BudgetSubject,
  id: string,
): Promise<boolean> {
  if (type === "organization") return id === organizationId;
  const rows =
    type === "session"
      ? await sql`select from sessions where id = ${id} and organization_id = ${organizationId} and deleted_at is null`
      : type === "agent"
        ? await sql`select from agents where id = ${id} and organization_id = ${organizationId} and status <> 'deleted'`
        : await sql`
            (select from sessions where owner_principal_id = ${id} and organization_id = ${organizationId} limit 1)
            union all
            (select from memberships
              where user_id = ${userOf(id)} and organization_id = ${organizationId})`;
  return rows.length > 0;
}
