/** Budgets: what may be spent, what is left, and who lets work go on. The engine reserves and settles. */
import { UserError } from "../../base/errors.ts";
import { isId } from "../../base/id.ts";
import {
  BUDGET_SUBJECTS,
  BUDGET_WARNING_SHARE,
  Budget,
  BudgetCheckResult,
  type BudgetSubject,
  CreateBudgetRequest,
  LedgerEntry,
  TopUpRequest,
  UpdateBudgetRequest,
} from "../../contract/budget.ts";
import { limits } from "../../contract/limits.ts";
import { OneOf, type Static, Type } from "../../contract/schema.ts";
import { principalOf } from "../../db/access/users.ts";
import { wakeForBudgets } from "../../db/budgets/budget-waits.ts";
import {
  type BudgetRow,
  budgetsOfSession,
  deleteBudget,
  findBudget,
  insertBudget,
  type LedgerRow,
  listBudgets,
  listLedger,
  resumeBudgets,
  subjectExists,
  topUpBudget,
  updateBudget,
} from "../../db/budgets/budgets.ts";
import { findSession } from "../../db/session-rows.ts";
import { requireJsonBytes } from "../agents/layer.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

type Deps = Pick<ApiDeps, "db" | "hints">;

/** Runs that one request sends back to the queue; those beyond it look again by themselves (engine/budget.ts). */
const WAKE_MAX = 1_000;

const LedgerQuery = Type.Object({
  offset: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 31 - 1, default: 0 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })),
});

