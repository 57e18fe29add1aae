/**
 * The models that the house knows by name, as their vendors' public pages described them on MODEL_TABLE_DATE.
 * Prices are list prices of the standard tier in US dollars for a million tokens. To add a model, add a row to
 * its vendor's file.
 */
import type { ModelProfile } from "./model-profile.ts";
import { MODEL_TABLE_DATE, type ModelRow } from "./model-row.ts";
import { ANTHROPIC_ROWS } from "./model-rows-anthropic.ts";
import { OPENAI_ROWS } from "./model-rows-openai.ts";

const SIMULATED = {
  llmsim: ["llmsim", "The built-in simulated model: echoes, answers about the time and files, plays scripts"],
  "llmsim-echo": ["llmsim echo", "The simulated model that only ever repeats what it was told"],
  "llmsim-fixed": ["llmsim fixed", "The simulated model with one fixed answer"],
} as const;

/** Rows by the vendor's model name, in the order in which a list of models reads best. */
export const MODEL_ROWS: ReadonlyMap<string, ModelRow> = new Map([
  ...Object.entries(OPENAI_ROWS),
  ...Object.entries(ANTHROPIC_ROWS),
  ...Object.entries(SIMULATED).map(([model, [name, description]]): [string, ModelRow] => [
    model,
    { vendor: "llmsim", profile: simulated(name, description) },
  ]),
]);

/** Models that a fresh installation offers, by provider type; the first is the default. */
export const DEFAULT_MODELS = {
  openai: ["gpt-6.1-sol", "gpt-6.1-terra", "gpt-6-luna", "gpt-6-astra"],
  openai_completions: ["gpt-6-luna", "gpt-5.4-mini", "gpt-4.1"],
  anthropic: ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-fable-5-2"],
  llmsim: ["llmsim", "llmsim-echo", "llmsim-fixed"],
} as const;

function simulated(name: string, description: string): ModelProfile {
  return {
    name,
    family: "llmsim",
    description,
    attachment: true,
    reasoning: false,
    temperature: false,
    tool_call: true,
    structured_output: false,
    open_weights: true,
    knowledge: null,
    release_date: null,
    last_updated: MODEL_TABLE_DATE,
    modalities: { input: ["text", "image"], output: ["text"] },
    limits: { context: 200_000, input: null, output: 64_000 },
    cost: { input: 0, output: 0, cache_read: 0, cache_write: 0 },
    reasoning_effort: null,
  };
}
