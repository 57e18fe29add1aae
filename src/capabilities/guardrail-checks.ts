/**
 * PURE: checks that hold an agent within bounds: text of its answers, the calls that it makes, what tools give back.
 * Every rule looks at the text once, so that no pattern and no text can hold up a worker; a check that cannot be
 * finished within its share of work counts as a hit, as nothing is known about the text.
 */
import { z } from "zod";
import { UserError } from "../base/errors.ts";
import { limits } from "../contract/limits.ts";
import { compileLinearRegex, type LinearRegex, type Meter } from "./_linear-regex.ts";

export const GUARDRAIL_STAGES = ["output", "tool_use", "tool_output"] as const;
export type GuardrailStage = (typeof GUARDRAIL_STAGES)[number];

const ENTRIES_MAX = 100;
const ENTRY_CHARS_MAX = 500;
const REPLACEMENT_CHARS_MAX = 2_000;
const EXCERPT_CHARS_MAX = 120;
/** States visited for one text by all patterns of one check. */
const WORK_MAX = 10_000_000;

const Entries = z.array(z.string().min(1).max(ENTRY_CHARS_MAX)).min(1).max(ENTRIES_MAX);
const every = {
  id: z.string().min(1).max(64).optional().describe("Names the check in hits; by default its type and place"),
  on_fail: z.enum(["block", "log"]).default("block"),
  replacement: z
    .string()
    .max(REPLACEMENT_CHARS_MAX)
    .optional()
    .describe("What stands in for what was blocked"),
};
const anyStage = { ...every, stage: z.enum(GUARDRAIL_STAGES) };

const Check = z.discriminatedUnion("type", [
  z.object({ type: z.literal("regex"), ...anyStage, patterns: Entries.describe("Any of them matches") }),
  z.object({
    type: z.literal("blocklist"),
    ...anyStage,
    words: Entries.describe("Any of them occurs in the text"),
    case_sensitive: z.boolean().default(false),
  }),
  z.object({
    type: z.literal("tool_pattern"),
    ...every,
    stage: z.literal("tool_use"),
    tools: Entries.describe("Names of tools; * stands for any characters"),
  }),
]);

const Shape = z.object({
  mode: z
    .enum(["active", "advisory"])
    .default("active")
    .describe("advisory: hits are logged, nothing is blocked"),
  checks: z.array(Check).max(limits.guardrailChecksMax).default([]),
});

/** What `config` of the capability `guardrails` may say. Patterns are tried: one that cannot be used is refused. */
export const GuardrailsConfig = Shape.superRefine((config, context) => {
  for (const [index, check] of config.checks.entries()) {
    if (check.type !== "regex") continue;
    for (const pattern of check.patterns) {
      try {
        compile(pattern);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        context.addIssue({ code: "custom", path: ["checks", index, "patterns"], message: error.message });
      }
    }
  }
});
export type GuardrailsConfig = z.output<typeof GuardrailsConfig>;

export interface GuardrailHit {
  check_id: string;
  /** Place in `checks`, from 0. */
  check_index: number;
  rule_type: "regex" | "blocklist" | "tool_pattern";
  stage: GuardrailStage;
  /** What comes of it: in advisory mode nothing is blocked. */
  action: "block" | "log";
  /** `guardrail.<rule_type>` */
  reason_code: string;
  replacement: string | null;
  /** What matched, or the word; null when the check could not be finished. */
  matched: string | null;
}

export interface GuardedText {
  stage: GuardrailStage;
  text: string;
  /** Of the call, or of the result; null for an answer. */
  toolName: string | null;
}

export interface Guardrails {
  /** Stages at which something may be blocked. */
  blocks: ReadonlySet<GuardrailStage>;
  evaluate(input: GuardedText): GuardrailHit[];
}

/** Compiles checks that `GuardrailsConfig` has passed. */
export function createGuardrails(config: GuardrailsConfig): Guardrails {
  const rules = config.checks.map((check) => ({ check, find: finderOf(check) }));
  const actionOf = (onFail: "block" | "log") => (config.mode === "advisory" ? "log" : onFail);
  return {
    blocks: new Set(
      config.checks
        .filter(({ on_fail }) => actionOf(on_fail) === "block")
        .map(({ stage }): GuardrailStage => stage),
    ),
    evaluate(input) {
      return rules.flatMap(({ check, find }, index) => {
        const found = check.stage === input.stage ? find(input) : null;
        if (found === null) return [];
        return {
          check_id: check.id ?? `${check.type}#${index}`,
          check_index: index,
          rule_type: check.type,
          stage: check.stage,
          action: actionOf(check.on_fail),
          reason_code: `guardrail.${check.type}`,
          replacement: check.replacement ?? null,
          matched: found.matched,
        };
      });
    },
  };
}

type Finder = (input: GuardedText) => { matched: string | null } | null;

function finderOf(check: GuardrailsConfig["checks"][number]): Finder {
  switch (check.type) {
    case "regex": {
      const regexes = check.patterns.map(compile);
      return ({ text }) => findAny(regexes, text);
    }
    case "blocklist": {
      const fold = (text: string) => (check.case_sensitive ? text : text.toLowerCase());
      const words = check.words.map(fold);
      return ({ text }) => {
        const folded = fold(text);
        const word = words.find((each) => folded.includes(each));
        return word === undefined ? null : { matched: excerpt(word) };
      };
    }
    case "tool_pattern": {
      const patterns = check.tools.map((tool) => tool.split("*"));
      return ({ toolName }) =>
        toolName !== null && patterns.some((parts) => matchesParts(parts, toolName))
          ? { matched: excerpt(toolName) }
          : null;
    }
  }
}

/** A pattern like those of other tools: `(?i)` in front makes it blind to case. */
function compile(pattern: string): LinearRegex {
  const isBlind = pattern.startsWith("(?i)");
  return compileLinearRegex(isBlind ? pattern.slice(4) : pattern, { ignoreCase: isBlind });
}

function findAny(regexes: readonly LinearRegex[], text: string): { matched: string | null } | null {
  const meter: Meter = { left: WORK_MAX };
  for (const regex of regexes) {
    // A pattern speaks of one line, as everywhere else in the house.
    for (const line of text.split("\n")) {
      const end = regex.matchEnd(line, meter);
      if (meter.left < 0) return { matched: null };
      if (end !== null) return { matched: shortestMatch(regex, line, end) };
    }
  }
  return null;
}

/** The latest beginning of a match that ends there, found by halving; cut to the length of an excerpt. */
function shortestMatch(regex: LinearRegex, line: string, end: number): string {
  let from = Math.max(0, end - EXCERPT_CHARS_MAX);
  let to = end;
  while (to - from > 1) {
    const middle = (from + to) >> 1;
    if (regex.test(line.slice(middle, end), { left: WORK_MAX })) from = middle;
    else to = middle;
  }
  return line.slice(from, end);
}

/** `a*b` as `["a", "b"]`: the first part begins the name, the last ends it, the others come in order between. */
function matchesParts(parts: readonly string[], name: string): boolean {
  const [first = "", ...rest] = parts;
  if (rest.length === 0) return name === first;
  if (!name.startsWith(first)) return false;
  const last = rest.pop() ?? "";
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

const excerpt = (text: string) => text.slice(0, EXCERPT_CHARS_MAX);
