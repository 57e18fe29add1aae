/**
 * One reason step: announce, read the history, call the model, stream what it says, and commit the answer.
 *
 * The announcement fixes what the model sees: messages that are in the log before it are part of the call, later
 * ones belong to the next. The answer, its usage and the announcement of its tool calls are one write; when the
 * answer ends the turn, so is the ending.
 */
import { LeaseLostError, RetryableError, TerminalError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import type { EventContext, NewEvent } from "../contract/event.ts";
import { addUsage } from "../contract/usage.ts";
import { type PartialAnswer, readPartialAnswer } from "../db/partial-answer.ts";
import type { RunWrite, Written } from "../db/writer.ts";
import { type Collected, createCollector } from "../llm/collect.ts";
import type { ModelRequest } from "../llm/driver.ts";
import {
  type Answer,
  actAnnouncement,
  answerEvents,
  failureEvents,
  type ModelCall,
  messageOf,
  metadataOf,
  pendingSteps,
  pricedUsage,
  type ReasonResult,
  reasonStep,
  toolSpecs,
  uniqueCalls,
} from "./answer.ts";
import { settleCall } from "./budget.ts";
import { catchUpHistory } from "./conversation.ts";
import { createDeltaStream } from "./deltas.ts";
import { completedEnding } from "./ending.ts";
import { needsApproval } from "./gate.ts";
import { guardedAnswer, withholdsAnswers } from "./guard.ts";
import { modelMessages } from "./history.ts";
import { OMITTED_NOTE } from "./history-window.ts";
import { loadImages } from "./images.ts";
import type { Passage } from "./provider-gate.ts";
import { contextOf, type RunScope, write } from "./scope.ts";
import type { DoneReason } from "./turn.ts";

export interface Reasoned {
  done: DoneReason;
  result: ReasonResult;
  /** True when the turn has ended with this answer. */
  isEnded: boolean;
}

export async function reason(scope: RunScope, iteration: number): Promise<Reasoned> {
  const { deps, run, lease } = scope;
  const passage = await enterProvider(scope).catch(async (error) => {
    // What the budgets had reserved for the call is free again.
    await settleCall(scope, iteration, null);
    throw error;
  });
  let asked: Asked;
  let call: ModelCall;
  try {
    asked = await ask(scope, iteration);
    await deps.failpoint("reason:before-call");
    call = await callModel(scope, asked, passage);
  } finally {
    await passage.leave();
  }
  const metered = await settleCall(scope, iteration, call.answer.error ? null : call.answer.usage);
  if (lease.signal.aborted || call.answer.aborted) throw new LeaseLostError(run.id);
  scope.carry.push(...metered);
  if (call.answer.error) {
    await write(scope, { events: failureEvents(scope, asked.context, call, call.answer.error) });
    throw failedCall(call.answer.error, asked.request.prefix !== undefined);
  }
  await deps.failpoint("reason:before-commit");
  return commitAnswer(scope, { ...asked, iteration, call });
}

/** Through the provider's limits and its breaker. @throws RetryableError, TerminalError, LeaseLostError */
async function enterProvider(scope: RunScope): Promise<Passage> {
  const { deps, run, lease, model, progressedAt } = scope;
  const passage = await deps.providers.enter({
    organizationId: run.organization_id,
    model,
    sinceProgressMs: deps.clock.now().getTime() - progressedAt.getTime(),
    signal: lease.signal,
  });
  if (passage === null) throw new LeaseLostError(run.id);
  return passage;
}

/** A model call that has been announced. */
interface Asked {
  request: ModelRequest;
  messageId: string;
  context: EventContext;
  /** The newest input.message that is part of the call. */
  seen: number;
}

/**
 * Announces the call. When an earlier attempt died in the middle of this very answer and the model can go on from
 * there, nothing is announced anew: the answer keeps its message and its execution, and only goes on.
 */
async function ask(scope: RunScope, iteration: number): Promise<Asked> {
  const { deps, run } = scope;
  const partial = scope.isTakenOver ? await readPartialAnswer(deps.db, run, iteration) : null;
  scope.isTakenOver = false;
  const continued = partial === null ? null : await goOn(scope, iteration, partial);
  if (continued) return continued;

  const context = contextOf(run, newId("exec"));
  const messageId = newId("message");
  await deps.failpoint("reason:before-start");
  const isSomethingLost = partial !== null && (partial.text !== "" || partial.hasThought);
  const announced = await write(scope, {
    events: [
      ...(isSomethingLost ? [recovered(scope, "restart", partial, context)] : []),
      ...announcement(scope, iteration, messageId, context),
    ],
  });
  await catchUpHistory(scope, announced.lastSequence);
  return {
    request: await modelRequest(scope, iteration, announced.lastSequence),
    messageId,
    context,
    seen: Math.max(announced.lastInputSequence, run.input_sequence),
  };
}

/** @returns null when the model cannot go on from what is stored */
async function goOn(scope: RunScope, iteration: number, partial: PartialAnswer): Promise<Asked | null> {
  const { run, driver, model } = scope;
  if (partial.text === "" || partial.hasThought || partial.model !== model.model.model_id) return null;
  // What came after the announcement the model had not seen when it began to speak.
  const request = {
    ...(await modelRequest(scope, iteration, partial.startedSequence)),
    prefix: partial.text,
  };
  if (driver.canContinue?.(request) !== true) return null;
  const context = contextOf(run, partial.execId);
  await write(scope, { events: [recovered(scope, "finalize", partial, context)] });
  const seen = scope.history.findLast(
    (event) => event.type === "input.message" && event.sequence < partial.startedSequence,
  );
  return {
    request,
    messageId: partial.messageId,
    context,
    seen: Math.max(seen?.sequence ?? 0, run.input_sequence),
  };
}

function recovered(
  { run, deps }: RunScope,
  mode: "finalize" | "restart",
  { text }: PartialAnswer,
  context: EventContext,
): NewEvent {
  deps.log.info("an answer was cut off by the loss of its worker", { mode, stored_chars: text.length });
  return {
    type: "reason.recovered",
    context,
    data: { turn_id: run.id, mode, accumulated_len: text.length },
  };
}

function announcement(
  { run, config, model }: RunScope,
  iteration: number,
  messageId: string,
  context: EventContext,
): NewEvent[] {
  return [
    {
      type: "reason.started",
      context,
      data: {
        harness_id: config.session.harness_id,
        ...(config.agent ? { agent_id: config.agent.id } : {}),
        metadata: metadataOf(model),
      },
    },
    {
      type: "output.message.started",
      context,
      data: { turn_id: run.id, model: model.model.model_id, iteration, message_id: messageId },
    },
  ];
}

async function modelRequest(scope: RunScope, iteration: number, upTo: number): Promise<ModelRequest> {
  const images = await loadImages(scope, upTo);
  return {
    model: scope.model.model.model_id,
    system: scope.systemPrompt,
    messages: [...(scope.isHistoryCut ? [OMITTED_NOTE] : []), ...modelMessages(scope.history, upTo, images)],
    tools: toolSpecs(scope),
    reasoningEffort: scope.run.controls?.reasoning?.effort ?? null,
    maxOutputTokens: null,
    parallelToolCalls: scope.plan.parallelToolCalls,
    idempotencyKey: `${scope.run.id}:reason:${iteration}`,
  };
}

async function callModel(
  scope: RunScope,
  { request, messageId, context }: Asked,
  passage: Passage,
): Promise<ModelCall> {
  const { deps, run, lease, driver } = scope;
  const startedAtMs = deps.clock.monotonicMs();
  let firstAtMs: number | null = null;
  const collector = createCollector();
  if (request.prefix !== undefined) collector.add({ kind: "text", text: request.prefix });
  const deltas = createDeltaStream({
    clock: deps.clock,
    turnId: run.id,
    messageId,
    model: request.model,
    context,
    async write(events) {
      await write(scope, { events, hasDeltas: !run.has_deltas });
      run.has_deltas = true;
    },
  });
  const isWithheld = withholdsAnswers(scope);
  for await (const chunk of driver.stream(request, lease.signal)) {
    collector.add(chunk);
    passage.see(chunk);
    if (chunk.kind === "text" || chunk.kind === "thinking") {
      if (firstAtMs === null) await deps.failpoint("reason:mid-stream");
      firstAtMs ??= deps.clock.monotonicMs();
      if (!isWithheld) deltas.add(chunk.kind, chunk.text);
    } else if (chunk.kind === "tool_call") firstAtMs ??= deps.clock.monotonicMs();
    else if (chunk.kind === "retry") {
      deps.log.warn("the model call is tried again", {
        run_id: run.id,
        code: chunk.error.code,
        status: chunk.error.status,
        error: chunk.error.message,
        attempt: chunk.attempt,
        wait_ms: chunk.waitMs,
      });
    }
  }
  const { events: unsentDeltas, isThinkingTold } = await deltas.finish();
  return {
    answer: guardedAnswer(scope, collector.result()),
    unsentDeltas,
    // What was withheld was not told either.
    isThinkingTold: isThinkingTold && !isWithheld,
    recoveredLength: request.prefix?.length ?? null,
    durationMs: deps.clock.monotonicMs() - startedAtMs,
    firstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - startedAtMs),
    turnFirstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - scope.beganAtMs),
  };
}

