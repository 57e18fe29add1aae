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
import { addUsage, NO_USAGE } from "../contract/usage.ts";
import { readHistory } from "../db/events.ts";
import { ownLog } from "../db/lineage.ts";
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
import { createDeltaStream } from "./deltas.ts";
import { completedEnding } from "./ending.ts";
import { needsApproval } from "./gate.ts";
import { modelMessages } from "./history.ts";
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
  const execId = newId("exec");
  const context = contextOf(run, execId);
  const messageId = newId("message");
  await deps.failpoint("reason:before-start");
  const announced = await write(scope, { events: announcement(scope, iteration, messageId, context) });
  if (!isHistoryCurrent(scope, announced.lastInputSequence)) {
    const newer = await readHistory(deps.db, ownLog(run.session_id), {
      after: scope.history.at(-1)?.sequence ?? 0,
    });
    scope.history.push(...newer);
  }

  await deps.failpoint("reason:before-call");
  const request = modelRequest(scope, iteration, announced.lastSequence);
  const call = await callModel(scope, request, messageId, context);
  const metered = await settleCall(scope, iteration, call.answer.error ? null : call.answer.usage);
  if (lease.signal.aborted || call.answer.aborted) throw new LeaseLostError(run.id);
  scope.carry.push(...metered);
  if (call.answer.error) {
    await write(scope, { events: failureEvents(scope, context, call, call.answer.error) });
    throw failedCall(call.answer.error);
  }
  await deps.failpoint("reason:before-commit");

  const seen = Math.max(announced.lastInputSequence, run.input_sequence);
  return commitAnswer(scope, { iteration, messageId, context, call, seen });
}

/** At the first step what was loaded with the claim still stands, unless a message came in between. */
function isHistoryCurrent({ history, usage }: RunScope, lastInputSequence: number): boolean {
  const newest = history.findLast((event) => event.type === "input.message");
  return usage === NO_USAGE && newest?.sequence === lastInputSequence;
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

function modelRequest(scope: RunScope, iteration: number, upTo: number): ModelRequest {
  return {
    model: scope.model.model.model_id,
    system: scope.systemPrompt,
    messages: modelMessages(scope.history, upTo),
    tools: toolSpecs(scope),
    reasoningEffort: scope.run.controls?.reasoning?.effort ?? null,
    maxOutputTokens: null,
    parallelToolCalls: scope.plan.parallelToolCalls,
    idempotencyKey: `${scope.run.id}:reason:${iteration}`,
  };
}

async function callModel(
  scope: RunScope,
  request: ModelRequest,
  messageId: string,
  context: EventContext,
): Promise<ModelCall> {
  const { deps, run, lease, driver } = scope;
  const startedAtMs = deps.clock.monotonicMs();
  let firstAtMs: number | null = null;
  const collector = createCollector();
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
  for await (const chunk of driver.stream(request, lease.signal)) {
    collector.add(chunk);
    if (chunk.kind === "text" || chunk.kind === "thinking") {
      if (firstAtMs === null) await deps.failpoint("reason:mid-stream");
      firstAtMs ??= deps.clock.monotonicMs();
      deltas.add(chunk.kind, chunk.text);
    } else if (chunk.kind === "tool_call") firstAtMs ??= deps.clock.monotonicMs();
    else if (chunk.kind === "retry") {
      deps.log.warn("the model call is tried again", {
        run_id: run.id,
        code: chunk.error.code,
        attempt: chunk.attempt,
        wait_ms: chunk.waitMs,
      });
    }
  }
  const unsentDeltas = deltas.finish();
  return {
    answer: collector.result(),
    unsentDeltas,
    durationMs: deps.clock.monotonicMs() - startedAtMs,
    firstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - startedAtMs),
    turnFirstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - scope.beganAtMs),
  };
}

function failedCall(error: NonNullable<Collected["error"]>): RetryableError | TerminalError {
  return error.retryable
    ? new RetryableError(error.code, error.message, { retryAfterMs: error.retryAfterMs })
    : new TerminalError(error.code, error.message);
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
  const written = await write(scope, {
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
  scope.usage = addUsage(scope.usage, usage);
  for (const { name } of announced) scope.announcedHere.add(name.slice("tool:".length));
  return {
    result,
    done: { iteration, callIds: calls.map((one) => one.id), seenInputSequence: answer.seen },
    isEnded: written.isEnded,
  };
}
