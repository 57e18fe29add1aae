/**
 * OpenAI Responses. The conversation is always sent whole and nothing is stored at the vendor's: the event log of
 * the session is the only memory. Reasoning comes back encrypted and is returned with the next call.
 */
import type OpenAI from "openai";
import { modelProfile } from "../contract/model-profile.ts";
import type { Chunk, Driver, FinishReason, ModelMessage, ModelRequest, UserPart } from "./driver.ts";
import { readFailure } from "./errors.ts";
import {
  classifyOpenAI,
  createOpenAIClient,
  isOpenAIItself,
  listOpenAIModels,
  openAIUsage,
} from "./openai-client.ts";
import { type CallDeps, type EventReader, streamCall, type VendorCall } from "./retry.ts";
import type { VendorOptions } from "./vendor.ts";
import { effortFor, imageUrl, inputSchema, isReasoningModel, replayedArguments, shortHash } from "./wire.ts";

type Params = OpenAI.Responses.ResponseCreateParamsStreaming;
type InputItem = OpenAI.Responses.ResponseInputItem;
type StreamEvent = OpenAI.Responses.ResponseStreamEvent;

/** The word in `ReasoningItem.provider`: only items that carry it are sent back. */
const PROVIDER = "openai";

export function createResponsesDriver(options: VendorOptions, deps: CallDeps): Driver {
  return {
    stream: (request, signal) => streamCall(deps, createCall(request, options, deps), signal),
    listModels: (signal) => listOpenAIModels(options, deps, signal),
  };
}

/** Optional parts of a request that some accounts, models or servers refuse. */
type Optional = "summary" | "reasoning_items" | "include";

function createCall(request: ModelRequest, options: VendorOptions, deps: CallDeps): VendorCall<StreamEvent> {
  const without = new Set<Optional>();
  const classifyThrown = (thrown: unknown) => classifyOpenAI(thrown, options, deps.clock.now());
  return {
    open: ({ signal, fetch }) =>
      createOpenAIClient(options, fetch).responses.create(buildResponsesParams(request, options, without), {
        signal,
        headers: { "Idempotency-Key": request.idempotencyKey },
      }),
    createReader: () => createResponsesReader(classifyThrown),
    classify: classifyThrown,
    concede(thrown) {
      const refused = refusedPart(thrown);
      if (refused === null || without.has(refused)) return false;
      without.add(refused);
      return true;
    },
  };
}

function refusedPart(thrown: unknown): Optional | null {
  const { status, code, message } = readFailure(thrown);
  if (status !== 400) return null;
  if (code === "invalid_encrypted_content") return "reasoning_items";
  if (/encrypted content is not supported|unsupported.*include/i.test(message)) return "include";
  if (/reasoning\.summary|reasoning summar/i.test(message)) return "summary";
  return null;
}

export function buildResponsesParams(
  request: ModelRequest,
  options: VendorOptions,
  without: ReadonlySet<Optional> = new Set(),
): Params {
  const reasons = isReasoningModel(request.model);
  const effort = effortFor(request);
  const reasoning = {
    ...(effort === null ? {} : { effort: effort as OpenAI.ReasoningEffort }),
    ...(reasons && effort !== "none" && isOpenAIItself(options) && !without.has("summary")
      ? { summary: "auto" as const }
      : {}),
  };
  return {
    model: request.model,
    stream: true,
    store: false,
    input: inputItems(request, without.has("reasoning_items")),
    ...(request.system ? { instructions: request.system } : {}),
    ...(request.tools.length > 0 ? { tools: request.tools.map(toolParam) } : {}),
    ...(request.tools.length > 0 && request.parallelToolCalls !== null
      ? { parallel_tool_calls: request.parallelToolCalls }
      : {}),
    ...(request.maxOutputTokens === null ? {} : { max_output_tokens: request.maxOutputTokens }),
    ...(Object.keys(reasoning).length > 0 ? { reasoning } : {}),
    ...(reasons && !without.has("include") ? { include: ["reasoning.encrypted_content" as const] } : {}),
    ...(isOpenAIItself(options) ? { prompt_cache_key: cacheKey(request) } : {}),
  };
}

/** Requests with the same prompt and tools are sent to the same cache; the conversation itself is not part of it. */
function cacheKey({ model, system, tools }: ModelRequest): string {
  return shortHash(JSON.stringify([model, system, tools.map((tool) => tool.name)]));
}

function toolParam(tool: ModelRequest["tools"][number]): OpenAI.Responses.FunctionTool {
  return {
    type: "function",
    name: tool.name,
    description: tool.description,
    parameters: inputSchema(tool.parameters),
    strict: false,
  };
}

function inputItems(request: ModelRequest, withoutReasoning: boolean): InputItem[] {
  const phases = modelProfile(request.model)?.supports_phases ?? false;
  return request.messages.flatMap((message) => itemsOf(message, { phases, withoutReasoning }));
}

function itemsOf(
  message: ModelMessage,
  options: { phases: boolean; withoutReasoning: boolean },
): InputItem[] {
  switch (message.role) {
    case "user":
      return [{ role: "user", content: message.content.map(contentPart) }];
    case "tool":
      return [{ type: "function_call_output", call_id: message.toolCallId, output: message.content }];
    case "assistant":
      return assistantItems(message, options);
  }
}

