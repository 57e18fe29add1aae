/**
 * One reason step: announce, read the history, call the model, stream what it says, and commit the answer.
 *
 * The announcement fixes what the model sees: messages that are in the log before it are part of the call, later
 * ones belong to the next. The answer, its usage and the announcement of its tool calls are one write; when the
 * answer ends the turn, so is the ending.
 */
import { LeaseLostError, RetryableError, TerminalError } from "../base/errors.ts";
import { newId } from "../base/id.ts";
import { preview } from "../base/json.ts";
import { toolParameters } from "../capabilities/tool.ts";
import type { EventContext, NewEvent, ToolCall } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { ContentPart, Message } from "../contract/message.ts";
import { costOf, modelProfile } from "../contract/model-profile.ts";
import { addUsage, NO_USAGE, type TokenUsage } from "../contract/usage.ts";
import { readHistory } from "../db/events.ts";
import type { StepWrite } from "../db/writer.ts";
import { type Collected, createCollector } from "../llm/collect.ts";
import type { ModelRequest } from "../llm/driver.ts";
import { createDeltaStream } from "./deltas.ts";
import { completedEnding } from "./ending.ts";
import { modelMessages, usedCallIds } from "./history.ts";
import { contextOf, type RunScope, write } from "./scope.ts";
import type { DoneReason } from "./turn.ts";

/** The checkpoint of a reason step, as stored. */
export interface ReasonResult {
  iteration: number;
  message_id: string;
  seen_input_sequence: number;
  tool_calls: { id: string; name: string; arguments_json: string }[];
}

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
    const newer = await readHistory(deps.db, run.session_id, scope.history.at(-1)?.sequence ?? 0);
    scope.history.push(...newer);
  }

  await deps.failpoint("reason:before-call");
  const request = modelRequest(scope, iteration, announced.lastSequence);
  const call = await callModel(scope, request, messageId, context);
  if (lease.signal.aborted || call.answer.aborted) throw new LeaseLostError(run.id);
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
    tools: [...scope.tools.values()].map(({ tool }) => ({
      name: tool.name,
      description: tool.description,
      parameters: toolParameters(tool),
    })),
    reasoningEffort: scope.run.controls?.reasoning?.effort ?? null,
    maxOutputTokens: null,
    parallelToolCalls: scope.plan.parallelToolCalls,
    idempotencyKey: `${scope.run.id}:reason:${iteration}`,
  };
}

interface ModelCall {
  answer: Collected;
  durationMs: number;
  firstTokenMs: number | null;
  /** From the start of this attempt; what a person waits. */
  turnFirstTokenMs: number | null;
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
    write(events) {
      const isFirst = !run.has_deltas;
      run.has_deltas = true;
      return write(scope, { events, hasDeltas: isFirst });
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
  await deltas.finish();
  return {
    answer: collector.result(),
    durationMs: deps.clock.monotonicMs() - startedAtMs,
    firstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - startedAtMs),
    turnFirstTokenMs: firstAtMs === null ? null : Math.round(firstAtMs - scope.beganAtMs),
  };
}

/** A call that failed is on record, too, whether or not the turn tries again. */
function failureEvents(
  scope: RunScope,
  context: EventContext,
  call: ModelCall,
  error: NonNullable<Collected["error"]>,
): NewEvent[] {
  const { model } = scope;
  const durationMs = Math.round(call.durationMs);
  return [
    {
      type: "llm.generation",
      context,
      data: {
        messages: newMessages(scope),
        output: {},
        metadata: {
          model: model.model.model_id,
          provider: model.provider.provider_type,
          duration_ms: durationMs,
          success: false,
          error: error.message,
        },
      },
    },
    {
      type: "reason.completed",
      context,
      data: {
        success: false,
        has_tool_calls: false,
        tool_call_count: 0,
        error: error.message,
        duration_ms: durationMs,
      },
    },
  ];
}

function failedCall(error: NonNullable<Collected["error"]>): RetryableError | TerminalError {
  return error.retryable
    ? new RetryableError(error.code, error.message, { retryAfterMs: error.retryAfterMs })
    : new TerminalError(error.code, error.message);
}

