/** Runs that wait for a budget: found by the budget, and sent back to the queue when it may let them through. */
import type { Db } from "../pool.ts";
import { asRetryable } from "../sqlstate.ts";
import { type SettledRun, settledWith, settleWaits } from "../waits.ts";

/**
 * Sends runs that wait for one of these budgets back to the queue, those first that have waited longest. They ask
 * their budgets again by themselves, and wait again when another one still says no.
 *
 * @param limit  runs at most: what one finished call lets go of is enough for about one other
 * @returns the runs; the caller publishes them
 */
export async function wakeForBudgets(
  db: Db,
  budgetIds: readonly string[],
  limit: number,
): Promise<SettledRun[]> {
  if (budgetIds.length === 0) return [];
  const waits = await db.sql<{ run_id: string; session_id: string; budget_id: string }[]>`
    with woken as (
      select run_id, min(requested_at) as since from waits
       where kind = 'budget' and status = 'pending' and tool_call_id = any (${[...budgetIds]}::text[])
       group by run_id order by since limit ${limit}
    )
    select w.run_id, w.session_id, w.tool_call_id as budget_id
      from woken join waits w on w.run_id = woken.run_id
     where w.kind = 'budget' and w.status = 'pending'`.catch((error) => {
    throw asRetryable(error);
  });
  const settled = await settleWaits(
    db.sql,
    waits.map((wait) => ({
      ...settledWith(
        { runId: wait.run_id, sessionId: wait.session_id, kind: "budget", toolCallId: wait.budget_id },
        "settled",
        { ok: true, text: "" },
      ),
      result: null,
    })),
  );
  return settled.filter((run) => run.isResumed);
}

/**
 * Forgets what a run has waited for budgets, so that it may wait for them again.
 *
 * @returns the budgets that had paused it; each is returned once
 */
export async function takeBudgetWaits({ sql }: Db, runId: string): Promise<string[]> {
  const rows = await sql<{ budget_id: string; reason: string }[]>`
    delete from waits where run_id = ${runId} and kind = 'budget' and status <> 'pending'
    returning tool_call_id as budget_id, reason`.catch((error) => {
    throw asRetryable(error);
  });
  return rows.filter((row) => row.reason === "pause").map((row) => row.budget_id);
}

/** Of these budgets, those that would let a call through now: asked after parking, which a top-up may have met. */
export async function openBudgets({ sql }: Db, budgetIds: readonly string[]): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from budgets
     where id = any (${[...budgetIds]}::text[])
       and (deleted_at is not null or status = 'disabled' or (status = 'active' and balance - reserved > 0))`;
  return rows.map((row) => row.id);
}
