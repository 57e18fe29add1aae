import { expect, test } from "bun:test";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import type { CapabilityConfig } from "../../src/contract/common.ts";
import { limits } from "../../src/contract/limits.ts";
import { inheritedGuards } from "../../src/db/tasks/_guarding.ts";

const approval = (mode?: string): CapabilityConfig => ({
  ref: "tool_approval",
  ...(mode === undefined ? {} : { config: { mode } }),
});
const word = (text: string) => ({ type: "blocklist", stage: "output", words: [text] });
const guards = (checks: object[], mode?: string): CapabilityConfig => ({
  ref: "guardrails",
  config: { ...(mode === undefined ? {} : { mode }), checks },
});
const other: CapabilityConfig = { ref: "web_fetch" };

const cases: [
  what: string,
  parent: CapabilityConfig[],
  own: CapabilityConfig[][],
  given: CapabilityConfig[],
][] = [
  ["nothing guards, nothing is given", [other], [[other]], []],
  ["who asks nobody is asked for", [approval("protective")], [[]], [approval("protective")]],
  ["without a word it is normal", [approval()], [[approval("off")]], [approval()]],
  ["as strict stands by itself", [approval("normal")], [[approval("normal")]], []],
  ["stricter stands by itself", [approval("normal")], [[approval("protective")]], []],
  [
    "the nearest layer says",
    [approval("normal")],
    [[approval("off")], [approval("protective")]],
    [approval("normal")],
  ],
  ["off asks nobody", [approval("off")], [[]], []],
  ["checks are given", [guards([word("a")])], [[other]], [guards([word("a")])]],
  ["checks add up", [guards([word("a")])], [[guards([word("b")])]], [guards([word("a"), word("b")])]],
  [
    "what blocks in one blocks in both",
    [guards([word("a")], "advisory")],
    [[], [guards([word("b")], "active")]],
    [guards([word("a"), word("b")], "active")],
  ],
];
for (const [what, parent, own, given] of cases) {
  test(what, () => expect(inheritedGuards(parent, own)).toEqual(given));
}

test("however many checks there are, what is given is a configuration that holds", () => {
  const many = Array.from({ length: limits.guardrailChecksMax }, (_, at) => word(`w${at}`));
  const [both = other] = inheritedGuards([guards([word("first"), ...many.slice(1)])], [[guards(many)]]);
  expect(createCapabilities().validate("guardrails", both?.config)).toBeNull();
  expect((both.config as { checks: unknown[] }).checks[0]).toEqual(word("first"));
});
