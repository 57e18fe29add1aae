/**
 * Which URLs a turn may reach: `example.com` is that host, `*.example.com` the host and all below it,
 * `https://example.com/api/` everything whose URL begins so, `*` everything. Blocked wins over allowed; an empty
 * allow list allows all.
 */
export interface NetworkRules {
  allowed: readonly string[];
  blocked: readonly string[];
}

/** Says why the URL is refused, for the model; null lets it through. */
export function refuseUrl(url: URL, rules: NetworkRules): string | null {
  if (rules.blocked.some((pattern) => matches(pattern, url))) {
    return `${url.hostname} is blocked for this agent`;
  }
  if (rules.allowed.length === 0 || rules.allowed.some((pattern) => matches(pattern, url))) return null;
  return `${url.hostname} is not among the hosts that this agent may reach: ${rules.allowed.join(", ")}`;
}

function matches(pattern: string, url: URL): boolean {
  const text = pattern.trim().toLowerCase();
  if (text === "*") return true;
  if (text.includes("://")) return hasPrefix(pattern.trim(), url);
  const host = hostOf(url);
  const { name, port } = splitPort(text);
  if (port !== null && port !== portOf(url)) return false;
  if (name.startsWith("*.")) return host === name.slice(2) || host.endsWith(name.slice(1));
  return host === name;
}

/** `https://example.com/api` covers `/api`, `/api/x` and `/api?x`, and not `/apix`. */
function hasPrefix(pattern: string, url: URL): boolean {
  const prefix = URL.parse(pattern);
  if (!prefix || prefix.protocol !== url.protocol) return false;
  if (hostOf(prefix) !== hostOf(url) || portOf(prefix) !== portOf(url)) return false;
  const path = prefix.pathname;
  return path.endsWith("/")
    ? url.pathname.startsWith(path)
    : url.pathname === path || url.pathname.startsWith(`${path}/`);
}

/** `example.com.` is `example.com`; brackets belong to the URL, not to the address. */
export function hostOf(url: URL): string {
  return url.hostname
    .replace(/^\[|\]$/g, "")
    .replace(/\.$/, "")
    .toLowerCase();
}

export function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}

function splitPort(text: string): { name: string; port: number | null } {
  const match = /^(.*[^:]):(\d{1,5})$/.exec(text);
  const name = (match?.[1] ?? text).replace(/^\[|\]$/g, "").replace(/\.$/, "");
  return { name, port: match ? Number(match[2]) : null };
}
