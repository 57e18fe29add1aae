import { systemClock } from "../base/clock.ts";
import { UserError } from "../base/errors.ts";
import { limits } from "../contract/limits.ts";
import { PROVIDER_TYPES } from "../contract/provider.ts";
import { createAnthropicDriver } from "./anthropic.ts";
import type { Driver } from "./driver.ts";
import { createChatDriver } from "./openai-chat.ts";
import { createResponsesDriver } from "./openai-responses.ts";
import type { CallDeps } from "./retry.ts";
import { createSimDriver, createSimMemory, type SimMemory } from "./sim.ts";
import type { VendorOptions } from "./vendor.ts";
import type { FetchLike } from "./watch.ts";

export interface DriverOptions {
  providerType: string;
  /** The clear text key, or null. */
  apiKey: string | null;
  /** Null for the vendor's own address. */
  baseUrl: string | null;
  fetch?: FetchLike;
}

/** Shared by all drivers of a process. */
export interface DriverDeps extends CallDeps {
  simMemory: SimMemory;
}

export function createDriverDeps(overrides: Partial<DriverDeps> = {}): DriverDeps {
  return {
    clock: systemClock,
    random: Math.random,
    // A redirect would carry the key to another address, and `x-api-key` even to another host.
    fetch: (input, init) => fetch(input, { ...init, redirect: "manual" }),
    stallMs: limits.providerStallMs,
    retriesMax: limits.providerRetriesMax,
    backoff: { baseMs: limits.providerRetryBaseMs, capMs: limits.providerRetryCapMs },
    retryAfterMaxMs: limits.providerRetryAfterMaxMs,
    simMemory: createSimMemory(),
    ...overrides,
  };
}

/**
 * The driver for a provider row.
 *
 * @throws UserError("provider_misconfigured")  unknown type, an address that is not http(s), or no key where the
 *                                              vendor's own address needs one
 */
export function createDriver(options: DriverOptions, deps: DriverDeps): Driver {
  const withFetch = options.fetch ? { ...deps, fetch: options.fetch } : deps;
  if (options.providerType === "llmsim") return createSimDriver(withFetch);
  const vendor = checkVendor(options);
  switch (options.providerType) {
    case "openai":
      return createResponsesDriver(vendor, withFetch);
    case "openai_completions":
      return createChatDriver(vendor, withFetch);
    case "anthropic":
      return createAnthropicDriver(vendor, withFetch);
    default:
      throw misconfigured(
        `unknown provider type ${options.providerType}; known: ${PROVIDER_TYPES.join(", ")}`,
      );
  }
}

function checkVendor(options: DriverOptions): VendorOptions {
  const apiKey = options.apiKey?.trim() || null;
  const baseUrl = options.baseUrl?.trim() || null;
  if (baseUrl === null && apiKey === null) {
    throw misconfigured(`the ${options.providerType} provider has no API key`);
  }
  if (baseUrl !== null) checkBaseUrl(baseUrl);
  return { apiKey, baseUrl };
}

/**
 * Any http or https address is allowed, private ones too: a provider row is the operator's own word, and local
 * model servers are the usual reason for one. Other schemes and embedded credentials are refused.
 *
 * @throws UserError("provider_misconfigured")
 */
export function checkBaseUrl(baseUrl: string): void {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw misconfigured("base_url must be an http or https address");
  }
  if (url.username !== "" || url.password !== "") {
    throw misconfigured("base_url must not carry credentials; give the key as api_key");
  }
}

function misconfigured(message: string): UserError {
  return new UserError("provider_misconfigured", message);
}
