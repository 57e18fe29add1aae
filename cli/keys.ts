/** `everruns keys`: access tokens, made in the database itself, so that the first one needs no other. */
import { UserError } from "../src/base/errors.ts";
import { isId } from "../src/base/id.ts";
import type { Scope } from "../src/contract/access.ts";
import { limits } from "../src/contract/limits.ts";
import {
  type AccessTokenRow,
  insertAccessToken,
  listAccessTokens,
  revokeAccessToken,
} from "../src/db/access/access-tokens.ts";
import { listUsers, membershipsOf, type UserRow, userByEmail } from "../src/db/access/users.ts";
import type { Db } from "../src/db/pool.ts";
import { asRetryable } from "../src/db/sqlstate.ts";
import { ensureAdmin } from "./access.ts";
import { type CommandContext, UsageError } from "./action.ts";
import { ensureSchema, openLog, openPlatform, readConfig } from "./platform.ts";
import { table } from "./table.ts";

export type KeysAction = "create" | "list" | "revoke";

interface KeysFlags extends Record<string, unknown> {
  id?: string | undefined;
  user?: string;
  name: string;
  scopes: string;
  org?: string;
  expiresDays?: string;
  json?: boolean;
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
  if (action === "revoke" && !isId("pat", flags.id ?? "")) {
    throw new UsageError(
      "which token? everruns keys revoke pat_<32 hex digits>; `everruns keys list` shows the ids",
    );
  }
  const config = readConfig(flags, context, "other");
  const platform = await openPlatform(config, openLog(config, context), context);
  const { db } = platform;
  try {
    await ensureSchema(platform);
    await ensureAdmin(platform);
    if (action === "list") return print(context, flags, await allTokens(db, flags.user));
    if (action === "revoke") return await revoke(db, flags.id ?? "", context);
    const user = await findUser(db, flags.user ?? config.authAdminEmail ?? undefined);
    if (config.authMode === "admin" && user.email !== config.authAdminEmail) {
      throw new UserError(
        "conflict",
        `with AUTH_MODE=admin only ${config.authAdminEmail} may call: the token would open nothing`,
      );
    }
    const made = await insertAccessToken(db, {
      userId: user.id,
      name: flags.name,
      scopes,
      organizationIds: await organizationsOf(db, user, flags.org),
      expiresAt,
    });
    if (made === "no_such_organization") {
      throw new UserError(
        "not_found",
        `${user.email} does not belong to ${flags.org}; see everruns users create --org`,
      );
    }
    if (made === "too_many") {
      throw new UserError(
        "conflict",
        `${user.email} has ${limits.accessTokensPerUserMax} tokens; revoke one first`,
      );
    }
    if (flags.json) context.out.line(JSON.stringify({ ...plain(made.row), token: made.token }, null, 2));
    else {
      context.out.line(made.token);
      context.err.line(
        `${made.row.id} of ${user.email}, ${scopes.join(" and ")}, ${expiresAt === null ? "does not expire" : `until ${expiresAt.toISOString()}`}; it is not shown again`,
      );
    }
    return;
  } catch (error) {
    throw asRetryable(error);
  } finally {
    await platform.close();
  }
}

async function allTokens(db: Db, email: string | undefined): Promise<[UserRow, AccessTokenRow][]> {
  const users = email === undefined ? await listUsers(db) : [await findUser(db, email)];
  const lists = users.map(async (user) =>
    (await listAccessTokens(db, { userId: user.id })).map((row): [UserRow, AccessTokenRow] => [user, row]),
  );
  return (await Promise.all(lists)).flat();
}

async function revoke(db: Db, id: string, { out }: CommandContext): Promise<undefined> {
  for (const user of await listUsers(db)) {
    if (await revokeAccessToken(db, id, { userId: user.id, organizationId: null })) {
      out.line(`revoked ${id} of ${user.email}`);
      return;
    }
  }
  throw new UserError("not_found", `there is no token ${id} that opens anything`);
}

/** Without an address: the only user there is. */
async function findUser(db: Db, email: string | undefined): Promise<UserRow> {
  if (email !== undefined) {
    const user = await userByEmail(db, email);
    if (user) return user;
    throw new UserError(
      "not_found",
      `there is no user ${email}; make one with: everruns users create --email ${email}`,
    );
  }
  const [user, ...others] = await listUsers(db);
  if (!user) {
    throw new UserError(
      "not_found",
      "there is no user yet; make one with: everruns users create --email you@example.com --role owner",
    );
  }
  if (others.length > 0) throw new UsageError(`whose? --user <email>; \`everruns users list\` shows them`);
  return user;
}

async function organizationsOf(db: Db, user: UserRow, said: string | undefined): Promise<string[]> {
  if (said !== undefined) {
    const ids = said.split(",").map((id) => id.trim());
    const wrong = ids.find((id) => !isId("org", id));
    if (wrong === undefined) return ids;
    throw new UsageError(`--org: "${wrong}" is not an id of the form org_<32 hex digits>`);
  }
  const memberships = await membershipsOf(db, user.id);
  const own = memberships.find(({ organization_id }) => organization_id === user.organization_id);
  const chosen = own ?? memberships[0];
  if (chosen) return [chosen.organization_id];
  throw new UserError(
    "not_found",
    `${user.email} belongs to no organization; see everruns users create --org`,
  );
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

const plain = ({
  id,
  user_id,
  name,
  scopes,
  organization_ids,
  expires_at,
  last_used_at,
  created_at,
}: AccessTokenRow) => ({
  id,
  name,
  user_id,
  scopes,
  organization_ids,
  created_at,
  expires_at,
  last_used_at,
});

function print(context: CommandContext, flags: KeysFlags, tokens: [UserRow, AccessTokenRow][]): undefined {
  if (flags.json) {
    context.out.line(
      JSON.stringify(
        tokens.map(([user, row]) => ({ ...plain(row), user: user.email })),
        null,
        2,
      ),
    );
    return;
  }
  if (tokens.length === 0) {
    context.err.line("there are no tokens yet");
    return;
  }
  const day = (date: Date | null) => date?.toISOString().slice(0, 10) ?? "never";
  const rows = tokens.map(([user, row]) => [
    row.id,
    row.name,
    user.email,
    row.scopes.join(","),
    day(row.last_used_at),
    day(row.expires_at),
  ]);
  const lines = table(["id", "name", "user", "scopes", "last used", "expires"], rows);
  for (const [at, line] of lines.entries()) context.out.line(at === 0 ? context.out.paint.dim(line) : line);
}
