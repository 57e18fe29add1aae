/**
 * Budgets around a model call: what it may cost at most is reserved before it goes out, what it did cost is settled
 * when it comes back. A run that may not go on is sealed (nothing is left), or parked: until somebody lets it go on
 * (soft limit), or until another call of the same budget has let go of what it had reserved.
 *
 * A session without a budget pays nothing for this: its configuration says so.
 */
import type { BudgetEventData } from "../contract/budget.ts";
import type { NewEvent } from "../contract/event.ts";
import { modelProfile } from "../contract/model-profile.ts";
import type { TokenUsage } from "../contract/usage.ts";
import {
  type CallCost,
  callRef,
  type MeteredBudget,
  reserveBudgets,
  settleBudgets,
} from "../db/budgets/budget-meter.ts";
import { openBudgets, takeBudgetWaits, wakeForBudgets } from "../db/budgets/budget-waits.ts";
import { parkRun, type WaitWrite } from "../db/park.ts";
import { pricedUsage, toolSpecs } from "./answer.ts";
import { imageIdsOf, modelMessages } from "./history.ts";
import { IMAGE_TOKENS } from "./history-window.ts";
import { contextOf, type RunScope } from "./scope.ts";

/** A run that waits for others' calls looks again after this long, should their worker have died. */
const LOOK_AGAIN_MS = 2_000;
/** Tokens of an answer when the model's profile does not say how long it can be. */
const OUTPUT_TOKENS_DEFAULT = 8_192;
/** Bytes of a request's JSON that make one token at least: an upper bound of the tokens for every script. */
const BYTES_PER_TOKEN = 2;

export type Passed = "passed" | "parked" | { sealed: string; events: NewEvent[] };

/**
 * Asks the session's budgets whether the next model call may go out. Events that say so travel with the next write.
 *
 * @throws LeaseLostError, RetryableError
 */
export async function passBudgets(scope: RunScope): Promise<Passed> {
  const { deps, run, config } = scope;
  if (!config.hasBudgets) return "passed";
  const paused = run.lease_epoch > 1 ? await takeBudgetWaits(deps.db, run.id) : [];
  const budgets = await reserveBudgets(deps.db, {
    organizationId: run.organization_id,
    sessionId: run.session_id,
    runId: run.id,
    cost: costAtMost(scope),
  });
  const stopped = budgets.filter((budget) => budget.action === "stop");
  if (stopped.length > 0) {
    const events = stopped.map((budget) => budgetEvent(scope, "budget.exhausted", budget));
    return { sealed: stopped.map(leftOf).join(" "), events };
  }
  const closed = budgets.filter((budget) => budget.action === "pause" || budget.action === "wait");
  if (closed.length > 0) return parkFor(scope, closed);
  for (const budget of budgets) {
    if (paused.includes(budget.id)) scope.carry.push(budgetEvent(scope, "budget.resumed", budget));
    if (budget.action === "warn") scope.carry.push(budgetEvent(scope, "budget.warning", budget));
  }
  return "passed";
}

/**
 * Debits a model call, whatever became of its answer: it was paid for.
 *
 * @param usage  null when the call failed
 * @returns events for the write that stores the answer
 */
export async function settleCall(
  scope: RunScope,
  iteration: number,
  usage: TokenUsage | null,
): Promise<NewEvent[]> {
  const { deps, run, config, model } = scope;
  if (!config.hasBudgets) return [];
  const settled = await settleBudgets(deps.db, {
    runId: run.id,
    sessionId: run.session_id,
    refId: callRef(run.id, iteration, run.lease_epoch),
    cost: usage === null ? { usd: 0, tokens: 0 } : costOf(pricedUsage(usage, model.model.model_id)),
    description: model.model.model_id,
  });
  const ids = settled.map((budget) => budget.id);
  const woken = await wakeForBudgets(deps.db, ids, 1);
  if (woken.length > 0) deps.hints.publish({ sessions: woken.map((one) => one.sessionId), isQueued: true });
  return settled.flatMap((budget) => {
    if (budget.action === "stop") return [budgetEvent(scope, "budget.exhausted", budget)];
    return budget.action === "warn" ? [budgetEvent(scope, "budget.warning", budget)] : [];
  });
}

