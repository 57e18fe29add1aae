/** What a model call leaves behind: its message, its events, its checkpoint. Builds, and writes nothing. */
import { newId, uuidOf } from "../base/id.ts";
import { preview } from "../base/json.ts";
import type { EventContext, NewEvent, ToolCall } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { ContentPart, Message } from "../contract/message.ts";
import { messageOfEvent } from "../contract/message-view.ts";
import { costOf, modelProfile } from "../contract/model-profile.ts";
import type { TokenUsage } from "../contract/usage.ts";
import type { StepWrite } from "../db/writer.ts";
import type { Collected } from "../llm/collect.ts";
import type { ToolSpec } from "../llm/driver.ts";
import { thinkingCompleted } from "./deltas.ts";
import { usedCallIds } from "./history.ts";
import { friendlyText } from "./retry.ts";
import { contextOf, type OfferedTool, type RunScope } from "./scope.ts";

/** The checkpoint of a reason step, as stored. */
export interface ReasonResult {
  iteration: number;
  message_id: string;
  seen_input_sequence: number;
  tool_calls: { id: string; name: string; arguments_json: string }[];
}

export interface ModelCall {
  answer: Collected;
  /** The last of the stream; goes out with the answer. */
  unsentDeltas: NewEvent[];
  /** `reason.thinking.completed` is in the log, or among `unsentDeltas`. */
  isThinkingTold: boolean;
  /** Characters of the answer that an earlier attempt had streamed; null when it began anew. */
  recoveredLength: number | null;
  durationMs: number;
  firstTokenMs: number | null;
  /** From the start of this attempt; what a person waits. */
  turnFirstTokenMs: number | null;
}

/** A call that failed is on record, too, whether or not the turn tries again. */
export function failureEvents(
  scope: RunScope,
  context: EventContext,
  call: ModelCall,
  error: NonNullable<Collected["error"]>,
): NewEvent[] {
  const { model, run } = scope;
  const durationMs = Math.round(call.durationMs);
  // Whoever is told no causes must not read them off another event.
  const isGeneric = run.controls?.error_disclosure === "generic";
  const shownError = isGeneric ? friendlyText("processing_error", "", "generic") : error.message;
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
          ...shownFrom(scope),
          duration_ms: durationMs,
          success: false,
          error: shownError,
          ...(isGeneric ? {} : retryOf(call.answer)),
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
        error: shownError,
        duration_ms: durationMs,
      },
    },
  ];
}

export interface Answer {
  iteration: number;
  messageId: string;
  context: EventContext;
  call: ModelCall;
  /** The newest input.message that was part of the call. */
  seen: number;
}

export interface UniqueCall {
  id: string;
  name: string;
  argumentsJson: string;
}

/** Shorter ids than this are taken for numbers: those that vendors draw at random are longer. */
const RANDOM_ID_CHARS = 16;

/**
 * Some compatible servers number their calls from 0 in each answer; in our log an id stands for one call. Where the
 * log is longer than what was read of it, a short id may have been there: it is replaced.
 */
export function uniqueCalls(scope: RunScope, answer: Collected): UniqueCall[] {
  const used = usedCallIds(scope.history);
  return answer.toolCalls.map((call) => {
    const isDoubtful = call.id === "" || (scope.isHistoryCut && call.id.length < RANDOM_ID_CHARS);
    let id = isDoubtful ? newId("call") : call.id;
    for (let n = 2; used.has(id); n += 1) id = `${call.id || "call"}_${n}`;
    used.add(id);
    return { id, name: call.name, argumentsJson: call.argumentsJson };
  });
}

export function messageOf(
  { deps }: RunScope,
  { messageId, call }: Answer,
  calls: readonly UniqueCall[],
): Message {
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

export function answerEvents(
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
    ...(answer.thinking === null || call.isThinkingTold
      ? []
      : [thinkingCompleted({ context, turnId: run.id }, answer.thinking)]),
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
        ...(scope.tools.size + scope.clientTools.size === 0 ? {} : { tools: toolSummaries(scope) }),
        output: {
          ...(answer.text === "" ? {} : { text: answer.text }),
          ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
        },
        metadata: {
          model: model.model.model_id,
          provider: model.provider.provider_type,
          ...shownFrom(scope),
          usage,
          duration_ms: Math.round(call.durationMs),
          ...(call.firstTokenMs === null ? {} : { time_to_first_token_ms: call.firstTokenMs }),
          success: true,
          ...(answer.finish === null ? {} : { finish_reasons: [answer.finish] }),
          ...(answer.responseId === null ? {} : { response_id: answer.responseId }),
          ...retryOf(answer),
          ...(call.recoveredLength === null ? {} : { recovered: { accumulated_len: call.recoveredLength } }),
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

function retryOf({ retries }: Collected) {
  if (retries.attempts === 0) return {};
  const { attempts, totalWaitMs, reasons } = retries;
  return { retry: { attempts, total_wait_ms: Math.round(totalWaitMs), reasons } };
}

/** Where the conversation began for the model, when it was longer than the model's window. */
function shownFrom({ history, isHistoryCut }: RunScope): { history_from_sequence?: number } {
  const first = history[0];
  return isHistoryCut && first ? { history_from_sequence: first.sequence } : {};
}

/**
 * The messages that this call added to the conversation, not all that it sent: the whole history with every
 * generation would make the log grow with the square of the conversation.
 */
function newMessages({ history }: RunScope): Message[] {
  const last = history.findLastIndex((event) => event.type === "output.message.completed");
  return history.slice(last + 1).flatMap((event) => messageOfEvent(event) ?? []);
}

/** What the model may call: tools of the server and of the client. */
export function toolSpecs({ tools, clientTools }: Pick<RunScope, "tools" | "clientTools">): ToolSpec[] {
  return [
    ...[...tools.values()].map(({ tool }) => ({
      name: tool.name,
      description: tool.description,
      parameters: tool.parameters(),
    })),
    ...[...clientTools.values()].map(({ name, description, parameters }) => ({
      name,
      description,
      // The vendors refuse a schema that does not say that it is an object's.
      parameters: { type: "object", ...(typeof parameters === "object" ? parameters : {}) },
    })),
  ];
}

function toolSummaries({ tools, clientTools }: RunScope) {
  return [
    ...[...tools.values()].map(toolSummary),
    ...[...clientTools.values()].map(({ name, description, display_name }) => ({
      name,
      description,
      ...(display_name ? { display_name } : {}),
    })),
  ];
}

function toolSummary({ tool, capabilityId, capabilityName }: OfferedTool) {
  return {
    name: tool.name,
    description: tool.description,
    display_name: tool.displayName,
    capability_id: capabilityId,
    capability_name: capabilityName,
  };
}

export function actAnnouncement(
  { run, tools, clientTools }: RunScope,
  calls: readonly UniqueCall[],
): NewEvent[] {
  const displayName = (name: string) => {
    const shown = tools.get(name)?.tool.displayName ?? clientTools.get(name)?.display_name;
    return shown ? { display_name: shown } : {};
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

export function reasonStep(
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
export function pendingSteps({ run, tools }: RunScope, calls: readonly UniqueCall[]): StepWrite[] {
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

export function metadataOf({ model, provider }: RunScope["model"]) {
  return { model: model.model_id, model_id: uuidOf(model.id), provider_id: uuidOf(provider.id) };
}

export function pricedUsage(usage: TokenUsage, model: string): TokenUsage {
  const profile = modelProfile(model);
  const cost = profile === null ? null : costOf(usage, profile);
  return cost === null ? usage : { ...usage, estimated_cost_usd: cost };
}