export function budgetRoutes({ db, hints }: Deps): Route[] {
  /** Runs that waited for one of these budgets go on. */
  const wake = async (budgets: readonly BudgetRow[]): Promise<void> => {
    const ids = budgets.map((budget) => budget.id);
    const woken = await wakeForBudgets(db, ids, WAKE_MAX);
    if (woken.length > 0) hints.publish({ sessions: woken.map((run) => run.sessionId), isQueued: true });
  };

  const existing = async (organizationId: string, text: string): Promise<BudgetRow> => {
    const row = await findBudget(db, organizationId, pathId("budget", text));
    if (!row) throw noBudget();
    return row;
  };

  const ofSession = async (organizationId: string, text: string): Promise<BudgetRow[]> => {
    const sessionId = pathId("session", text);
    if (!(await findSession(db, organizationId, sessionId)))
      throw new UserError("not_found", "Session not found");
    return budgetsOfSession(db, organizationId, sessionId);
  };

  return [
    defineRoute({
      method: "POST",
      path: "/budgets",
      operationId: "create_budget",
      tag: "budgets",
      summary: "Cap what a session, an agent, a user or the organization may spend",
      description:
        "A model call goes out while something is left that no other call has reserved, and reserves what it may " +
        "cost at most: the limit is overshot by one call at most. Past `soft_limit` work pauses until somebody " +
        "resumes or tops up; at the limit the turn is sealed.",
      body: CreateBudgetRequest,
      responses: { 201: Budget },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ body, caller }) {
        const { organizationId } = caller;
        const softLimit = body.soft_limit ?? null;
        checkSoftLimit(softLimit, body.limit);
        requireJsonBytes("metadata", body.metadata, limits.metadataBytesMax);
        const subjectType: BudgetSubject = body.subject_type === "org" ? "organization" : body.subject_type;
        requireManager(caller, subjectType);
        const subjectId = subjectType === "user" ? principalOf(body.subject_id) : body.subject_id;
        await checkSubject(db, caller, subjectType, subjectId);
        const row = await insertBudget(db, {
          organizationId,
          subjectType,
          subjectId,
          currency: body.currency,
          limit: body.limit,
          softLimit,
          period: body.period ?? null,
          metadata: body.metadata ?? null,
        });
        return reply(201, toWire(row), { location: `/v1/budgets/${row.id}` });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/budgets",
      operationId: "list_budgets",
      tag: "budgets",
      summary: "List budgets, oldest first",
      query: Type.Object({
        subject_type: Type.Optional(OneOf(["session", "agent", "user", "org", "organization"])),
        subject_id: Type.Optional(Type.String({ maxLength: 200 })),
      }),
      responses: { 200: Type.Array(Budget) },
      async run({ query, caller: { organizationId } }) {
        const subjectType = query.subject_type === "org" ? "organization" : query.subject_type;
        const rows = await listBudgets(db, {
          organizationId,
          subjectType: subjectType ?? null,
          subjectId:
            query.subject_id !== undefined && subjectType === "user"
              ? principalOf(query.subject_id)
              : (query.subject_id ?? null),
        });
        return reply(200, rows.map(toWire));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/budgets/{budget_id}",
      operationId: "get_budget",
      tag: "budgets",
      summary: "Read a budget",
      responses: { 200: Budget },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, toWire(await existing(caller.organizationId, params.budget_id))),
    }),
    defineRoute({
      method: "PATCH",
      path: "/budgets/{budget_id}",
      operationId: "update_budget",
      tag: "budgets",
      summary: "Change a budget",
      description: "A changed limit changes what is left by as much; a null `soft_limit` removes it.",
      body: UpdateBudgetRequest,
      responses: { 200: Budget },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const before = await existing(organizationId, params.budget_id);
        requireManager(caller, before.subject_type);
        const softLimit = body.soft_limit === undefined ? before.soft_limit : body.soft_limit;
        checkSoftLimit(softLimit, body.limit ?? before.limit_amount);
        requireJsonBytes("metadata", body.metadata, limits.metadataBytesMax);
        const row = await updateBudget(db, {
          organizationId,
          id: before.id,
          limit: body.limit ?? undefined,
          softLimit: body.soft_limit,
          status: body.status ?? undefined,
          metadata: body.metadata,
        });
        if (!row) throw noBudget();
        if (row.status === "active" || row.status === "disabled") await wake([row]);
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/budgets/{budget_id}",
      operationId: "delete_budget",
      tag: "budgets",
      summary: "Remove a budget; its ledger stays stored",
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const { organizationId } = caller;
        const before = await existing(organizationId, params.budget_id);
        requireManager(caller, before.subject_type);
        if (!(await deleteBudget(db, organizationId, before.id))) throw noBudget();
        await wake([before]);
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/budgets/{budget_id}/top-up",
      operationId: "top_up_budget",
      tag: "budgets",
      summary: "Add to what is left; paused and exhausted budgets are active again",
      body: TopUpRequest,
      responses: { 200: Budget },
      problems: ["invalid_id", "limit_exceeded", "not_found"],
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const { id, subject_type } = await existing(organizationId, params.budget_id);
        requireManager(caller, subject_type);
        const row = await topUpBudget(db, {
          organizationId,
          id,
          amount: body.amount,
          description: body.description ?? null,
        });
        if (!row) throw noBudget();
        if (row.status === "active") await wake([row]);
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/budgets/{budget_id}/ledger",
      operationId: "list_budget_ledger",
      tag: "budgets",
      summary: "What was spent and added, newest first",
      query: LedgerQuery,
      responses: { 200: Type.Array(LedgerEntry) },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller: { organizationId } }) {
        const { id } = await existing(organizationId, params.budget_id);
        const rows = await listLedger(db, {
          organizationId,
          id,
          offset: query.offset ?? 0,
          limit: query.limit ?? 50,
        });
        return reply(200, rows.map(entryToWire));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/budgets/{budget_id}/check",
      operationId: "check_budget",
      tag: "budgets",
      summary: "What a session's budget says to the next model call",
      responses: { 200: BudgetCheckResult },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const row = await existing(caller.organizationId, params.budget_id);
        if (row.subject_type !== "session") {
          throw new UserError(
            "invalid_request",
            "only the budget of a session can be checked by itself; ask GET /v1/sessions/{id}/budget-check",
          );
        }
        return reply(200, check([row]));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/budgets",
      operationId: "list_session_budgets",
      tag: "budgets",
      summary: "The budgets that a session's model calls count against",
      responses: { 200: Type.Array(Budget) },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, (await ofSession(caller.organizationId, params.session_id)).map(toWire)),
    }),
    defineRoute({
      method: "GET",
      path: "/sessions/{session_id}/budget-check",
      operationId: "check_session_budget",
      tag: "budgets",
      summary: "What the budgets say to a session's next model call; the most restrictive stands",
      responses: { 200: BudgetCheckResult },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, check(await ofSession(caller.organizationId, params.session_id))),
    }),
    defineRoute({
      method: "POST",
      path: "/sessions/{session_id}/resume",
      operationId: "resume_session",
      tag: "budgets",
      summary: "Let a session go on past the soft limits of its budgets",
      description:
        "Budgets of a user and of the organization are resumed by an admin only, and counted when they were.",
      responses: {
        200: Type.Object({ resumed_budgets: Type.Integer(), session_id: Type.String() }),
      },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const sessionId = pathId("session", params.session_id);
        const subjects = caller.isAdmin ? BUDGET_SUBJECTS : OWN_SUBJECTS;
        const resumed = await resumeBudgets(db, {
          organizationId: caller.organizationId,
          sessionId,
          subjects,
        });
        if (resumed === null) throw new UserError("not_found", "Session not found");
        await wake(resumed);
        return reply(200, { resumed_budgets: resumed.length, session_id: sessionId });
      },
    }),
  ];
}

