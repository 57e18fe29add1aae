/**
 * Drives one leased run to its end: load what is stored, ask `turn.ts` for the next step, take it, again. A run
 * that another worker had begun goes on from its checkpoints; nothing that is stored is done twice.
 */

import { describeError, LeaseLostError, RetryableError, UserError } from "../base/errors.ts";
import { offerOf } from "../capabilities/offer.ts";
import { limits } from "../contract/limits.ts";
import { textOf } from "../contract/message.ts";
import { addUsage, NO_USAGE } from "../contract/usage.ts";
import type { ClaimedRun } from "../db/claim.ts";
import { hasTurnEvent, readNewestPage } from "../db/history.ts";
import { isLeaseHeld, loadSteps, releaseRun, type StoredStep } from "../db/runs.ts";
import { loadTurnConfig, type TurnConfig } from "../db/sessions.ts";
import { isTransientDatabaseError } from "../db/sqlstate.ts";
import { givenApprovals } from "../db/waits.ts";
import { type Act, act, openAct } from "./act.ts";
import type { ReasonResult } from "./answer.ts";
import { passBudgets } from "./budget.ts";
import { loadHistory } from "./conversation.ts";
import { budgetEnding, completedEnding, failedEnding, sealedEnding } from "./ending.ts";
import type { Lease } from "./lease.ts";
import { park } from "./park.ts";
import { planTurn } from "./plan.ts";
import { reason } from "./reason.ts";
import { verdictOn } from "./retry.ts";
import { contextOf, type EngineDeps, type OfferedTool, type RunScope, write } from "./scope.ts";
import { type DoneReason, nextStep } from "./turn.ts";

/** What became of a claimed run. */
export type RunOutcome = "completed" | "failed" | "parked" | "rescheduled" | "handed_back" | "lost";

interface Rescheduling {
  /** Told when a run was put back to be tried again after this long. */
  onRescheduled(delayMs: number): void | Promise<void>;
}

/** How often a run whose write was refused under a lease that stands looks at what is stored, and goes on. */
const REFUSALS_MAX = 3;
/** How long a run waits for a database that is out of reach before it looks again. */
const DATABASE_RETRY_MS = 250;

/**
 * @param drain  when it fires, the run is handed back at the next step boundary
 * Contract: never rejects.
 */
export async function driveRun(
  deps: EngineDeps & Rescheduling,
  run: ClaimedRun,
  lease: Lease,
  drain: AbortSignal,
): Promise<RunOutcome> {
  const log = deps.log.with({ run_id: run.id, session_id: run.session_id, attempt: run.attempt });
  let refusals = 0;
  for (let isFresh = run.lease_epoch === 1; ; isFresh = false) {
    try {
      await deps.failpoint("claim:after");
      return await drive({ ...deps, log }, run, lease, drain, isFresh);
    } catch (error) {
      if (lease.signal.reason === "drained") return await handBack(deps, lease);
      if (error instanceof LeaseLostError && !lease.signal.aborted && refusals < REFUSALS_MAX) {
        refusals += 1;
        // A write is refused also when its step is stored already, by ourselves. Then what is stored tells where we are.
        if (await isLeaseHeld(deps.db, lease).catch(() => false)) continue;
      }
      if (lease.signal.aborted || error instanceof LeaseLostError) {
        log.debug("the run belongs to someone else now", { reason: lease.signal.reason });
        return "lost";
      }
      if (!isDatabaseOutOfReach(error)) return await settleFailure({ ...deps, log }, run, lease, error);
      // Whether the last write stands is not known: wait, and go on from what is stored.
      log.warn("the database cannot be reached; the run goes on when it can", {
        cause: describeError(error),
      });
      await deps.clock.sleep(DATABASE_RETRY_MS, lease.signal);
      if (lease.signal.aborted) return "lost";
    }
  }
}

function isDatabaseOutOfReach(error: unknown): boolean {
  return (
    (error instanceof RetryableError && error.code === "unavailable") ||
    (error instanceof Error && isTransientDatabaseError(error))
  );
}

/**
 * @param isFresh  nothing can be stored yet: this is the first try under the first claim. The attempt does not tell:
 *                 a run that was handed back has its attempt back, and may have steps.
 */
