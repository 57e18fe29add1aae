/**
 * Chat Completions, as OpenAI and the many servers that imitate it speak it. Imitations leave things out (usage,
 * ids, indexes, the finish reason, even the last `[DONE]`), so what they send is read with every field optional.
 */
import type OpenAI from "openai";
import type { Driver, ModelMessage, ModelRequest, UserPart } from "./driver.ts";
import { readFailure } from "./errors.ts";
import { CHAT_PROVIDER, createChatReader, type LooseChunk } from "./openai-chat-reader.ts";
import { classifyOpenAI, createOpenAIClient, isOpenAIItself, listOpenAIModels } from "./openai-client.ts";
import { type CallDeps, streamCall, type VendorCall } from "./retry.ts";
import type { VendorOptions } from "./vendor.ts";
import { effortFor, imageUrl, inputSchema, isReasoningModel, replayedArguments } from "./wire.ts";

type Params = OpenAI.Chat.Completions.ChatCompletionCreateParamsStreaming;
type MessageParam = OpenAI.Chat.Completions.ChatCompletionMessageParam;

export function createChatDriver(options: VendorOptions, deps: CallDeps): Driver {
  return {
    stream: (request, signal) => streamCall(deps, createCall(request, options, deps), signal),
    listModels: (signal) => listOpenAIModels(options, deps, signal),
  };
}

/** Optional parts of a request that some servers refuse. */
type Optional = "usage" | "parallel_tool_calls";

function createCall(request: ModelRequest, options: VendorOptions, deps: CallDeps): VendorCall<LooseChunk> {
  const without = new Set<Optional>();
  return {
    async open({ signal, fetch }) {
      const client = createOpenAIClient(options, fetch);
      const headers = { "Idempotency-Key": request.idempotencyKey };
      const stream = await client.chat.completions.create(buildChatParams(request, options, without), {
        signal,
        headers,
      });
      return stream as AsyncIterable<unknown> as AsyncIterable<LooseChunk>;
    },
    createReader: (watch) =>
      createChatReader({
        idempotencyKey: request.idempotencyKey,
        sawDone: () => /data:\s*\[DONE\]\s*$/.test(watch.tail()),
      }),
    classify: (thrown) => classifyOpenAI(thrown, options, deps.clock.now()),
    concede(thrown) {
      const { status, message } = readFailure(thrown);
      if (status !== 400 && status !== 422) return false;
      const refused = /stream_options|include_usage/.test(message)
        ? "usage"
        : /parallel_tool_calls/.test(message)
          ? "parallel_tool_calls"
          : null;
      if (refused === null || without.has(refused)) return false;
      without.add(refused);
      return true;
    },
  };
}

export function buildChatParams(
  request: ModelRequest,
  options: VendorOptions,
  without: ReadonlySet<Optional> = new Set(),
): Params {
  const effort = isReasoningModel(request.model) || !isOpenAIItself(options) ? effortFor(request) : null;
  const hasTools = request.tools.length > 0;
  return {
    model: request.model,
    stream: true,
    ...(without.has("usage") ? {} : { stream_options: { include_usage: true } }),
    messages: [
      ...(request.system ? [{ role: "system" as const, content: request.system }] : []),
      ...request.messages.flatMap(messageParams),
    ],
    ...(hasTools ? { tools: request.tools.map(toolParam) } : {}),
    ...(hasTools && request.parallelToolCalls !== null && !without.has("parallel_tool_calls")
      ? { parallel_tool_calls: request.parallelToolCalls }
      : {}),
    ...(effort === null ? {} : { reasoning_effort: effort as OpenAI.ReasoningEffort }),
    ...outputLimit(request, options),
  };
}

/** OpenAI renamed the field; its imitators mostly know only the old name. */
function outputLimit({ maxOutputTokens }: ModelRequest, options: VendorOptions) {
  if (maxOutputTokens === null) return {};
  return isOpenAIItself(options)
    ? { max_completion_tokens: maxOutputTokens }
    : { max_tokens: maxOutputTokens };
}

function toolParam(tool: ModelRequest["tools"][number]): OpenAI.Chat.Completions.ChatCompletionTool {
  return {
    type: "function",
    function: { name: tool.name, description: tool.description, parameters: inputSchema(tool.parameters) },
  };
}

function messageParams(message: ModelMessage): MessageParam[] {
  switch (message.role) {
    case "user":
      return [{ role: "user", content: userContent(message.content) }];
    case "tool":
      return [{ role: "tool", tool_call_id: message.toolCallId, content: message.content }];
    case "assistant":
      return assistantParams(message);
  }
}

/** Text alone goes as a plain string: some servers know nothing else. */
function userContent(parts: UserPart[]): string | OpenAI.Chat.Completions.ChatCompletionContentPart[] {
  if (parts.every((part) => part.type === "text")) return parts.map((part) => part.text).join("\n\n");
  return parts.map((part) =>
    part.type === "text"
      ? { type: "text", text: part.text }
      : { type: "image_url", image_url: { url: imageUrl(part) } },
  );
}

function assistantParams(message: Extract<ModelMessage, { role: "assistant" }>): MessageParam[] {
  const { text, toolCalls, thinking } = message;
  if (text === "" && toolCalls.length === 0) return [];
  if (toolCalls.length === 0) return [{ role: "assistant", content: text }];
  const field = message.reasoningItems.find((item) => item.provider === CHAT_PROVIDER)?.itemId;
  return [
    {
      role: "assistant",
      content: text === "" ? null : text,
      tool_calls: toolCalls.map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: JSON.stringify(replayedArguments(call.argumentsJson)) },
      })),
      ...(field !== undefined && thinking !== null ? { [field]: thinking } : {}),
    },
  ];
}