/** @param isContinued  a provider that refuses a begun answer is asked again without it */
function failedCall(
  error: NonNullable<Collected["error"]>,
  isContinued: boolean,
): RetryableError | TerminalError {
  return error.retryable || isContinued
    ? new RetryableError(error.code, error.message, { retryAfterMs: error.retryAfterMs })
    : new TerminalError(error.code, error.message);
}

const ANSWER_WRITE_PAUSE_MS = 100;
const ANSWER_WRITE_PAUSE_MAX_MS = 1_000;

/**
 * Writes an answer, again and again while the database is out of reach and the lease is ours: it is paid for, and
 * asking the model anew costs more. If an earlier write did stand, the next one is refused, and the run goes on from
 * what is stored.
 */
async function writeAnswer(scope: RunScope, answer: RunWrite): Promise<Written> {
  const { deps, lease } = scope;
  for (let tries = 1; ; tries += 1) {
    const carried = scope.carry;
    try {
      return await write(scope, answer);
    } catch (error) {
      const isPassing = error instanceof RetryableError && error.code === "unavailable";
      if (!isPassing || lease.signal.aborted) throw error;
      scope.carry = carried;
      const pauseMs = Math.min(ANSWER_WRITE_PAUSE_MS * 2 ** (tries - 1), ANSWER_WRITE_PAUSE_MAX_MS);
      await deps.clock.sleep(pauseMs, lease.signal);
    }
  }
}

