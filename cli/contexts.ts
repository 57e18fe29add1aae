/**
 * Which server the client commands talk to, and with which token. Several servers have names in a file that only its
 * owner can read; one of them is current.
 *
 * What is said on the command line or in the environment goes before the file. A token of the file is sent to its own
 * server and to no other: whoever names another address brings a key in EVERRUNS_API_KEY, or none.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { z } from "zod";
import { describeError, UserError } from "../src/base/errors.ts";
import { normalizeBaseUrl } from "../src/client/client.ts";
import { type CommandContext, UsageError } from "./action.ts";

export const DEFAULT_API_URL = "http://127.0.0.1:9000";

const ServerSchema = z.object({
  api_url: z.string(),
  token: z.string().optional(),
  /** For tokens of several organizations. */
  organization_id: z.string().optional(),
});
const FileSchema = z.object({
  current: z.string().nullable().default(null),
  contexts: z.record(z.string(), ServerSchema).default({}),
});
export type StoredServer = z.infer<typeof ServerSchema>;
export type ContextFile = z.infer<typeof FileSchema>;

type Env = CommandContext["env"];

export interface Server {
  baseUrl: string;
  apiKey: string | null;
  organizationId: string | null;
  /** Of the context; null when the address was said otherwise. */
  context: string | null;
}

/** Flags that say which server. */
export interface ServerFlags {
  apiUrl?: string | undefined;
  context?: string | undefined;
}

/** @throws UsageError no such context. @throws UserError config_file_invalid */
export function serverOf(env: Env, flags: ServerFlags): Server {
  const keyOfEnvironment = env.EVERRUNS_API_KEY || null;
  const organizationId = env.EVERRUNS_ORG_ID || null;
  const said = flags.apiUrl ?? (flags.context === undefined ? env.EVERRUNS_API_URL || undefined : undefined);
  const nameless = {
    baseUrl: said ?? DEFAULT_API_URL,
    apiKey: keyOfEnvironment,
    organizationId,
    context: null,
  };
  // With a key of its own an address needs no file, whatever state that is in.
  if (said !== undefined && keyOfEnvironment !== null) return nameless;
  const file = readContexts(env);
  const name = flags.context ?? (env.EVERRUNS_CONTEXT || file.current);
  if (name === null) return nameless;
  const stored = contextNamed(file, name);
  if (said !== undefined && !isSameServer(said, stored.api_url)) return nameless;
  return {
    baseUrl: stored.api_url,
    apiKey: keyOfEnvironment ?? stored.token ?? null,
    organizationId: organizationId ?? stored.organization_id ?? null,
    context: name,
  };
}

/** An address that cannot be read is nobody's; whoever asks there says what is wrong with it. */
function isSameServer(one: string, other: string): boolean {
  try {
    return normalizeBaseUrl(one) === normalizeBaseUrl(other);
  } catch {
    return false;
  }
}

/** @throws UsageError */
export function contextNamed(file: ContextFile, name: string): StoredServer {
  const stored = Object.hasOwn(file.contexts, name) ? file.contexts[name] : undefined;
  if (stored) return stored;
  const names = Object.keys(file.contexts);
  const known =
    names.length === 0 ? "there is none yet: everruns login makes one" : `there are ${names.join(", ")}`;
  throw new UsageError(`there is no context ${name}; ${known}`);
}

/** EVERRUNS_CONFIG, else `everruns/config.json` where programs keep their settings. */
export function contextsPath(env: Env): string {
  if (env.EVERRUNS_CONFIG) return env.EVERRUNS_CONFIG;
  const xdg = env.XDG_CONFIG_HOME;
  return join(xdg && isAbsolute(xdg) ? xdg : join(env.HOME || homedir(), ".config"), "everruns/config.json");
}

/** Empty when there is no file. @throws UserError config_file_invalid */
export function readContexts(env: Env): ContextFile {
  const path = contextsPath(env);
  if (!existsSync(path)) return { current: null, contexts: {} };
  try {
    return FileSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? (error.issues[0]?.message ?? "") : describeError(error);
    throw new UserError("config_file_invalid", `${path} cannot be read: ${why}`);
  }
}

/** Written whole or not at all, and for its owner alone: there are tokens in it. */
export function writeContexts(env: Env, file: ContextFile): void {
  const path = contextsPath(env);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  chmodSync(draft, 0o600);
  renameSync(draft, path);
}