async function drive(
  deps: EngineDeps,
  run: ClaimedRun,
  lease: Lease,
  drain: AbortSignal,
  isFresh: boolean,
): Promise<RunOutcome> {
  if (run.takeovers >= limits.takeoversMax) return await seal(deps, run, lease);
  const [config, steps, newest, approvals] = await Promise.all([
    loadTurnConfig(deps.db, {
      sessionId: run.session_id,
      organizationId: run.organization_id,
      controlsModelId: run.controls?.model_id ?? null,
      agentId: run.agent_id,
    }),
    isFresh ? [] : loadSteps(deps.db, run.id),
    readNewestPage(deps.db, run.session_id),
    isFresh ? [] : givenApprovals(deps.db, run.id),
  ]);
  const scope = await openScope(deps, run, lease, config, steps, isFresh);
  await loadHistory(scope, newest);
  await announceTurn(scope, isFresh);

  const reasons = steps
    .filter((step) => step.kind === "reason")
    .map((step) => step.result as ReasonResult)
    .sort((a, b) => a.iteration - b.iteration);
  const dones: DoneReason[] = reasons.map((result) => ({
    iteration: result.iteration,
    callIds: result.tool_calls.map((call) => call.id),
    seenInputSequence: result.seen_input_sequence,
  }));
  const settled = new Map(
    steps
      .filter((step) => step.kind === "tool" && step.status !== "pending")
      .map((step) => [
        step.name.slice("tool:".length),
        (step.result as { ok?: boolean } | null)?.ok === true,
      ]),
  );
  const pending = new Map(steps.filter((step) => step.status === "pending").map((step) => [step.name, step]));
  const given = new Map(approvals.map((approval) => [approval.toolCallId, approval]));
  /** The calls of the last answer. */
  let open: Act | null = null;

  for (;;) {
    if (lease.signal.aborted) throw new LeaseLostError(run.id);
    const last = reasons.at(-1);
    if (open === null && last?.tool_calls.some((call) => !settled.has(call.id))) {
      open = await openAct(scope, { result: last, settled, pending, given });
    }
    const next = nextStep(
      {
        reasons: dones,
        settledCalls: settled,
        heldCalls: open?.held ?? new Map(),
        lastInputSequence: scope.lastInputSequence,
      },
      { iterationsMax: scope.plan.iterationsMax },
    );
    if (next.kind === "finish") {
      if (await finish(scope, dones, next.why)) return "completed";
      continue;
    }
    if (next.kind === "park" && open) {
      if (await park(scope, open, dones.at(-1)?.seenInputSequence ?? 0)) return "parked";
      continue;
    }
    if (drain.aborted) return await handBack(deps, lease);
    if (next.kind === "reason") {
      open = null;
      const passed = await passBudgets(scope);
      if (passed === "parked") return "parked";
      if (passed !== "passed") {
        await write(scope, { events: passed.events, ending: budgetEnding(run, passed.sealed) });
        return "failed";
      }
      const reasoned = await reason(scope, next.iteration);
      if (reasoned.isEnded) return "completed";
      dones.push(reasoned.done);
      reasons.push(reasoned.result);
      continue;
    }
    if (!open) throw new Error(`${run.id}: an act step without a reason step`);
    await act(scope, open);
  }
}

async function openScope(
  deps: EngineDeps,
  run: ClaimedRun,
  lease: Lease,
  config: TurnConfig | null,
  steps: readonly StoredStep[],
  isFresh: boolean,
): Promise<RunScope> {
  if (config === null) throw new UserError("processing_error", "the session does not exist any more");
  if (config.model === null) throw noModel(config);
  const plan = planTurn(config);
  const resolved = deps.resolveCapabilities(plan.capabilities);
  const unknown = resolved.unknown.filter((ref) => !ref.startsWith("mcp:"));
  if (unknown.length > 0) {
    deps.log.warn("capabilities that this program does not have are left out", { unknown });
  }
  const mcp = await deps.findMcpTools({
    organizationId: run.organization_id,
    refs: plan.capabilities,
    inline: plan.mcpServers,
    network: plan.network,
    signal: lease.signal,
  });
  const capabilities = {
    ...resolved,
    prompt: [resolved.prompt, ...mcp.notes].filter((text) => text !== "").join("\n\n"),
    tools: withoutDoubles([...resolved.tools, ...mcp.tools]),
  };
  deps.providers.learn(run.organization_id, config.model);
  const toolCount = steps.filter((step) => step.kind === "tool" && step.status !== "pending").length;
  return {
    deps,
    run,
    lease,
    config,
    plan,
    model: config.model,
    driver: deps.driverFor(config.model, run.organization_id),
    ...offerOf(plan, capabilities, run.controls?.locale ?? config.session.locale),
    approval: capabilities.approval,
    mounts: capabilities.mounts,
    guards: capabilities.guards,
    history: [],
    isHistoryCut: false,
    historyTokensMax: 0,
    historyUpTo: 0,
    ownLogs: [],
    carry: [],
    // A copy stands for "not the first step": steps that were taken over from another run carry no usage.
    usage: steps.reduce(
      (sum, step) => (step.usage === null ? sum : addUsage(sum, step.usage)),
      steps.length === 0 ? NO_USAGE : { ...NO_USAGE },
    ),
    toolCallCount: toolCount,
    callOrigins: originsOf(steps),
    announcedHere: new Set(),
    beganAtMs: deps.clock.monotonicMs(),
    isTakenOver: !isFresh,
    progressedAt: progressOf(run, steps),
    lastInputSequence: run.input_sequence,
  };
}

/** Of two tools of one name the first stands: the model can call only one of them. */
function withoutDoubles(tools: readonly OfferedTool[]): OfferedTool[] {
  return [
    ...new Map(tools.toReversed().map((offered) => [offered.tool.name, offered])).values(),
  ].toReversed();
}

