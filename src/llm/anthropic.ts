/**
 * Anthropic Messages. Thinking goes back exactly as it came (its signature covers it), tool results of one answer
 * travel in one user message, and the prompt cache is told where the stable parts end.
 */
import Anthropic from "@anthropic-ai/sdk";
import { limits } from "../contract/limits.ts";
import { modelProfile } from "../contract/model-profile.ts";
import { buildMessages } from "./anthropic-messages.ts";
import { type AnthropicEvent, createAnthropicReader } from "./anthropic-reader.ts";
import type { Driver, DriverError, ModelRequest } from "./driver.ts";
import { classify, readFailure, toThrown } from "./errors.ts";
import { withoutRepeatedSpace } from "./prefix.ts";
import { type CallDeps, streamCall, type VendorCall } from "./retry.ts";
import { NO_TIMEOUT_MS, requireList, type VendorOptions } from "./vendor.ts";
import type { FetchLike } from "./watch.ts";
import { effortFor, inputSchema } from "./wire.ts";

type Params = Anthropic.MessageCreateParamsStreaming;

const ANTHROPIC_URL = "https://api.anthropic.com";

/** The API requires a limit; this is for models that are not in the table. */
const MAX_TOKENS_UNKNOWN = 16_384;

/** Thinking budgets for models from before adaptive thinking, in tokens. The least that the API takes is 1,024. */
const BUDGETS: Record<string, number> = {
  minimal: 1_024,
  low: 4_096,
  medium: 10_240,
  high: 24_576,
  xhigh: 49_152,
};
const BUDGET_MIN = 1_024;

const CACHED = { cache_control: { type: "ephemeral" } } as const;

export function createAnthropicDriver(options: VendorOptions, deps: CallDeps): Driver {
  return {
    stream(request, signal) {
      const chunks = streamCall(deps, createCall(request, options, deps), signal);
      return request.prefix === undefined ? chunks : withoutRepeatedSpace(request.prefix, chunks);
    },
    canContinue: (request) => isAnthropicItself(options) && takesPrefill(request),
    listModels: (signal) => listModels(options, deps, signal),
  };
}

/** What a call gives up when the vendor refuses it. */
export interface Concessions {
  /** Thinking of an earlier answer: its signature belongs to another model or account. */
  history: boolean;
  /** The wish for thinking: the model knows no such thing. */
  thinking: boolean;
  /** Cache breakpoints: an imitation of the API does not know them. */
  cache: boolean;
  /** The limit that the vendor named when ours was too high. */
  maxTokens: number | null;
}

export const NOTHING_CONCEDED: Concessions = {
  history: false,
  thinking: false,
  cache: false,
  maxTokens: null,
};

function createCall(
  request: ModelRequest,
  options: VendorOptions,
  deps: CallDeps,
): VendorCall<AnthropicEvent> {
  let conceded = NOTHING_CONCEDED;
  const classifyThrown = (thrown: unknown) => classifyAnthropic(thrown, options, deps.clock.now());
  return {
    open: async ({ signal, fetch }) => {
      const client = createAnthropicClient(options, fetch);
      const stream = await client.messages.create(buildAnthropicParams(request, conceded), { signal });
      return stream as AsyncIterable<unknown> as AsyncIterable<AnthropicEvent>;
    },
    createReader: () => createAnthropicReader(),
    classify: classifyThrown,
    concede(thrown) {
      const next = concede(conceded, thrown);
      if (next === null) return false;
      conceded = next;
      return true;
    },
  };
}

