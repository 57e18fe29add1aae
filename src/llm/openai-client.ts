/** What the two OpenAI protocols share: the client, its errors, its list of models. */
import OpenAI from "openai";
import { limits } from "../contract/limits.ts";
import type { DriverError } from "./driver.ts";
import { classify, readFailure, toThrown } from "./errors.ts";
import type { CallDeps } from "./retry.ts";
import { NO_TIMEOUT_MS, requireList, type VendorOptions } from "./vendor.ts";
import type { FetchLike } from "./watch.ts";

const OPENAI_URL = "https://api.openai.com/v1";

/** Every setting is given: the package would otherwise take keys, addresses and log levels from the environment. */
export function createOpenAIClient(options: VendorOptions, fetch: FetchLike): OpenAI {
  return new OpenAI({
    apiKey: options.apiKey ?? "none",
    adminAPIKey: null,
    organization: null,
    project: null,
    webhookSecret: null,
    baseURL: options.baseUrl ?? OPENAI_URL,
    maxRetries: 0,
    timeout: NO_TIMEOUT_MS,
    logLevel: "off",
    fetch: fetch as typeof globalThis.fetch,
    ...(options.apiKey === null ? { defaultHeaders: { authorization: null } } : {}),
  });
}

export function isOpenAIItself(options: VendorOptions): boolean {
  return options.baseUrl === null || new URL(options.baseUrl).hostname === "api.openai.com";
}

export function classifyOpenAI(thrown: unknown, options: VendorOptions, now: Date): DriverError {
  const provider = isOpenAIItself(options) ? "OpenAI" : new URL(options.baseUrl ?? OPENAI_URL).host;
  return classify(readFailure(thrown), { apiKey: options.apiKey, provider, now });
}

/** Models that answer in text; the vendor lists its voices, pictures and embeddings in the same place. */
export async function listOpenAIModels(
  options: VendorOptions,
  deps: CallDeps,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const names: string[] = [];
    const page = await createOpenAIClient(options, deps.fetch).models.list({ signal });
    requireList(page);
    for await (const model of page) {
      if (!NOT_CHAT.test(model.id)) names.push(model.id);
      if (names.length >= limits.providerModelsMax) break;
    }
    return names;
  } catch (thrown) {
    throw toThrown(classifyOpenAI(thrown, options, deps.clock.now()));
  }
}

const NOT_CHAT =
  /embedding|whisper|^tts-|-tts|dall-e|moderation|image|^sora|realtime|audio|transcribe|^davinci|^babbage|-live|-instruct$/;

/** The buckets of the house are disjoint; OpenAI's totals include what the cache served and what it stored. */
export function openAIUsage(usage: {
  input: number | null | undefined;
  output: number | null | undefined;
  cacheRead: number | null | undefined;
  cacheWrite: number | null | undefined;
}) {
  const read = usage.cacheRead ?? 0;
  const written = usage.cacheWrite ?? 0;
  return {
    input_tokens: Math.max(0, (usage.input ?? 0) - read - written),
    output_tokens: usage.output ?? 0,
    cache_read_tokens: read,
    ...(written > 0 ? { cache_creation_tokens: written } : {}),
  };
}