function assistantItems(
  message: Extract<ModelMessage, { role: "assistant" }>,
  { phases, withoutReasoning }: { phases: boolean; withoutReasoning: boolean },
): InputItem[] {
  // Reasoning without the item that it led to is refused.
  if (message.text === "" && message.toolCalls.length === 0) return [];
  const reasoning = withoutReasoning ? [] : message.reasoningItems;
  const phase = message.toolCalls.length > 0 ? ("commentary" as const) : ("final_answer" as const);
  return [
    ...reasoning.flatMap((item): InputItem[] =>
      item.provider === PROVIDER && item.encryptedContent !== null
        ? [
            {
              type: "reasoning",
              id: item.itemId,
              summary: item.summary.map((text) => ({ type: "summary_text", text })),
              encrypted_content: item.encryptedContent,
            },
          ]
        : [],
    ),
    ...(message.text === ""
      ? []
      : [{ role: "assistant" as const, content: message.text, ...(phases ? { phase } : {}) }]),
    ...message.toolCalls.map(
      (call): InputItem => ({
        type: "function_call",
        call_id: call.id,
        name: call.name,
        arguments: JSON.stringify(replayedArguments(call.argumentsJson)),
      }),
    ),
  ];
}

function contentPart(part: UserPart): OpenAI.Responses.ResponseInputContent {
  return part.type === "text"
    ? { type: "input_text", text: part.text }
    : { type: "input_image", image_url: imageUrl(part), detail: "auto" };
}

/** Reads the events of one response. Servers that only imitate the protocol may leave out the deltas. */
export function createResponsesReader(
  classifyThrown: (thrown: unknown) => ErrorOf,
): EventReader<StreamEvent> {
  /** Calls by the place of their item in the output. */
  const calls = new Map<number, { index: number; hasArguments: boolean }>();
  const spoken = new Set<number>();
  let refused = false;
  let finish: Chunk | null = null;

  const call = (place: number, item: { call_id: string; name: string }): Chunk[] => {
    if (calls.has(place)) return [];
    const index = calls.size;
    calls.set(place, { index, hasArguments: false });
    return [{ kind: "tool_call", index, id: item.call_id, name: item.name }];
  };
  const callArguments = (place: number, json: string): Chunk[] => {
    const known = calls.get(place);
    if (!known || json === "") return [];
    known.hasArguments = true;
    return [{ kind: "tool_arguments", index: known.index, json }];
  };
  /** Two messages in one answer (commentary, then the answer) are two paragraphs. */
  const say = (place: number, text: string): Chunk[] => {
    if (text === "") return [];
    const isNext = spoken.size > 0 && !spoken.has(place);
    spoken.add(place);
    return [{ kind: "text", text: isNext ? `\n\n${text}` : text }];
  };
  const think = (text: string): Chunk[] => (text === "" ? [] : [{ kind: "thinking", text }]);

  const itemDone = (place: number, item: OpenAI.Responses.ResponseOutputItem): Chunk[] => {
    switch (item.type) {
      case "function_call": {
        const opened = call(place, item);
        return calls.get(place)?.hasArguments
          ? opened
          : [...opened, ...callArguments(place, item.arguments ?? "")];
      }
      case "reasoning":
        return [
          {
            kind: "reasoning_item",
            item: {
              provider: PROVIDER,
              itemId: item.id,
              summary: (item.summary ?? []).map((part) => part.text),
              encryptedContent: item.encrypted_content ?? null,
            },
          },
        ];
      case "message":
        if (spoken.has(place)) return [];
        return say(
          place,
          (item.content ?? []).map((part) => (part.type === "refusal" ? part.refusal : part.text)).join(""),
        );
      default:
        return [];
    }
  };

  const ended = (response: OpenAI.Responses.Response): Chunk[] => {
    const { usage } = response;
    finish = {
      kind: "finish",
      reason: finishReason(response, calls.size > 0, refused),
      responseId: response.id ?? null,
    };
    if (!usage) return [finish];
    const counted = openAIUsage({
      input: usage.input_tokens,
      output: usage.output_tokens,
      cacheRead: usage.input_tokens_details?.cached_tokens,
      cacheWrite: usage.input_tokens_details?.cache_write_tokens,
    });
    return [{ kind: "usage", usage: counted }, finish];
  };

  return {
    read(event) {
      switch (event.type) {
        case "response.output_item.added":
          return event.item.type === "function_call" ? call(event.output_index, event.item) : [];
        case "response.function_call_arguments.delta":
          return callArguments(event.output_index, event.delta);
        case "response.output_text.delta":
          return say(event.output_index, event.delta);
        case "response.refusal.delta":
          refused = true;
          return say(event.output_index, event.delta);
        case "response.reasoning_summary_part.added":
          return event.summary_index > 0 ? think("\n\n") : [];
        case "response.reasoning_summary_text.delta":
        case "response.reasoning_text.delta":
          return think(event.delta);
        case "response.output_item.done":
          return itemDone(event.output_index, event.item);
        case "response.completed":
        case "response.incomplete":
          return ended(event.response);
        case "response.failed":
          return [{ kind: "error", error: classifyThrown({ error: event.response.error ?? {} }) }];
        case "error":
          return [{ kind: "error", error: classifyThrown({ error: event }) }];
        default:
          return [];
      }
    },
    end: () => finish,
  };
}

type ErrorOf = ReturnType<typeof classifyOpenAI>;

function finishReason(
  response: OpenAI.Responses.Response,
  hasCalls: boolean,
  refused: boolean,
): FinishReason {
  const why = response.incomplete_details?.reason;
  if (why === "max_output_tokens") return "length";
  if (why === "content_filter") return "content_filter";
  // Imitations do not say why; a limit is the usual reason.
  if (response.status === "incomplete") return "length";
  if (refused) return "refusal";
  return hasCalls ? "tool_calls" : "stop";
}