function concede(before: Concessions, thrown: unknown): Concessions | null {
  const { status, message } = readFailure(thrown);
  if (status !== 400) return null;
  const limit = /max_tokens: \d+ > (\d+)/.exec(message)?.[1];
  if (limit !== undefined) return before.maxTokens === null ? { ...before, maxTokens: Number(limit) } : null;
  if (/cache_control/.test(message)) return before.cache ? null : { ...before, cache: true };
  if (/signature|thinking[`'" ]* blocks?/i.test(message))
    return before.history ? null : { ...before, history: true };
  if (/thinking|output_config|effort/i.test(message))
    return before.thinking ? null : { ...before, thinking: true };
  return null;
}

/** Every setting is given: the package would otherwise look for keys in the environment and in files. */
function createAnthropicClient(options: VendorOptions, fetch: FetchLike): Anthropic {
  return new Anthropic({
    apiKey: options.apiKey ?? "none",
    authToken: null,
    webhookKey: null,
    // The package adds /v1 itself, while most people copy an address that has it.
    baseURL: (options.baseUrl ?? ANTHROPIC_URL).replace(/\/v1\/?$/, ""),
    maxRetries: 0,
    timeout: NO_TIMEOUT_MS,
    logLevel: "off",
    openTelemetry: false,
    fetch: fetch as typeof globalThis.fetch,
    ...authHeaders(options),
  });
}

/** The package sends the key as a bearer token; imitations of the API often look for the older header. */
function authHeaders({ apiKey, baseUrl }: VendorOptions): { defaultHeaders?: Record<string, string | null> } {
  if (apiKey === null) return { defaultHeaders: { authorization: null } };
  return baseUrl === null ? {} : { defaultHeaders: { "x-api-key": apiKey } };
}

export function buildAnthropicParams(
  request: ModelRequest,
  conceded: Concessions = NOTHING_CONCEDED,
): Params {
  const limit = modelProfile(request.model)?.limits?.output ?? MAX_TOKENS_UNKNOWN;
  const maxTokens = Math.min(
    request.maxOutputTokens ?? limit,
    conceded.maxTokens ?? Number.POSITIVE_INFINITY,
  );
  const cached = conceded.cache ? {} : CACHED;
  const lastTool = request.tools.length - 1;
  return {
    model: request.model,
    stream: true,
    max_tokens: maxTokens,
    ...(request.system ? { system: [{ type: "text", text: request.system, ...cached }] } : {}),
    messages: [
      ...buildMessages(request.messages, { cache: !conceded.cache, thinking: !conceded.history }),
      ...(request.prefix === undefined
        ? []
        : [{ role: "assistant" as const, content: request.prefix.trimEnd() }]),
    ],
    ...(request.tools.length > 0
      ? {
          tools: request.tools.map((tool, index) => ({
            name: tool.name,
            description: tool.description,
            input_schema: inputSchema(tool.parameters),
            ...(index === lastTool ? cached : {}),
          })),
        }
      : {}),
    ...(request.tools.length > 0 && request.parallelToolCalls === false
      ? { tool_choice: { type: "auto" as const, disable_parallel_tool_use: true } }
      : {}),
    ...(conceded.thinking ? {} : thinkingParams(request, maxTokens)),
  };
}

/**
 * How each generation is asked to think. From 4.6 on the model decides how much, within an effort; the fifth
 * generation thinks unless told not to and hides it unless asked for a summary; older ones take a budget.
 */
function thinkingParams(
  request: ModelRequest,
  maxTokens: number,
): Pick<Params, "thinking" | "output_config"> {
  const effort = effortFor(request);
  if (!isAdaptive(request.model)) return budgetParams(request, effort, maxTokens);
  if (effort === "none") return { thinking: { type: "disabled" } };
  if (effort === null) {
    return thinksByDefault(request.model) ? { thinking: { type: "adaptive", display: "summarized" } } : {};
  }
  return {
    thinking: { type: "adaptive", display: "summarized" },
    output_config: { effort: effort === "minimal" ? "low" : (effort as "low" | "medium" | "high" | "xhigh") },
  };
}

function budgetParams(
  request: ModelRequest,
  effort: string | null,
  maxTokens: number,
): Pick<Params, "thinking"> {
  const wanted = BUDGETS[effort ?? ""];
  if (wanted === undefined || isAnsweringUnthought(request)) return {};
  // Thinking is counted against max_tokens; half of it is kept for the answer.
  const budget = Math.min(wanted, Math.floor(maxTokens / 2));
  return budget < BUDGET_MIN ? {} : { thinking: { type: "enabled", budget_tokens: budget } };
}

/** In the middle of a tool loop a budget may only be asked for if the loop's answers carry their thinking. */
function isAnsweringUnthought({ messages }: ModelRequest): boolean {
  if (messages.at(-1)?.role !== "tool") return false;
  const last = messages.findLast((message) => message.role === "assistant");
  return last?.role === "assistant" && last.thinkingSignature === null;
}

const BUDGET_ONLY = /^claude-(2|3|instant|(opus|sonnet|haiku)-4(-[0-5])?(-\d{8})?$)/;

/**
 * An answer may be begun for the model up to the generation 4.5, and only if it does not think first. From 4.6 on
 * the API refuses it. (Anthropic's notes on Claude 4.6, "prefill removal".)
 */
function takesPrefill(request: ModelRequest): boolean {
  if (!BUDGET_ONLY.test(request.model) || (request.prefix ?? "").trimEnd() === "") return false;
  return BUDGETS[effortFor(request) ?? ""] === undefined;
}

/** What imitations of the API make of a begun answer is not documented. */
function isAnthropicItself({ baseUrl }: VendorOptions): boolean {
  return baseUrl === null || new URL(baseUrl).hostname === "api.anthropic.com";
}

function isAdaptive(model: string): boolean {
  return /^claude-/.test(model) && !BUDGET_ONLY.test(model);
}

function thinksByDefault(model: string): boolean {
  return /^claude-(fable|mythos|(opus|sonnet|haiku)-[5-9])/.test(model);
}

function classifyAnthropic(thrown: unknown, options: VendorOptions, now: Date): DriverError {
  const provider = options.baseUrl === null ? "Anthropic" : new URL(options.baseUrl).host;
  return classify(readFailure(thrown), { apiKey: options.apiKey, provider, now });
}

async function listModels(options: VendorOptions, deps: CallDeps, signal: AbortSignal): Promise<string[]> {
  try {
    const names: string[] = [];
    const page = await createAnthropicClient(options, deps.fetch).models.list(
      { limit: limits.providerModelsMax },
      { signal },
    );
    requireList(page);
    for await (const model of page) {
      names.push(model.id);
      if (names.length >= limits.providerModelsMax) break;
    }
    return names;
  } catch (thrown) {
    throw toThrown(classifyAnthropic(thrown, options, deps.clock.now()));
  }
}
