/** How a row of the model table becomes a profile. */
import type { ModelCost, ModelProfile, ModelVendor, ReasoningEffort } from "./model-profile.ts";

/** The day on which the vendors' public pages were read for the table. */
export const MODEL_TABLE_DATE = "2026-11-22";

export interface ModelRow {
  vendor: ModelVendor;
  profile: ModelProfile;
}

/** US dollars for a million tokens: input, output, cache read, cache write (null: as input). */
export type Prices = readonly [input: number, output: number, cacheRead: number, cacheWrite: number | null];

export interface Row {
  name: string;
  family: string;
  /** YYYY-MM-DD, or null when not known for sure. */
  released: string | null;
  knowledge: string | null;
  description: string;
  prices: Prices;
  /** Tokens: context window, longest prompt (null: the window), longest answer. */
  limits: readonly [context: number, input: number | null, output: number];
  /** Absent: no reasoning. */
  efforts?: readonly ReasoningEffort[];
  /** What the vendor does when none is asked for; medium unless said. */
  effort?: ReasoningEffort;
  temperature?: boolean;
  phases?: boolean;
  pdf?: boolean;
  longPrompt?: { above: number; prices: Prices };
}

export const EFFORTS = {
  fromNone: ["none", "low", "medium", "high", "xhigh"],
  fromLow: ["low", "medium", "high", "xhigh"],
  noneToHigh: ["none", "low", "medium", "high"],
  minimalToHigh: ["minimal", "low", "medium", "high"],
  lowToHigh: ["low", "medium", "high"],
} as const satisfies Record<string, readonly ReasoningEffort[]>;

/** Twice the price of the prompt and one and a half times that of the answer, from so many tokens on. */
export function doubledAbove(
  above: number,
  [input, output, read, write]: Prices,
): { above: number; prices: Prices } {
  return { above, prices: [input * 2, output * 1.5, read * 2, write === null ? null : write * 2] };
}

const EFFORT_NAMES: Record<ReasoningEffort, string> = {
  none: "None",
  minimal: "Minimal",
  low: "Low",
  medium: "Medium",
  high: "High",
  xhigh: "Extra high",
};

export function profileOf(row: Row): ModelProfile {
  const [context, input, output] = row.limits;
  const efforts = row.efforts ?? [];
  const media = row.pdf ? (["text", "image", "pdf"] as const) : (["text", "image"] as const);
  return {
    name: row.name,
    family: row.family,
    description: row.description,
    attachment: true,
    reasoning: efforts.length > 0,
    temperature: row.temperature ?? false,
    tool_call: true,
    structured_output: true,
    open_weights: false,
    ...(row.phases ? { supports_phases: true } : {}),
    knowledge: row.knowledge,
    release_date: row.released,
    last_updated: MODEL_TABLE_DATE,
    modalities: { input: [...media], output: ["text"] },
    limits: { context, input, output },
    cost: costOfRow(row),
    reasoning_effort:
      efforts.length === 0
        ? null
        : {
            values: efforts.map((value) => ({ name: EFFORT_NAMES[value], value })),
            default: row.effort ?? "medium",
          },
  };
}

function costOfRow(row: Row): ModelCost {
  const { longPrompt } = row;
  if (!longPrompt) return named(row.prices);
  return {
    ...named(row.prices),
    cost_tiers: [{ above_tokens: longPrompt.above, ...named(longPrompt.prices) }],
  };
}

function named([input, output, cache_read, cache_write]: Prices) {
  return { input, output, cache_read, cache_write };
}