/** Whose budgets everybody who may write looks after. */
const OWN_SUBJECTS: readonly BudgetSubject[] = ["session", "agent"];

/** What people and the organization may spend is not theirs to say who spend it. */
function requireManager({ isAdmin }: Caller, type: BudgetSubject): void {
  if (isAdmin || OWN_SUBJECTS.includes(type)) return;
  throw new UserError("forbidden", "only an admin caps what users and the organization may spend");
}

const noBudget = () => new UserError("not_found", "Budget not found");

const ID_PREFIX = { session: "session", agent: "agent", organization: "org" } as const;

/** A budget for what does not exist would cap nothing and look as if it did. */
async function checkSubject(db: Deps["db"], caller: Caller, type: BudgetSubject, id: string): Promise<void> {
  if (type !== "user" && !isId(ID_PREFIX[type], id)) {
    throw new UserError(
      "invalid_id",
      `subject_id: ${JSON.stringify(id.slice(0, 80))} is not an id of the form ${ID_PREFIX[type]}_<32 hex digits>`,
    );
  }
  if (type === "user" && id === caller.principalId) return;
  if (!(await subjectExists(db, caller.organizationId, type, id))) {
    throw new UserError("not_found", `subject_id: there is no ${type} ${id}`);
  }
}

function checkSoftLimit(softLimit: number | null, limit: number): void {
  if (softLimit !== null && softLimit > limit) {
    throw new UserError("invalid_request", `soft_limit: ${softLimit} is above limit ${limit}`);
  }
}

function toWire(row: BudgetRow): Static<typeof Budget> {
  return present({
    id: row.id,
    organization_id: row.organization_id,
    subject_type: row.subject_type,
    subject_id: row.subject_id,
    currency: row.currency,
    limit: row.limit_amount,
    soft_limit: row.soft_limit,
    balance: row.balance,
    reserved: row.reserved,
    status: row.status,
    period: row.period,
    period_started_at: row.period === null ? null : iso(row.period_started_at),
    metadata: row.metadata,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}

function entryToWire({ created_at, ...row }: LedgerRow): Static<typeof LedgerEntry> {
  return present({ ...row, created_at: iso(created_at) });
}

/** As the meter judges (db/budgets/budget-meter.ts), without reserving: what other calls hold is not counted. */
function check(rows: readonly BudgetRow[]): Static<typeof BudgetCheckResult> {
  const order = ["continue", "warn", "pause", "stop"] as const;
  const judged = rows
    .filter((row) => row.status !== "disabled")
    .map((row) => ({ row, action: actionOf(row) }))
    .sort((a, b) => order.indexOf(b.action) - order.indexOf(a.action));
  const worst = judged[0];
  if (!worst) return { action: "continue" };
  const { row, action } = worst;
  return {
    action,
    budget_id: row.id,
    currency: row.currency,
    balance: row.balance,
    ...(action === "continue"
      ? {}
      : { message: `${row.balance} of ${row.limit_amount} ${row.currency} are left.` }),
    ...(action === "pause" ? { error_code: "budget_paused" } : {}),
    ...(action === "stop" ? { error_code: "budget_exhausted" } : {}),
  };
}

function actionOf(row: BudgetRow): "continue" | "warn" | "pause" | "stop" {
  if (row.balance <= 0) return "stop";
  const spent = row.limit_amount - row.balance;
  const isOverSoftLimit = row.soft_limit !== null && spent > row.soft_limit && !row.is_soft_limit_waived;
  if (row.status === "paused" || isOverSoftLimit) return "pause";
  return row.balance <= BUDGET_WARNING_SHARE * row.limit_amount ? "warn" : "continue";
}
