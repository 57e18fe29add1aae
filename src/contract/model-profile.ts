/**
 * What is publicly known about a model: limits, price, modalities, reasoning effort. Shapes and pure look-ups; the
 * rows are in `model-table.ts`. A model that is not in the table has no profile: nothing is guessed, its cost is
 * unknown (null), never zero.
 */
import { MODEL_ROWS } from "./model-table.ts";
import { Maybe, OneOf, type Static, Type } from "./schema.ts";
import type { TokenUsage } from "./usage.ts";

export const MODEL_VENDORS = [
  "openai",
  "anthropic",
  "google",
  "nvidia",
  "qwen",
  "microsoft",
  "minimax",
  "moonshot",
  "xai",
  "llmsim",
] as const;
export type ModelVendor = (typeof MODEL_VENDORS)[number];

export const REASONING_EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"] as const;
export type ReasoningEffort = (typeof REASONING_EFFORTS)[number];

const Modality = OneOf(["text", "image", "audio", "video", "pdf"]);

/** US dollars for a million tokens. `cache_write` is what five minutes (Anthropic) or thirty (OpenAI) cost. */
const Prices = {
  input: Type.Number(),
  output: Type.Number(),
  cache_read: Maybe(Type.Number()),
  cache_write: Maybe(Type.Number()),
};

/** Prices of a request whose whole prompt (fresh, read and written) is longer than `above_tokens`. */
export const CostTier = Type.Object({ above_tokens: Type.Integer(), ...Prices });
export type CostTier = Static<typeof CostTier>;

export const ModelCost = Type.Object({ ...Prices, cost_tiers: Type.Optional(Type.Array(CostTier)) });
export type ModelCost = Static<typeof ModelCost>;

/** Tokens. `input` is the longest prompt where the vendor names one beside the context window. */
export const ModelLimits = Type.Object({
  context: Type.Integer(),
  input: Maybe(Type.Integer()),
  max_media: Maybe(Type.Integer()),
  output: Type.Integer(),
});
export type ModelLimits = Static<typeof ModelLimits>;

export const ReasoningEffortConfig = Type.Object({
  values: Type.Array(Type.Object({ name: Type.String(), value: OneOf(REASONING_EFFORTS) })),
  default: OneOf(REASONING_EFFORTS),
});
export type ReasoningEffortConfig = Static<typeof ReasoningEffortConfig>;

export const ModelProfile = Type.Object({
  name: Type.String(),
  family: Type.String(),
  description: Maybe(Type.String()),
  /** Takes files beside text: images or PDF. */
  attachment: Type.Boolean(),
  reasoning: Type.Boolean(),
  temperature: Type.Boolean(),
  tool_call: Type.Boolean(),
  structured_output: Type.Boolean(),
  open_weights: Type.Boolean(),
  supports_phases: Type.Optional(Type.Boolean()),
  tool_search: Type.Optional(Type.Boolean()),
  supported_parameters: Type.Optional(Type.Array(Type.String())),
  knowledge: Maybe(Type.String()),
  release_date: Maybe(Type.String()),
  last_updated: Maybe(Type.String()),
  modalities: Maybe(Type.Object({ input: Type.Array(Modality), output: Type.Array(Modality) })),
  limits: Maybe(ModelLimits),
  cost: Maybe(ModelCost),
  reasoning_effort: Maybe(ReasoningEffortConfig),
});
export type ModelProfile = Static<typeof ModelProfile>;

/**
 * The profile of a model by the name that its vendor's API uses. A date at the end ("gpt-5.2-2025-12-11",
 * "claude-haiku-4-5-20251001") and a vendor in front ("openai/gpt-5.2") are passed over. Null: not in the table.
 */
export function modelProfile(name: string): ModelProfile | null {
  return rowOf(name)?.profile ?? null;
}

/** Who made the model, by its table row or, failing that, by the shape of its name. Null: cannot tell. */
export function modelVendor(name: string): ModelVendor | null {
  const row = rowOf(name);
  if (row) return row.vendor;
  const bare = bareName(name);
  return VENDOR_PREFIXES.find(([prefix]) => prefix.test(bare))?.[1] ?? null;
}

/**
 * What a call cost, in US dollars, by the list prices of the table.
 *
 * @returns null when the profile or its prices are unknown. A bucket without a price of its own is charged as
 *          fresh input, so the figure errs upwards.
 */
export function costOf(usage: TokenUsage, profile: ModelProfile | null): number | null {
  if (!profile?.cost) return null;
  const read = usage.cache_read_tokens ?? 0;
  const written = usage.cache_creation_tokens ?? 0;
  const prices = pricesFor(profile.cost, usage.input_tokens + read + written);
  const dollars =
    (usage.input_tokens * prices.input +
      read * (prices.cache_read ?? prices.input) +
      written * (prices.cache_write ?? prices.input) +
      usage.output_tokens * prices.output) /
    1_000_000;
  // A tenth of a nano-dollar: drops the dust of binary fractions, keeps every price of the table exact.
  return Number(dollars.toFixed(10));
}

function pricesFor(cost: ModelCost, promptTokens: number): Omit<ModelCost, "cost_tiers"> {
  let best: CostTier | null = null;
  for (const tier of cost.cost_tiers ?? []) {
    if (promptTokens > tier.above_tokens && tier.above_tokens > (best?.above_tokens ?? -1)) best = tier;
  }
  return best ?? cost;
}

function rowOf(name: string) {
  const bare = bareName(name);
  return MODEL_ROWS.get(bare) ?? MODEL_ROWS.get(bare.replace(/-(\d{4}-\d{2}-\d{2}|\d{8})$/, "")) ?? null;
}

function bareName(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1).toLowerCase();
}

const VENDOR_PREFIXES: readonly (readonly [RegExp, ModelVendor])[] = [
  [/^(gpt-|o\d|chatgpt-|codex-)/, "openai"],
  [/^claude-/, "anthropic"],
  [/^(gemini-|gemma)/, "google"],
  [/^(nemotron|llama-\d.*-nemotron)/, "nvidia"],
  [/^(qwen|qwq)/, "qwen"],
  [/^(phi-|mai-)/, "microsoft"],
  [/^minimax/, "minimax"],
  [/^(kimi|moonshot)/, "moonshot"],
  [/^grok/, "xai"],
  [/^llmsim/, "llmsim"],
];
