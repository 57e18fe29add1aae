/** Random requests from schemas, the same ones for the same seed. */
import fc from "fast-check";
import { branchesOf, type Document, merged, type Schema, typesOf } from "./document.ts";
import { type Known, LEFT_OUT } from "./samples.ts";

export interface Random {
  /** From 0 to below 1. */
  next(): number;
  /** A whole number from 0 to below `end`. */
  below(end: number): number;
  isLucky(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
}

/** mulberry32: small, quick, good enough to choose with. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number) => Math.floor(next() * end);
  return {
    next,
    below,
    isLucky: (probability) => next() < probability,
    pick(from) {
      if (from.length === 0) throw new Error("there is nothing to pick from");
      return from[below(from.length)] as (typeof from)[number];
    },
  };
}

const TEXTS = [
  "a",
  "two words",
  "Привіт, світе",
  "日本語",
  "💩👩‍👩‍👧",
  "\u202Ertl",
  "line\nbreak\r\n\ttab",
  "a\0b",
  "\ud800",
  "'; drop table agents; --",
  "%00%2e%2e/",
  "../../etc/passwd",
  "<script>alert(1)</script>",
  "{{7*7}}#{7*7}",
  "__proto__",
  "null",
  "true",
  "0",
  "-1",
  "1e999",
  "2026-05-26T00:00:00.123Z",
  "session_0198c0de4f2a7c3e9b1a5d6e7f8091a2",
  "x".repeat(300),
];
const NUMBERS = [0, 1, -1, 2, 7, 20, 100, 0.5, -0.5, 1e-9, 2 ** 31 - 1, 2 ** 31, 2 ** 53, 1e21, -1e300];
const DEPTH_MAX = 6;

export interface RandomOptions {
  random: Random;
  known: Known;
}

/** A value that the schema should take. */
export function randomOf(document: Document, schema: Schema, options: RandomOptions, depth = 0): unknown {
  const { random } = options;
  const whole = merged(document, schema);
  const branches = branchesOf(document, schema);
  if (branches.length === 0) return null;
  const takesNull =
    typesOf(whole).includes("null") || whole.anyOf?.some((branch) => typesOf(branch).includes("null"));
  if (takesNull && random.isLucky(0.15)) return null;
  const branch = random.pick(branches);
  if (branch.const !== undefined) return branch.const;
  if (branch.enum) return random.pick(branch.enum);
  switch (typesOf(branch)[0] ?? (branch.properties ? "object" : "")) {
    case "string":
      return randomText(branch, random);
    case "integer":
    case "number":
      return randomNumber(branch, random);
    case "boolean":
      return random.isLucky(0.5);
    case "array": {
      const most = Math.min(branch.maxItems ?? 4, depth > 2 ? 1 : 4);
      const count = Math.max(branch.minItems ?? 0, random.below(most + 1));
      return Array.from({ length: count }, () => randomOf(document, branch.items ?? {}, options, depth + 1));
    }
    case "object":
      return randomObject(document, branch, options, depth);
    default:
      return junk(random, depth);
  }
}

function randomObject(document: Document, schema: Schema, options: RandomOptions, depth: number): unknown {
  const { random, known } = options;
  const required = new Set(schema.required ?? []);
  const fields: [string, unknown][] = [];
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (!required.has(name) && (depth > DEPTH_MAX || !random.isLucky(0.35))) continue;
    const given = random.isLucky(0.85) ? known(name, merged(document, property)) : undefined;
    if (given === LEFT_OUT && !required.has(name)) continue;
    const isGiven = given !== undefined && given !== LEFT_OUT;
    fields.push([name, isGiven ? given : randomOf(document, property, options, depth + 1)]);
  }
  if (schema.additionalProperties && !schema.properties) {
    for (let count = random.below(3); count > 0; count -= 1) {
      const value = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
      fields.push([random.pick(TEXTS).slice(0, 40), randomOf(document, value, options, depth + 1)]);
    }
  }
  return Object.fromEntries(fields);
}

/** Samples of a pattern; drawing them is slow. */
const matches = new Map<string, readonly string[]>();

function randomText(schema: Schema, random: Random): string {
  if (schema.format === "date-time") return new Date(random.below(2 ** 31) * 1_000).toISOString();
  if (schema.pattern !== undefined) {
    const { pattern } = schema;
    const known =
      matches.get(pattern) ?? fc.sample(fc.stringMatching(new RegExp(pattern)), { numRuns: 30, seed: 1 });
    matches.set(pattern, known);
    return random.pick(known).slice(0, schema.maxLength ?? 1_000);
  }
  const text = random.isLucky(0.05) && schema.maxLength ? "x".repeat(schema.maxLength) : random.pick(TEXTS);
  return text.slice(0, schema.maxLength ?? 1_000).padEnd(schema.minLength ?? 0, "x");
}

function randomNumber(schema: Schema, random: Random): number {
  const isWhole = typesOf(schema)[0] === "integer";
  const low = schema.minimum ?? schema.exclusiveMinimum ?? 0;
  const high = schema.maximum ?? schema.exclusiveMaximum ?? low + 1_000;
  const chosen = random.pick([low, high, low + 1, low + random.next() * (high - low)]);
  const value = isWhole ? Math.round(chosen) : chosen;
  return schema.exclusiveMinimum !== undefined && value <= schema.exclusiveMinimum ? value + 1 : value;
}

/** Any JSON. */
export function junk(random: Random, depth = 0): unknown {
  const kind = random.below(depth > 3 ? 5 : 7);
  if (kind === 0) return null;
  if (kind === 1) return random.isLucky(0.5);
  if (kind === 2) return random.pick(NUMBERS);
  if (kind <= 4) return random.pick(TEXTS);
  if (kind === 5) return Array.from({ length: random.below(4) }, () => junk(random, depth + 1));
  return Object.fromEntries(
    Array.from({ length: random.below(4) }, () => [random.pick(TEXTS).slice(0, 20), junk(random, depth + 1)]),
  );
}

/** The value with one place of it replaced by something else, or taken out. */
export function spoilt(value: unknown, random: Random): unknown {
  if (typeof value !== "object" || value === null || random.isLucky(0.2)) return junk(random);
  if (Array.isArray(value)) {
    if (value.length === 0) return [junk(random)];
    const at = random.below(value.length);
    return value.map((item, index) => (index === at ? spoilt(item, random) : item));
  }
  const names = Object.keys(value);
  if (names.length === 0) return { [random.pick(TEXTS).slice(0, 20)]: junk(random) };
  const name = random.pick(names);
  const { [name]: old, ...others } = value as Record<string, unknown>;
  return random.isLucky(0.2) ? others : { ...others, [name]: spoilt(old, random) };
}
