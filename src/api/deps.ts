import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { ConnectionCheck } from "../capabilities/connection-check.ts";
import type { Capabilities } from "../capabilities/registry.ts";
import type { Finding } from "../contract/agent-analysis.ts";
import type { ContextReport } from "../contract/session-view.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import type { SealedProvider } from "../db/providers/sync.ts";
import type { Access } from "./access/access.ts";
import type { Feed } from "./events/feed.ts";
import type { StreamLimits } from "./events/stream-limits.ts";
import type { ClientAddresses } from "./http/client-address.ts";
import type { Cors } from "./http/cors.ts";
import type { Identify } from "./http/identify.ts";
import type { OrganizationCaps } from "./http/organization-caps.ts";
import type { RateLimit } from "./http/rate-limit.ts";
import type { FiguresHistory } from "./operations/figures-history.ts";

/** What the routes need. The composition root builds it; nothing below reads the environment. */
export interface ApiDeps {
  db: Db;
  log: Log;
  clock: Clock;
  identify: Identify;
  /** How the callers came by their credentials. */
  access: Access;
  /** From where requests come. */
  addresses: ClientAddresses;
  cors: Cors;
  /** null: as many requests as come. */
  rateLimit: RateLimit | null;
  caps: OrganizationCaps;
  capabilities: CapabilityCatalog;
  /** Encrypts a secret for the place where it is stored; it opens only there (base/seal.ts, `sealPlace`). */
  seal(plaintext: string, place: string): string;
  /**
   * The models that a provider lists, by the vendor's names; null when it has no list.
   *
   * @throws UserError provider_misconfigured   it refuses the key, or is no such server
   * @throws UserError, RetryableError          with another code of a failed turn: it could not be asked
   */
  listModels(provider: SealedProvider, organizationId: string, signal: AbortSignal): Promise<string[] | null>;
  /** What a model finds amiss with an agent; when it cannot be asked, one finding that says why. */
  reviewAgent(
    agent: {
      organizationId: string;
      modelId: string;
      prompt: string;
      tools: readonly { name: string; description: string }[];
    },
    signal: AbortSignal,
  ): Promise<Finding[]>;
  /** Asks a service whether the key that is sealed there is valid; the API itself opens nothing. */
  checkConnection(provider: string, key: { sealed: string; place: string }): Promise<ConnectionCheck>;
  hints: Hints;
  feed: Feed;
  streams: StreamLimits;
  figures: Pick<FiguresHistory, "timeSeries">;
  /** What the next model call of a session would carry; null when there is no such session. The engine counts it. */
  reportContext(session: { organizationId: string; sessionId: string }): Promise<ContextReport | null>;
  /** Fires when the server goes down: open streams say so and close. */
  shutdown: AbortSignal;
  version: string;
  /** null when requests can be served; otherwise what is missing, in words without secrets. Never rejects. */
  isReady(): Promise<string | null>;
}

/** The capabilities that this program has, as far as the API needs them: it runs none of their tools. */
export type CapabilityCatalog = Pick<
  Capabilities,
  "list" | "find" | "validate" | "resolve" | "refuseServerUrl"
>;
