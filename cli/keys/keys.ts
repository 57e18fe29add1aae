/**
 * `everruns keys`: access tokens. With a server that is named (by flag, environment or context) they are the caller's own
 * there, over its API; else they are made in this machine's database, which needs no token: so the first one comes about.
 */
import { stringify } from "yaml";
import { isId } from "../../src/base/id.ts";
import type { Scope } from "../../src/contract/access.ts";
import { asRetryable } from "../../src/db/sqlstate.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { confirm } from "../confirm.ts";
import { readContexts } from "../contexts.ts";
import type { Format } from "../resources/formats.ts";
import { printItem } from "../resources/output.ts";
import { table } from "../table.ts";
import { openKeysOfDatabase } from "./database.ts";
import { openKeysOfServer } from "./server.ts";

export type KeysAction = "create" | "list" | "revoke";

/** A token as it is shown: never the token itself. */
export interface Key {
  id: string;
  name: string;
  /** The user's address, where it is known. */
  user?: string;
  user_id: string;
  scopes: readonly Scope[];
  organization_ids: readonly string[];
  created_at: string;
  /** null: never. */
  expires_at: string | null;
  last_used_at: string | null;
}

/** Where tokens are kept. */
export interface KeyPlace {
  /** Ends "… at". */
  where: string;
  list(user: string | undefined): Promise<Key[]>;
  create(input: {
    name: string;
    scopes: Scope[];
    user: string | undefined;
    /** null: the one that is the user's own. */
    organizations: string[] | null;
    expiresAt: Date | null;
  }): Promise<Key & { token: string }>;
  /** @returns whose it was */
  revoke(id: string): Promise<string>;
  close(): Promise<void>;
}

interface KeysFlags extends Record<string, unknown> {
  ids: readonly string[];
  user?: string;
  name: string;
  scopes: string;
  org?: string;
  expiresDays?: string;
  output: Format;
  /** The same as `output: "json"`. */
  json?: boolean;
  apiUrl?: string;
  context?: string;
  dataDir?: string;
  databaseUrl?: string;
  verbose?: boolean;
  yes?: boolean;
}

const SCOPES: readonly Scope[] = ["read", "write", "admin"];
const DAY_MS = 86_400_000;

export async function keysCommand(
  action: KeysAction,
  flags: KeysFlags,
  context: CommandContext,
): Promise<undefined> {
  const scopes = readScopes(flags.scopes);
  const expiresAt = readExpiry(flags.expiresDays);
  const organizations = readOrganizations(flags.org);
  const { ids, user } = flags;
  if (action === "revoke" && (ids.length === 0 || !ids.every((id) => isId("pat", id)))) {
    throw new UsageError(
      "which token? everruns keys revoke pat_<32 hex digits>; `everruns keys list` shows the ids",
    );
  }
  if (action !== "revoke" && ids.length > 0) throw new UsageError(`${action} takes no ${ids[0]}`);
  if (action === "revoke" && !flags.yes) await confirm(context, `revoke ${ids.join(", ")}?`);
  const as = flags.json ? "json" : flags.output;
  if (action === "create" && as === "id") {
    throw new UsageError("the token is shown this once: -o table, json or yaml shows it, id does not");
  }
  const place = await openPlace(flags, context);
  try {
    if (action === "list") print(context, as, await place.list(user));
    if (action === "revoke") {
      for (const id of ids) context.out.line(`revoked ${id} of ${await place.revoke(id)}`);
    }
    if (action !== "create") return;
    const { token, ...key } = await place.create({
      name: flags.name,
      scopes,
      user,
      organizations,
      expiresAt,
    });
    if (as !== "table") {
      printItem(context, { ...key, token }, as);
      return;
    }
    context.out.line(token);
    const until = key.expires_at === null ? "does not expire" : `until ${key.expires_at}`;
    context.err.line(
      `${key.id} of ${key.user ?? key.user_id} at ${place.where}, ${key.scopes.join(" and ")}, ${until}; it is not shown again`,
    );
    return;
  } catch (error) {
    throw asRetryable(error);
  } finally {
    await place.close();
  }
}

/** @throws UsageError both a server and a database are named, or another user at a server */
async function openPlace(flags: KeysFlags, context: CommandContext): Promise<KeyPlace> {
  const { env } = context;
  const server = flags.apiUrl !== undefined ? "--api-url" : flags.context !== undefined ? "--context" : null;
  const local = (["dataDir", "databaseUrl", "user"] as const).find((flag) => flags[flag] !== undefined);
  if (local !== undefined) {
    const said = { dataDir: "--data-dir", databaseUrl: "--database-url", user: "--user" }[local];
    if (server !== null) {
      throw new UsageError(
        `${server} means the tokens of a server, ${said} those of this machine's database: one of them`,
      );
    }
    return openKeysOfDatabase(flags, context);
  }
  const isNamed =
    server !== null || env.EVERRUNS_API_URL || env.EVERRUNS_CONTEXT || readContexts(env).current !== null;
  return isNamed ? openKeysOfServer(flags, context) : openKeysOfDatabase(flags, context);
}

function readScopes(text: string): Scope[] {
  const words = text.split(",").map((word) => word.trim());
  const wrong = words.find((word) => !SCOPES.includes(word as Scope));
  if (wrong === undefined) return words as Scope[];
  throw new UsageError(`--scopes: ${SCOPES.join(", ")} are expected, not "${wrong}"`);
}

function readExpiry(text: string | undefined): Date | null {
  if (text === undefined) return null;
  const days = Number(text);
  if (Number.isInteger(days) && days >= 1 && days <= 3650) return new Date(Date.now() + days * DAY_MS);
  throw new UsageError(`--expires-days is a whole number from 1 to 3650, not "${text}"`);
}

function readOrganizations(said: string | undefined): string[] | null {
  if (said === undefined) return null;
  const ids = said.split(",").map((id) => id.trim());
  const wrong = ids.find((id) => !isId("org", id));
  if (wrong === undefined) return ids;
  throw new UsageError(`--org: "${wrong}" is not an id of the form org_<32 hex digits>`);
}

function print({ out, err }: CommandContext, as: Format, keys: readonly Key[]): void {
  if (as === "json") return out.line(JSON.stringify(keys, null, 2));
  if (as === "yaml") return out.write(stringify(keys));
  if (as === "id") return out.write(keys.map(({ id }) => `${id}\n`).join(""));
  if (keys.length === 0) {
    err.line("there are no tokens yet");
    return;
  }
  const day = (time: string | null) => time?.slice(0, 10) ?? "never";
  const rows = keys.map((key) => [
    key.id,
    key.name,
    key.user ?? key.user_id,
    key.scopes.join(","),
    day(key.last_used_at),
    day(key.expires_at),
  ]);
  const lines = table(["id", "name", "user", "scopes", "last used", "expires"], rows);
  for (const [at, line] of lines.entries()) out.line(at === 0 ? out.paint.dim(line) : line);
}