interface Answer {
  iteration: number;
  messageId: string;
  context: EventContext;
  call: ModelCall;
  /** The newest input.message that was part of the call. */
  seen: number;
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
  const written = await write(scope, {
    events: isFinal ? answered : [...answered, ...actAnnouncement(scope, calls)],
    steps: [reasonStep(scope, answer, result, usage), ...(isFinal ? [] : pendingSteps(scope, calls))],
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
  for (const one of calls) scope.announcedHere.add(one.id);
  return {
    result,
    done: { iteration, callIds: calls.map((one) => one.id), seenInputSequence: answer.seen },
    isEnded: written.isEnded,
  };
}

interface UniqueCall {
  id: string;
  name: string;
  argumentsJson: string;
}

/** Some compatible servers number their calls from 0 in each answer; in our log an id stands for one call. */
function uniqueCalls(scope: RunScope, answer: Collected): UniqueCall[] {
  const used = usedCallIds(scope.history);
  return answer.toolCalls.map((call) => {
    let id = call.id === "" ? newId("call") : call.id;
    for (let n = 2; used.has(id); n += 1) id = `${call.id || "call"}_${n}`;
    used.add(id);
    return { id, name: call.name, argumentsJson: call.argumentsJson };
  });
}

function messageOf({ deps }: RunScope, { messageId, call }: Answer, calls: readonly UniqueCall[]): Message {
  const { text, thinking, thinkingSignature } = call.answer;
  const content: ContentPart[] = [];
  if (text !== "" || calls.length === 0) content.push({ type: "text", text });
  for (const one of calls) {
    content.push({
      type: "tool_call",
      id: one.id,
      name: one.name,
      arguments: parsedArguments(one.argumentsJson),
    });
  }
  return {
    id: messageId,
    role: "agent",
    content,
    created_at: deps.clock.now().toISOString(),
    phase: calls.length > 0 ? "commentary" : "final_answer",
    ...(thinking === null ? {} : { thinking }),
    ...(thinkingSignature === null ? {} : { thinking_signature: thinkingSignature }),
  };
}

/** Malformed arguments stay the text that the model wrote: it is told so by the call's result. */
function parsedArguments(json: string): unknown {
  if (json.trim() === "") return {};
  try {
    return JSON.parse(json) as unknown;
  } catch {
    return json;
  }
}

function answerEvents(
  scope: RunScope,
  { context, call }: Answer,
  message: Message,
  calls: readonly UniqueCall[],
  usage: TokenUsage,
): NewEvent[] {
  const { run, model } = scope;
  const { answer } = call;
  const toolCalls: ToolCall[] = calls.map((one) => ({
    id: one.id,
    name: one.name,
    arguments: parsedArguments(one.argumentsJson),
  }));
  return [
    ...(answer.thinking === null
      ? []
      : [
          {
            type: "reason.thinking.completed" as const,
            context,
            data: { turn_id: run.id, thinking: answer.thinking },
          },
        ]),
    ...answer.reasoningItems.map((item) => ({
      type: "reason.item" as const,
      context,
      data: {
        turn_id: run.id,
        provider: item.provider,
        item_id: item.itemId,
        model: model.model.model_id,
        summary: item.summary,
        ...(item.encryptedContent === null ? {} : { encrypted_content: item.encryptedContent }),
      },
    })),
    {
      type: "output.message.completed",
      context,
      data: { message, metadata: metadataOf(model), usage },
    },
    {
      type: "llm.generation",
      context,
      data: {
        messages: newMessages(scope),
        ...(scope.tools.size === 0 ? {} : { tools: [...scope.tools.values()].map(toolSummary) }),
        output: {
          ...(answer.text === "" ? {} : { text: answer.text }),
          ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
        },
        metadata: {
          model: model.model.model_id,
          provider: model.provider.provider_type,
          usage,
          duration_ms: Math.round(call.durationMs),
          ...(call.firstTokenMs === null ? {} : { time_to_first_token_ms: call.firstTokenMs }),
          success: true,
          ...(answer.finish === null ? {} : { finish_reasons: [answer.finish] }),
          ...(answer.responseId === null ? {} : { response_id: answer.responseId }),
          ...(answer.retries.attempts === 0
            ? {}
            : {
                retry: {
                  attempts: answer.retries.attempts,
                  total_wait_ms: Math.round(answer.retries.totalWaitMs),
                },
              }),
        },
      },
    },
    {
      type: "reason.completed",
      context,
      data: {
        success: true,
        has_tool_calls: calls.length > 0,
        tool_call_count: calls.length,
        ...(answer.text === "" ? {} : { text_preview: preview(answer.text, limits.previewChars) }),
        duration_ms: Math.round(call.durationMs),
        usage,
      },
    },
  ];
}

/**
 * The messages that this call added to the conversation, not all that it sent: the whole history with every
 * generation would make the log grow with the square of the conversation.
 */
function newMessages({ history }: RunScope): Message[] {
  const last = history.findLastIndex((event) => event.type === "output.message.completed");
  return history.slice(last + 1).flatMap((event) => {
    if (event.type === "input.message") return [event.data.message];
    if (event.type !== "tool.completed") return [];
    const { tool_call_id, result, error } = event.data;
    const part: ContentPart = {
      type: "tool_result",
      tool_call_id,
      ...(result
        ? { result: result.flatMap((one) => (one.type === "text" ? [one.text] : [])).join("\n") }
        : {}),
      ...(error ? { error } : {}),
    };
    return [
      {
        id: event.id.replace("event_", "message_"),
        role: "tool_result" as const,
        content: [part],
        created_at: event.ts,
      },
    ];
  });
}

function toolSummary({
  tool,
  capabilityId,
  capabilityName,
}: {
  tool: { name: string; displayName: string; description: string };
  capabilityId: string;
  capabilityName: string;
}) {
  return {
    name: tool.name,
    description: tool.description,
    display_name: tool.displayName,
    capability_id: capabilityId,
    capability_name: capabilityName,
  };
}

function actAnnouncement({ run, tools }: RunScope, calls: readonly UniqueCall[]): NewEvent[] {
  const displayName = (name: string) => {
    const offered = tools.get(name);
    return offered ? { display_name: offered.tool.displayName } : {};
  };
  return [
    {
      type: "act.started",
      context: contextOf(run),
      data: { tool_calls: calls.map(({ id, name }) => ({ id, name, ...displayName(name) })) },
    },
    ...calls.map((call) => ({
      type: "tool.started" as const,
      context: contextOf(run),
      data: {
        tool_call: { id: call.id, name: call.name, arguments: parsedArguments(call.argumentsJson) },
        ...displayName(call.name),
      },
    })),
  ];
}

function reasonStep(
  { run }: RunScope,
  { iteration, call }: Answer,
  result: ReasonResult,
  usage: TokenUsage,
): StepWrite {
  return {
    name: `reason:${iteration}`,
    kind: "reason",
    toolName: null,
    effect: null,
    status: "settled",
    attempt: run.attempt,
    result,
    usage,
    error: null,
    durationMs: call.durationMs,
  };
}

/** "About to run" of each at_most_once call: written with the answer, before the tool can possibly run (I11). */
function pendingSteps({ run, tools }: RunScope, calls: readonly UniqueCall[]): StepWrite[] {
  return calls.flatMap((call) => {
    const offered = tools.get(call.name);
    if (offered?.tool.effect !== "at_most_once") return [];
    return [
      {
        name: `tool:${call.id}`,
        kind: "tool" as const,
        toolName: call.name,
        effect: "at_most_once" as const,
        status: "pending" as const,
        attempt: run.attempt,
        result: null,
        usage: null,
        error: null,
        durationMs: 0,
      },
    ];
  });
}

function metadataOf({ model, provider }: RunScope["model"]) {
  return { model: model.model_id, model_id: model.id, provider_id: provider.id };
}

function pricedUsage(usage: TokenUsage, model: string): TokenUsage {
  const profile = modelProfile(model);
  const cost = profile === null ? null : costOf(usage, profile);
  return cost === null ? usage : { ...usage, estimated_cost_usd: cost };
}
