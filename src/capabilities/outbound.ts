/**
 * Where requests of ours may go, for whatever makes them: tools, checks of keys, MCP servers. Addresses are judged
 * again at each connection (`_safe-fetch.ts`); here is what can be said of a URL before anything is stored.
 */
import { type HostRule, matchesHostRule, parseHostRule } from "../base/host-rule.ts";
import { privateKind } from "./_address-guard.ts";
import { hostOf, portOf } from "./_network-rules.ts";
import { type Resolve, systemResolve } from "./_safe-fetch.ts";

export interface OutboundOptions {
  /** Private hosts that may be reached: `localhost:11434`, `10.0.0.0/8`. See `base/host-rule.ts`. */
  allowPrivateHosts?: readonly string[];
  /** Addresses of a host; the system's resolver when absent. */
  resolve?: Resolve;
  /** More certificate authorities, PEM. */
  extraCa?: string;
}

/** @throws Error a host rule that is none */
export function outboundPolicy(options: OutboundOptions) {
  return {
    allowPrivateHosts: hostRules(options.allowPrivateHosts ?? []),
    resolve: options.resolve ?? systemResolve,
    ...(options.extraCa ? { extraCa: options.extraCa } : {}),
  };
}

/**
 * Why no server can be at this address, for people; null when one may be. Plain http and hosts of this machine and
 * its network are only for what the operator allows. A name is not looked up: it may point elsewhere tomorrow.
 */
export function refuseServerUrl(text: string, allowPrivate: readonly HostRule[]): string | null {
  const url = URL.parse(text);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:")) {
    return "must be a whole https address, such as https://mcp.example.com/mcp";
  }
  if (url.username !== "" || url.password !== "")
    return "must carry no user name or password; use a key or header";
  const host = hostOf(url);
  if (allowPrivate.some((rule) => matchesHostRule(rule, { host, port: portOf(url), address: host })))
    return null;
  if (/^[0-9.]+$/.test(host) || host.includes(":")) {
    const kind = privateKind(host);
    if (kind !== null) return `${host} is a ${kind} address, which this server may not reach`;
  } else if (!host.includes(".") || /\.(?:localhost|local|internal|localdomain)$/.test(host)) {
    return `${host} is a name of this machine or its network, which this server may not reach`;
  }
  return url.protocol === "https:"
    ? null
    : "must begin with https://; a key would go in plain sight over http";
}

function hostRules(texts: readonly string[]): HostRule[] {
  return texts.map((text) => {
    const rule = parseHostRule(text);
    if (rule) return rule;
    throw new Error(`not a host rule: ${text}`);
  });
}