function progressOf(run: ClaimedRun, steps: readonly StoredStep[]): Date {
  const times = [run.started_at, ...steps.flatMap((step) => step.finished_at ?? [])];
  return new Date(Math.max(...times.map((time) => time.getTime())));
}

function originsOf(steps: readonly StoredStep[]): Map<string, string> {
  return new Map(
    steps.flatMap(({ kind, result, origin_run_id: origin }) =>
      kind === "reason" && origin !== null
        ? (result as ReasonResult).tool_calls.map((call) => [call.id, origin] as const)
        : [],
    ),
  );
}

function noModel(config: TurnConfig): UserError {
  if (config.requestedModelId === null) {
    return new UserError(
      "model_not_configured",
      "no model is set for this agent and the organization has no default; add a provider with a model",
    );
  }
  return new UserError(
    "model_unavailable",
    `the model ${config.requestedModelId} does not exist, or it or its provider is switched off`,
  );
}

/** `turn.started` goes out with the first write, once in the life of a turn. */
async function announceTurn(scope: RunScope, isFresh: boolean): Promise<void> {
  const { deps, run, history } = scope;
  const isAnnounced =
    !isFresh && (await hasTurnEvent(deps.db, run.session_id, run.id, run.input_sequence, "turn.started"));
  if (isAnnounced) return;
  const input = history.find((event) => event.sequence === run.input_sequence);
  const text = input?.type === "input.message" ? textOf(input.data.message.content) : "";
  scope.carry.push({
    type: "turn.started",
    context: contextOf(run),
    data: {
      turn_id: run.id,
      input_message_id: run.input_message_id,
      ...(text === "" ? {} : { input_content: text }),
    },
  });
}

/** Ends a turn that needs no further model call. @returns false when a message came meanwhile */
async function finish(
  scope: RunScope,
  dones: readonly DoneReason[],
  why: "answered" | "max_iterations",
): Promise<boolean> {
  const { deps } = scope;
  await deps.failpoint("finish:before-commit");
  const ending = completedEnding(scope, {
    message: null,
    iterations: dones.length,
    usage: NO_USAGE,
    // At the cap a waiting message cannot be seen by this turn: it ends in any case.
    seen: why === "answered" ? scope.lastInputSequence : Number.MAX_SAFE_INTEGER,
    status: why === "answered" ? null : why,
  });
  const written = await write(scope, { events: [], ending });
  await deps.failpoint("finish:after-commit");
  return written.isEnded;
}

async function settleFailure(
  deps: EngineDeps & Rescheduling,
  run: ClaimedRun,
  lease: Lease,
  error: unknown,
): Promise<RunOutcome> {
  const verdict = verdictOn(error, run.retries + 1, deps.random);
  try {
    if (verdict.kind === "stop") return "lost";
    if (verdict.kind === "reschedule") {
      const { delayMs, countsAsAttempt } = verdict;
      deps.log[countsAsAttempt ? "warn" : "info"]("the run will be tried again", {
        delay_ms: delayMs,
        error,
      });
      const isHeld = await releaseRun(deps.db, lease, { delayMs, isRetry: countsAsAttempt });
      if (isHeld) deps.onRescheduled(delayMs);
      return isHeld ? "rescheduled" : "lost";
    }
    deps.log[verdict.code === "processing_error" ? "error" : "info"]("the turn failed", {
      code: verdict.code,
      error,
    });
    await deps.writer.write(lease, { events: [], ending: failedEnding(run, deps.clock, verdict) });
    return "failed";
  } catch (own) {
    if (own instanceof LeaseLostError) return "lost";
    // The lease runs out and the run is taken up again; nothing is lost.
    deps.log.warn("the end of the run could not be written", { error: own });
    return (await isLeaseHeld(deps.db, lease).catch(() => false)) ? "rescheduled" : "lost";
  }
}

async function seal(deps: EngineDeps, run: ClaimedRun, lease: Lease): Promise<RunOutcome> {
  const last = (await loadSteps(deps.db, run.id)).at(-1);
  const detail =
    `its worker was lost ${run.takeovers} times in a row without a new checkpoint; attempt ${run.attempt}, ` +
    `last worker ${run.lost_worker ?? "unknown"}, ` +
    (last === undefined ? "no step is stored" : `last stored step ${last.name} (${last.status})`);
  deps.log.warn("the run is sealed", { detail });
  await deps.writer.write(lease, { events: [], ending: sealedEnding(run, detail) });
  return "failed";
}

/** Contract: never rejects. What cannot be handed back is taken over when its lease runs out. */
async function handBack(deps: EngineDeps, lease: Lease): Promise<RunOutcome> {
  try {
    const isHeld = await releaseRun(deps.db, lease, { delayMs: 0, isRetry: false });
    return isHeld ? "handed_back" : "lost";
  } catch (error) {
    deps.log.warn("the run could not be handed back; its lease runs out", { cause: describeError(error) });
    return "lost";
  }
}