async function parkFor(scope: RunScope, closed: readonly MeteredBudget[]): Promise<"parked"> {
  const { deps, run, lease } = scope;
  // A person decides about a pause, however much others have reserved meanwhile.
  const pausing = closed.filter((budget) => budget.action === "pause");
  const waited = pausing.length > 0 ? pausing : closed;
  if (run.lease_epoch === 1) await takeBudgetWaits(deps.db, run.id);
  const events = [...scope.carry, ...pausing.map((budget) => budgetEvent(scope, "budget.paused", budget))];
  scope.carry = [];
  await deps.failpoint("park:before-commit");
  await parkRun(deps.db, lease, {
    waits: waited.map(waitOf),
    events,
    // A message that comes meanwhile is seen when the run goes on.
    seenInputSequence: null,
    act: null,
  });
  await deps.failpoint("park:after-commit");
  deps.hints.publish({ sessions: [run.session_id] });
  // Whoever opened the budget between our question and the parking has found nobody to wake.
  const open = await openBudgets(
    deps.db,
    waited.map((budget) => budget.id),
  );
  const woken = await wakeForBudgets(deps.db, open, 1);
  if (woken.length > 0) deps.hints.publish({ sessions: woken.map((one) => one.sessionId), isQueued: true });
  return "parked";
}

/** The wait is for the run itself; in the place of a call stands the budget, so that it can be found by it. */
function waitOf(budget: MeteredBudget): WaitWrite {
  return {
    kind: "budget",
    toolCallId: budget.id,
    toolName: null,
    effect: null,
    arguments: null,
    argumentsHash: null,
    reason: budget.action,
    toolFields: {},
    timeoutMs: budget.action === "pause" ? null : LOOK_AGAIN_MS,
  };
}

function budgetEvent<T extends "budget.warning" | "budget.paused" | "budget.exhausted" | "budget.resumed">(
  { run }: RunScope,
  type: T,
  budget: MeteredBudget,
): NewEvent {
  const data: BudgetEventData = {
    budget_id: budget.id,
    currency: budget.currency,
    balance: budget.balance,
    limit: budget.limit_amount,
    ...(budget.soft_limit === null ? {} : { soft_limit: budget.soft_limit }),
    message: leftOf(budget),
  };
  return { type, context: contextOf(run), data } as NewEvent;
}

const leftOf = ({ balance, limit_amount, currency }: MeteredBudget): string =>
  `${Number(balance.toFixed(6))} of ${limit_amount} ${currency} are left.`;

/** What the next call may cost at most: all of its request as fresh input, and the longest answer. */
function costAtMost(scope: RunScope): CallCost {
  const profile = modelProfile(scope.model.model.model_id);
  const request = JSON.stringify([
    scope.systemPrompt,
    modelMessages(scope.history, Number.MAX_SAFE_INTEGER),
    toolSpecs(scope),
  ]);
  const images = imageIdsOf(scope.history, Number.MAX_SAFE_INTEGER).length;
  const input = Math.ceil(Buffer.byteLength(request) / BYTES_PER_TOKEN) + images * IMAGE_TOKENS;
  const output = profile?.limits?.output ?? OUTPUT_TOKENS_DEFAULT;
  const most = { input_tokens: input, output_tokens: output };
  return costOf(pricedUsage(most, scope.model.model.model_id));
}

/** A model without a known price costs no dollars; its tokens count. */
function costOf(usage: TokenUsage): CallCost {
  return {
    usd: usage.estimated_cost_usd ?? 0,
    tokens:
      usage.input_tokens +
      usage.output_tokens +
      (usage.cache_read_tokens ?? 0) +
      (usage.cache_creation_tokens ?? 0),
  };
}