async function commitAnswer(scope: RunScope, answer: Answer): Promise<Reasoned> {
  const { deps, run } = scope;
  const { call, iteration, messageId } = answer;
  const calls = uniqueCalls(scope, call.answer);
  const usage = pricedUsage(call.answer.usage, scope.model.model.model_id);
  const message = messageOf(scope, answer, calls);
  const result: ReasonResult = {
    iteration,
    message_id: messageId,
    seen_input_sequence: answer.seen,
    tool_calls: calls.map(({ id, name, argumentsJson }) => ({ id, name, arguments_json: argumentsJson })),
  };
  const answered: NewEvent[] = answerEvents(scope, answer, message, calls, usage);
  const isFinal = calls.length === 0;
  // A call that waits for a person is announced when it was allowed, not before.
  const announced = pendingSteps(
    scope,
    calls.filter((one) => !needsApproval(scope, one.name)),
  );
  const written = await writeAnswer(scope, {
    events: [...call.unsentDeltas, ...answered, ...(isFinal ? [] : actAnnouncement(scope, calls))],
    hasDeltas: call.unsentDeltas.length > 0,
    steps: [reasonStep(scope, answer, result, usage), ...announced],
    usage,
    iterations: 1,
    timeToFirstTokenMs: call.turnFirstTokenMs,
    ...(isFinal
      ? {
          ending: completedEnding(scope, {
            message,
            iterations: iteration,
            usage,
            seen: answer.seen,
            status: null,
          }),
        }
      : {}),
  });
  await deps.failpoint("reason:after-commit");
  run.iterations = iteration;
  scope.progressedAt = deps.clock.now();
  scope.usage = addUsage(scope.usage, usage);
  for (const { name } of announced) scope.announcedHere.add(name.slice("tool:".length));
  return {
    result,
    done: { iteration, callIds: calls.map((one) => one.id), seenInputSequence: answer.seen },
    isEnded: written.isEnded,
  };
}
