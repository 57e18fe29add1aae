import { type Static, Type } from "./schema.ts";

/** Tokens of one or more model calls. The buckets are disjoint: `input_tokens` excludes what the cache served. */
export const TokenUsage = Type.Object({
  input_tokens: Type.Integer(),
  output_tokens: Type.Integer(),
  cache_read_tokens: Type.Optional(Type.Integer()),
  cache_creation_tokens: Type.Optional(Type.Integer()),
  estimated_cost_usd: Type.Optional(Type.Number()),
  actual_cost_usd: Type.Optional(Type.Number()),
  effective_cost_usd: Type.Optional(Type.Number()),
});
export type TokenUsage = Static<typeof TokenUsage>;

/** The sum of two usages; a bucket that neither knows stays absent. */
export function addUsage(a: TokenUsage, b: TokenUsage): TokenUsage {
  const sum: TokenUsage = {
    input_tokens: a.input_tokens + b.input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
  };
  for (const field of OPTIONAL) {
    if (a[field] !== undefined || b[field] !== undefined) sum[field] = (a[field] ?? 0) + (b[field] ?? 0);
  }
  return sum;
}

export const NO_USAGE: TokenUsage = { input_tokens: 0, output_tokens: 0 };

const OPTIONAL = [
  "cache_read_tokens",
  "cache_creation_tokens",
  "estimated_cost_usd",
  "actual_cost_usd",
  "effective_cost_usd",
] as const;
