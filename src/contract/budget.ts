/** Budgets: what a session, an agent, a user or an organization may spend on model calls. */
import { limits } from "./limits.ts";
import { JsonObject, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** `org` is what clients send, `organization` what they read. */
export const BUDGET_SUBJECTS = ["session", "agent", "user", "organization"] as const;
export type BudgetSubject = (typeof BUDGET_SUBJECTS)[number];
export const BUDGET_STATUSES = ["active", "paused", "exhausted", "disabled"] as const;
export type BudgetStatus = (typeof BUDGET_STATUSES)[number];

/** What a budget says to a model call that is about to be made; the most restrictive of several stands. */
export const BUDGET_ACTIONS = ["continue", "warn", "pause", "stop"] as const;
export type BudgetAction = (typeof BUDGET_ACTIONS)[number];

/** A budget warns when this share of its limit is left. */
export const BUDGET_WARNING_SHARE = 0.2;

export const BudgetPeriod = Type.Union([
  Type.Object({
    type: Type.Literal("duration"),
    seconds: Type.Integer({ minimum: 1, maximum: limits.budgetPeriodSecondsMax }),
  }),
  Type.Object({
    type: Type.Literal("rolling"),
    window: Type.String({ pattern: "^[1-9][0-9]{0,3}[hd]$", examples: ["5h", "30d"] }),
  }),
  Type.Object({
    type: Type.Literal("calendar"),
    unit: OneOf(["hour", "day", "week", "month", "year"]),
  }),
]);
export type BudgetPeriod = Static<typeof BudgetPeriod>;

const Amount = Type.Number({ exclusiveMinimum: 0, maximum: 1e15 });

export const Budget = Type.Object({
  id: Type.String(),
  organization_id: Type.String(),
  subject_type: OneOf(BUDGET_SUBJECTS),
  subject_id: Type.String(),
  currency: Type.String(),
  limit: Type.Number(),
  soft_limit: Type.Optional(Type.Number()),
  balance: Type.Number({ description: "What is left; below 0 after a call that cost more than was left." }),
  reserved: Type.Number({ description: "What the calls that are under way may cost at most." }),
  status: OneOf(BUDGET_STATUSES),
  period: Type.Optional(BudgetPeriod),
  period_started_at: Type.Optional(Timestamp),
  metadata: Type.Optional(JsonObject),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Budget = Static<typeof Budget>;

export const CreateBudgetRequest = Type.Object({
  subject_type: OneOf(["session", "agent", "user", "org", "organization"]),
  subject_id: Type.String({ minLength: 1, maxLength: 200 }),
  currency: Type.String({
    pattern: "^[a-z][a-z0-9_]{0,31}$",
    description: "usd, tokens or credits (1,000 tokens); any other is kept by hand and not metered.",
  }),
  limit: Amount,
  soft_limit: Maybe(Amount),
  period: Maybe(BudgetPeriod),
  metadata: Maybe(JsonObject),
});

export const UpdateBudgetRequest = Type.Object({
  limit: Maybe(Amount),
  soft_limit: Maybe(Amount),
  status: Maybe(OneOf(["active", "paused", "disabled"])),
  metadata: Maybe(JsonObject),
});

export const TopUpRequest = Type.Object({
  amount: Amount,
  description: Maybe(Type.String({ maxLength: 1000 })),
});

export const LedgerEntry = Type.Object({
  id: Type.String(),
  budget_id: Type.String(),
  amount: Type.Number({ description: "Above 0: spent. Below 0: added." }),
  meter_source: Type.String(),
  ref_type: Type.Optional(Type.String()),
  ref_id: Type.Optional(Type.String()),
  session_id: Type.Optional(Type.String()),
  description: Type.Optional(Type.String()),
  created_at: Timestamp,
});

export const BudgetCheckResult = Type.Object({
  action: OneOf(BUDGET_ACTIONS),
  budget_id: Type.Optional(Type.String()),
  currency: Type.Optional(Type.String()),
  balance: Type.Optional(Type.Number()),
  message: Type.Optional(Type.String()),
  error_code: Type.Optional(Type.String()),
});

/** `data` of the budget events. */
export const BudgetEventData = Type.Object({
  budget_id: Type.String(),
  currency: Type.String(),
  balance: Type.Number(),
  limit: Type.Number(),
  soft_limit: Type.Optional(Type.Number()),
  message: Type.Optional(Type.String()),
});
export type BudgetEventData = Static<typeof BudgetEventData>;
