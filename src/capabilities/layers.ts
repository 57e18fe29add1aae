/**
 * PURE: how the layers of a configuration become one: harness chain, agent, session, farthest first. The engine merges
 * so at the start of a turn, the API for previews.
 */
import type {
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
} from "../contract/common.ts";

/** `allowed` empty: every host. */
export interface MergedNetwork {
  allowed: string[];
  blocked: string[];
}

/** A host that no request can name: stands for "nothing is allowed". */
const NO_HOST = "nothing.invalid";

/** Prompt texts in the order of the layers, parted by an empty line; empty when there are none. */
export function mergePrompts(texts: readonly (string | null | undefined)[]): string {
  return texts
    .map((text) => text?.trim() ?? "")
    .filter((text) => text !== "")
    .join("\n\n");
}

/** Each capability once, at its first place; of two configurations the later layer's stands. */
export function mergeCapabilities(layers: readonly (readonly CapabilityConfig[])[]): CapabilityConfig[] {
  const merged = new Map<string, CapabilityConfig>();
  for (const capability of layers.flat()) {
    const before = merged.get(capability.ref);
    merged.set(capability.ref, capability.config === undefined && before ? before : capability);
  }
  return [...merged.values()];
}

/** Of two tools of one name the later layer's stands. Only client-side ones can be brought along. */
export function mergeClientTools(layers: readonly (readonly ToolDefinition[])[]): ToolDefinition[] {
  const tools = layers.flat().filter((tool) => tool.type === "client_side");
  return [...new Map(tools.map((tool) => [tool.name, tool])).values()];
}

/** Of two files at one path the later layer's stands. */
export function mergeFiles(layers: readonly (readonly InitialFile[])[]): InitialFile[] {
  return [...new Map(layers.flat().map((file) => [file.path, file])).values()];
}

/** Of two MCP servers of one name the later layer's stands, whole. */
export function mergeMcpServers(layers: readonly McpServers[]): McpServers {
  return Object.fromEntries(layers.flatMap((servers) => Object.entries(servers)));
}

/** Allowed lists intersect, blocked ones add up: a layer can only narrow what the ones below it let through. */
export function mergeNetwork(layers: readonly (NetworkAccessList | null)[]): MergedNetwork {
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
