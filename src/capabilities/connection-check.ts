/** The services that users connect accounts of, and how each tells whether a key is valid: one small request. */
import { type Fetched, type SafeFetchPolicy, safeFetch } from "./_safe-fetch.ts";
import { type OutboundOptions, outboundPolicy } from "./outbound.ts";
import { ToolError } from "./tool.ts";

export interface ConnectionService {
  provider: string;
  displayName: string;
  description: string;
  instructionsUrl: string;
}

interface Check {
  url: string;
  headers(key: string): Record<string, string>;
  /** What an answer says about the account beside that the key is valid. */
  account?(answer: Fetched): { username: string | null; scopes: string | null };
}

export interface ConnectionCheck {
  valid: boolean;
  /** Why not, or why that could not be found out; for people, without the key. */
  error: string | null;
  username: string | null;
  scopes: string | null;
}

const SERVICES: readonly (ConnectionService & { check: Check })[] = [
  {
    provider: "brave_search",
    displayName: "Brave Search",
    description: "Searches the web.",
    instructionsUrl: "https://api-dashboard.search.brave.com/app/keys",
    check: {
      url: "https://api.search.brave.com/res/v1/web/search?q=brave&count=1",
      headers: (key) => ({ "x-subscription-token": key, accept: "application/json" }),
    },
  },
  {
    provider: "daytona",
    displayName: "Daytona",
    description: "Sandboxes that run code.",
    instructionsUrl: "https://app.daytona.io/dashboard/keys",
    check: {
      url: "https://app.daytona.io/api/sandbox",
      headers: (key) => ({ authorization: `Bearer ${key}`, accept: "application/json" }),
    },
  },
  {
    provider: "e2b",
    displayName: "E2B",
    description: "Sandboxes that run code.",
    instructionsUrl: "https://e2b.dev/dashboard?tab=keys",
    check: {
      url: "https://api.e2b.app/sandboxes",
      headers: (key) => ({ "x-api-key": key, accept: "application/json" }),
    },
  },
  {
    provider: "github",
    displayName: "GitHub",
    description: "Repositories, by a personal access token.",
    instructionsUrl: "https://github.com/settings/tokens",
    check: {
      url: "https://api.github.com/user",
      headers: (key) => ({ authorization: `Bearer ${key}`, accept: "application/vnd.github+json" }),
      account: githubAccount,
    },
  },
];

const TIMEOUT_MS = 15_000;
const BYTES_MAX = 256 * 1024;
const NO_ACCOUNT = { username: null, scopes: null };

export const connectionServices: readonly ConnectionService[] = SERVICES;

/** Asks a service whether a key is valid. Never rejects for what happens out there. */
export type CheckConnection = (provider: string, key: string) => Promise<ConnectionCheck>;

export function createConnectionCheck(
  options: OutboundOptions & { timeoutMs?: number } = {},
): CheckConnection {
  const policy: SafeFetchPolicy = {
    ...outboundPolicy(options),
    network: { allowed: [], blocked: [] },
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    bytesMax: BYTES_MAX,
    // The key must not follow to where an answer points.
    redirectsMax: 0,
  };
  return async (provider, key) => {
    const service = SERVICES.find((one) => one.provider === provider);
    if (!service) return { valid: false, error: "the service is not known", ...NO_ACCOUNT };
    const { check, displayName } = service;
    try {
      const answer = await safeFetch(
        check.url,
        { ...policy, headers: check.headers(key) },
        new AbortController().signal,
        () => null,
      );
      if (answer.status < 300) {
        return { valid: true, error: null, ...(check.account?.(answer) ?? NO_ACCOUNT) };
      }
      const isRefused = answer.status === 401 || answer.status === 403 || answer.status === 422;
      const error = isRefused
        ? `${displayName} refuses the key (status ${answer.status})`
        : `${displayName} answered with status ${answer.status}; try again later`;
      return { valid: false, error, ...NO_ACCOUNT };
    } catch (error) {
      if (error instanceof ToolError) return { valid: false, error: error.message, ...NO_ACCOUNT };
      throw error;
    }
  };
}

function githubAccount({ body, headers }: Fetched): { username: string | null; scopes: string | null } {
  const scopes = headers.get("x-oauth-scopes")?.slice(0, 1_000) || null;
  try {
    const login: unknown = JSON.parse(new TextDecoder().decode(body)).login;
    return { username: typeof login === "string" ? login.slice(0, 200) : null, scopes };
  } catch {
    return { username: null, scopes };
  }
}
