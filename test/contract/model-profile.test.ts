import { describe, expect, test } from "bun:test";
import { Value } from "@sinclair/typebox/value";
import { costOf, ModelProfile, modelProfile, modelVendor } from "../../src/contract/model-profile.ts";
import { DEFAULT_MODELS, MODEL_ROWS } from "../../src/contract/model-table.ts";

describe("the table", () => {
  for (const [name, { profile }] of MODEL_ROWS) {
    test(`${name} is a whole profile`, () => {
      expect([...Value.Errors(ModelProfile, profile)]).toEqual([]);
      expect(profile.limits?.output).toBeGreaterThan(0);
      expect(profile.limits?.context).toBeGreaterThanOrEqual(profile.limits?.output ?? 0);
      const efforts = profile.reasoning_effort;
      expect(profile.reasoning).toBe(efforts !== null && efforts !== undefined);
      if (efforts) expect(efforts.values.map(({ value }) => value)).toContain(efforts.default);
      for (const tier of profile.cost?.cost_tiers ?? []) {
        expect(tier.input).toBeGreaterThan(profile.cost?.input ?? 0);
        expect(tier.above_tokens).toBeLessThan(profile.limits?.context ?? 0);
      }
    });
  }

  test("every default model is in it", () => {
    const missing = Object.values(DEFAULT_MODELS)
      .flat()
      .filter((name) => modelProfile(name) === null);
    expect(missing).toEqual([]);
  });
});

describe("names", () => {
  const FOUND: [name: string, profile: string | null][] = [
    ["gpt-5.2", "GPT-5.2"],
    ["gpt-5.2-2025-12-11", "GPT-5.2"],
    ["openai/gpt-5.2", "GPT-5.2"],
    ["claude-haiku-4-5-20251001", "Claude Haiku 4.5"],
    ["CLAUDE-OPUS-5-5", "Claude Opus 5.5"],
    ["gpt-5.2-codex", null],
    ["", null],
  ];
  for (const [name, profile] of FOUND) {
    test(`${JSON.stringify(name)} is ${profile}`, () =>
      expect(modelProfile(name)?.name ?? null).toBe(profile));
  }

  const VENDORS: [name: string, vendor: string | null][] = [
    ["gpt-99", "openai"],
    ["claude-9", "anthropic"],
    ["google/gemini-4-pro", "google"],
    ["kimi-k3", "moonshot"],
    ["llmsim", "llmsim"],
    ["my-own-model", null],
  ];
  for (const [name, vendor] of VENDORS) {
    test(`${name} is made by ${vendor}`, () => expect(modelVendor(name)).toBe(vendor as never));
  }
});

describe("cost", () => {
  const CASES: [name: string, model: string, usage: Parameters<typeof costOf>[0], dollars: number | null][] =
    [
      ["a million in, a million out", "claude-opus-5-5", { input_tokens: 1e6, output_tokens: 1e6 }, 24],
      [
        "every bucket has its own price",
        "claude-sonnet-5-5",
        { input_tokens: 1000, output_tokens: 100, cache_read_tokens: 10_000, cache_creation_tokens: 2000 },
        0.009,
      ],
      [
        "a long prompt costs more, all of it",
        "claude-haiku-5-5",
        { input_tokens: 100_001, output_tokens: 0 },
        0.0500005,
      ],
      [
        "a prompt at the border does not",
        "claude-haiku-5-5",
        { input_tokens: 100_000, output_tokens: 0 },
        0.01,
      ],
      [
        "what the cache served counts towards the border",
        "gpt-6.1-sol",
        { input_tokens: 2000, cache_read_tokens: 271_000, output_tokens: 1000 },
        0.0772,
      ],
      [
        "a bucket without a price is charged as input",
        "gpt-5.2",
        { input_tokens: 0, cache_creation_tokens: 1e6, output_tokens: 0 },
        1.75,
      ],
      ["the simulated model is free", "llmsim", { input_tokens: 1000, output_tokens: 1000 }, 0],
      [
        "an unknown model's cost is unknown, not nought",
        "my-own-model",
        { input_tokens: 1, output_tokens: 1 },
        null,
      ],
    ];
  for (const [name, model, usage, dollars] of CASES) {
    test(name, () => expect(costOf(usage, modelProfile(model))).toBe(dollars));
  }
});
