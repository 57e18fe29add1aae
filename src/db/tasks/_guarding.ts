/**
 * Handing work to another agent is no way around a person's approval or a guardrail: what holds for the turn that
 * hands out holds for the work, too, or something stricter of the other agent's own.
 */
import type { CapabilityConfig } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";

const APPROVAL = "tool_approval";
const GUARDRAILS = "guardrails";

/**
 * PURE: what the session of the work is given.
 *
 * @param parent  capabilities of the turn that hands out
 * @param own     layers of the agent that works, the nearest one first
 */
export function inheritedGuards(
  parent: readonly CapabilityConfig[],
  own: readonly (readonly CapabilityConfig[])[],
): CapabilityConfig[] {
  const find = (ref: string, layers: readonly (readonly CapabilityConfig[])[]) =>
    layers.flatMap((layer) => layer.find((each) => each.ref === ref) ?? [])[0];
  const approval = find(APPROVAL, [parent]);
  const guardrails = find(GUARDRAILS, [parent]);
  return [
    ...(approval && strictness(approval) > strictness(find(APPROVAL, own)) ? [approval] : []),
    ...(guardrails ? [bothOf(guardrails, find(GUARDRAILS, own))] : []),
  ];
}

/** As in the capability `tool_approval`: without a word it is `normal`. */
function strictness(approval: CapabilityConfig | undefined): number {
  if (approval === undefined) return 0;
  const { mode = "normal" } = (approval.config ?? {}) as { mode?: string };
  return ["off", "normal", "protective"].indexOf(mode);
}

interface Checks {
  mode?: string;
  checks?: unknown[];
}

/** Every check of both, the first one's first when there are too many; in earnest when one of them is. */
function bothOf(theirs: CapabilityConfig, own: CapabilityConfig | undefined): CapabilityConfig {
  if (own === undefined) return theirs;
  const [a, b] = [theirs, own].map(({ config }) => (config ?? {}) as Checks) as [Checks, Checks];
  const checks = [...(a.checks ?? []), ...(b.checks ?? [])].slice(0, limits.guardrailChecksMax);
  const earnest = [a, b].find(({ mode }) => mode !== "advisory") ?? a;
  return {
    ref: GUARDRAILS,
    config: { ...(earnest.mode === undefined ? {} : { mode: earnest.mode }), checks },
  };
}
