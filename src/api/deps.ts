import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Hints } from "../db/hints.ts";
import type { Db } from "../db/pool.ts";
import type { Feed } from "./feed.ts";
import type { Identify } from "./identify.ts";
import type { StreamLimits } from "./stream-limits.ts";

/** What the routes need. The composition root builds it; nothing below reads the environment. */
export interface ApiDeps {
  db: Db;
  log: Log;
  clock: Clock;
  identify: Identify;
  capabilities: CapabilityCatalog;
  /** Encrypts a secret for the place where it is stored; it opens only there (base/seal.ts, `sealPlace`). */
  seal(plaintext: string, place: string): string;
  hints: Hints;
  feed: Feed;
  streams: StreamLimits;
  /** Fires when the server goes down: open streams say so and close. */
  shutdown: AbortSignal;
  version: string;
  /** null when requests can be served; otherwise what is missing, in words without secrets. Never rejects. */
  isReady(): Promise<string | null>;
}

/** A capability as the API shows it. */
export interface CapabilityEntry {
  id: string;
  name: string;
  description: string;
  category: string;
  icon: string;
  risk_level: "low" | "medium" | "high";
  features: readonly string[];
  dependencies: readonly string[];
  /** JSON Schema of `config`; null when the capability takes none. */
  config_schema: Record<string, unknown> | null;
  /** What it adds to the system prompt without any configuration; null adds nothing. */
  system_prompt: string | null;
  tool_definitions: readonly Record<string, unknown>[];
}

/** The capabilities that this program has. */
export interface CapabilityCatalog {
  list(): readonly CapabilityEntry[];
  find(id: string): CapabilityEntry | null;
  /** null when `ref` exists and takes this configuration; otherwise what is wrong, in words for people. */
  validate(ref: string, config: unknown): string | null;
}
