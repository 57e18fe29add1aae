import { UserError } from "../../base/errors.ts";
import type { Role, Scope, SessionRight } from "../../contract/access.ts";
import { ANONYMOUS_USER, principalOf } from "../../db/access/users.ts";

/** Who is calling. Every query that answers a caller names its organization. */
export interface Caller {
  organizationId: string;
  /** Who owns what the caller makes. */
  principalId: string;
  userId: string;
  role: Role;
  /** Manages the organization: settings, providers, members, their tokens. Role and token both say so. */
  isAdmin: boolean;
  /** Changes resources. Role and token both say so. */
  canWrite: boolean;
  credential: Credential;
}

/** With what the caller came. */
export type Credential =
  /** The server runs without authentication. */
  | { kind: "none" }
  | { kind: "login"; id: string }
  | {
      kind: "token";
      id: string;
      scopes: readonly Scope[];
      organizationIds: readonly string[];
      /** null: it does not end by itself. */
      expiresAt: Date | null;
    }
  | { kind: "session"; sessionId: string; rights: readonly SessionRight[] };

/** @throws UserError the request does not come from somebody who may call this server */
export type Identify = (request: Request) => Caller | Promise<Caller>;

export const DEFAULT_ORGANIZATION = "org_00000000000000000000000000000001";

const ANONYMOUS: Caller = {
  organizationId: DEFAULT_ORGANIZATION,
  principalId: principalOf(ANONYMOUS_USER),
  userId: ANONYMOUS_USER,
  role: "owner",
  isAdmin: true,
  canWrite: true,
  credential: { kind: "none" },
};
/** Methods that change nothing. */
export const READ_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Without authentication everyone is the anonymous admin of the default organization, whatever Authorization
 * says. So the request must come from this machine's own programs: a page of another site that reached the port
 * (by DNS rebinding, or by a plain cross-site request) is refused by its Host or Origin header.
 *
 * @param allowedHosts    names besides loopback that this server answers to, without port
 * @param allowedOrigins  pages of other sites that the operator lets in, `https://app.example.com`
 */
export function identifyAnonymous(options: {
  allowedHosts: readonly string[];
  allowedOrigins?: readonly string[];
}): (request: Request) => Caller {
  const allowed = new Set(options.allowedHosts.map((host) => bare(host)));
  const origins = new Set(options.allowedOrigins ?? []);
  const isOurs = (hostname: string) => isLoopback(hostname) || allowed.has(hostname);
  return (request) => {
    const host = request.headers.get("host") ?? new URL(request.url).host;
    if (!isOurs(hostnameOf(host))) {
      throw new UserError(
        "forbidden_host",
        `this server runs without authentication and does not answer to the host name ${JSON.stringify(host.slice(0, 100))}`,
      );
    }
    const origin = request.headers.get("origin");
    const isStrange = origin !== null && !origins.has(origin) && !isOurs(originHostname(origin));
    if (isStrange && !READ_METHODS.has(request.method)) {
      throw new UserError(
        "forbidden",
        "this server runs without authentication and takes no changes from other sites",
      );
    }
    const organization = request.headers.get("x-org-id");
    if (organization !== null && organization !== DEFAULT_ORGANIZATION) {
      throw new UserError("not_found", "Organization not found");
    }
    return ANONYMOUS;
  };
}

/** 127.0.0.0/8, ::1, localhost and names under .localhost, which never leave the machine (RFC 6761). */
export function isLoopback(hostname: string): boolean {
  if (hostname === "localhost" || hostname.endsWith(".localhost") || hostname === "::1") return true;
  return /^127(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(hostname);
}

/** The name in a Host header: without port, brackets and a final dot, in lower case. */
function hostnameOf(host: string): string {
  const bracketed = /^\[([0-9a-f:.]+)\](?::\d{1,5})?$/i.exec(host);
  if (bracketed) return bracketed[1]?.toLowerCase() ?? "";
  const plain = /^([^:[\]@/\\?#\s]+)(?::\d{1,5})?$/.exec(host);
  return bare(plain?.[1] ?? "");
}

function originHostname(origin: string): string {
  const scheme = /^https?:\/\//i.exec(origin);
  return scheme ? hostnameOf(origin.slice(scheme[0].length)) : "";
}

function bare(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
}
