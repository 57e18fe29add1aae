/**
 * PURE: the configuration of one turn, merged from its layers: harness chain (farthest first), agent, session.
 * Prompt texts are joined in that order; of two configurations of one capability the later layer's stands; of
 * network rules the allowed lists intersect and the blocked ones add up; of single values the nearest wins.
 */
import type { CapabilityConfig, NetworkAccessList, ToolDefinition } from "../contract/common.ts";
import { limits } from "../contract/limits.ts";
import type { ConfigLayer, TurnConfig } from "../db/sessions.ts";

export interface TurnPlan {
  systemPrompt: string;
  capabilities: CapabilityConfig[];
  /** Tools that the client runs; of two of one name the session's stands. */
  clientTools: ToolDefinition[];
  /** `allowed` empty: every host. */
  network: { allowed: string[]; blocked: string[] };
  iterationsMax: number;
  /** null leaves it to the provider. */
  parallelToolCalls: boolean | null;
}

/** A host that no request can name: stands for "nothing is allowed". */
const NO_HOST = "nothing.invalid";

export function planTurn(config: TurnConfig): TurnPlan {
  const nearestFirst: ConfigLayer[] = [
    config.session,
    ...(config.agent ? [config.agent] : []),
    ...config.harnesses,
  ];
  const layers = [...nearestFirst].reverse();
  return {
    systemPrompt: layers
      .map((layer) => layer.system_prompt?.trim() ?? "")
      .filter((text) => text !== "")
      .join("\n\n"),
    capabilities: mergeCapabilities(layers.map((layer) => layer.capabilities)),
    clientTools: mergeClientTools([config.agent?.tools ?? [], config.session.tools]),
    network: mergeNetwork(layers.map((layer) => layer.network_access)),
    iterationsMax: config.session.max_iterations ?? config.agent?.max_iterations ?? limits.iterationsDefault,
    parallelToolCalls:
      nearestFirst.map((layer) => layer.parallel_tool_calls).find((value) => value !== null) ?? null,
  };
}

export function mergeCapabilities(layers: readonly (readonly CapabilityConfig[])[]): CapabilityConfig[] {
  const merged = new Map<string, CapabilityConfig>();
  for (const capability of layers.flat()) {
    const before = merged.get(capability.ref);
    merged.set(capability.ref, capability.config === undefined && before ? before : capability);
  }
  return [...merged.values()];
}

export function mergeClientTools(layers: readonly (readonly ToolDefinition[])[]): ToolDefinition[] {
  const tools = layers.flat().filter((tool) => tool.type === "client_side");
  return [...new Map(tools.map((tool) => [tool.name, tool])).values()];
}

export function mergeNetwork(layers: readonly (NetworkAccessList | null)[]): TurnPlan["network"] {
  let allowed: string[] = [];
  const blocked = new Set<string>();
  for (const layer of layers) {
    for (const host of layer?.blocked ?? []) blocked.add(host);
    const own = layer?.allowed ?? [];
    if (own.length === 0) continue;
    allowed = allowed.length === 0 ? own : intersect(allowed, own);
    if (allowed.length === 0) allowed = [NO_HOST];
  }
  return { allowed: [...allowed], blocked: [...blocked] };
}

/** The narrower of each pair in which one rule covers the other: `docs.example.com` lies within `*.example.com`. */
function intersect(outer: readonly string[], inner: readonly string[]): string[] {
  const kept = new Set<string>();
  for (const a of outer) {
    for (const b of inner) {
      if (covers(a, b)) kept.add(b);
      else if (covers(b, a)) kept.add(a);
    }
  }
  return [...kept];
}

/**
 * True when everything that `inner` lets through, `outer` lets through, too. The forms are those of the web_fetch
 * rules: a host, `*.host` (it and all below it), either with a port, a URL prefix, `*`. In doubt false: an
 * intersection may be too narrow, never too wide.
 */
function covers(outer: string, inner: string): boolean {
  const [a, b] = [outer.trim().toLowerCase(), inner.trim().toLowerCase()];
  if (a === "*" || a === b) return true;
  if (a.includes("://")) return b.includes("://") && b.startsWith(a.endsWith("/") ? a : `${a}/`);
  const host = b.includes("://") ? (URL.parse(b)?.host ?? "") : b;
  if (!a.startsWith("*.")) return host === a || (!a.includes(":") && host.replace(/:\d+$/, "") === a);
  const below = host.replace(/^\*\./, "").replace(/:\d+$/, "");
  return !a.includes(":") && (below === a.slice(2) || below.endsWith(a.slice(1)));
}
