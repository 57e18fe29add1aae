/** Access tokens in the database itself, so that the first one needs no other. */
import { UserError } from "../../src/base/errors.ts";
import { limits } from "../../src/contract/limits.ts";
import {
  type AccessTokenRow,
  insertAccessToken,
  listAccessTokens,
  revokeAccessToken,
} from "../../src/db/access/access-tokens.ts";
import { listUsers, membershipsOf, type UserRow, userByEmail } from "../../src/db/access/users.ts";
import type { Db } from "../../src/db/pool.ts";
import { ensureAdmin } from "../access.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { ensureSchema, openLog, openPlatform, readConfig } from "../platform.ts";
import type { Key, KeyPlace } from "./keys.ts";

/** @throws what opening the database throws */
export async function openKeysOfDatabase(
  flags: Record<string, unknown>,
  context: CommandContext,
): Promise<KeyPlace> {
  const config = readConfig(flags, context, "other");
  const platform = await openPlatform(config, openLog(config, context), context);
  const { db } = platform;
  try {
    await ensureSchema(platform);
    await ensureAdmin(platform);
  } catch (error) {
    await platform.close();
    throw error;
  }
  return {
    where: "the database",
    list: async (email) => (await allTokens(db, email)).map(([user, row]) => shown(user, row)),
    revoke: (id) => revoke(db, id),
    create: async ({ name, scopes, user: email, organizations, expiresAt }) => {
      const user = await findUser(db, email ?? config.authAdminEmail ?? undefined);
      if (config.authMode === "admin" && user.email !== config.authAdminEmail) {
        throw new UserError(
          "conflict",
          `with AUTH_MODE=admin only ${config.authAdminEmail} may call: the token would open nothing`,
        );
      }
      const organizationIds = organizations ?? (await organizationOf(db, user));
      const made = await insertAccessToken(db, {
        userId: user.id,
        name,
        scopes,
        organizationIds,
        expiresAt,
        madeWith: null,
      });
      if (made === "no_such_organization") {
        throw new UserError(
          "not_found",
          `${user.email} does not belong to ${organizationIds.join(", ")}; see everruns users create --org`,
        );
      }
      if (made === "too_many") {
        throw new UserError(
          "conflict",
          `${user.email} has ${limits.accessTokensPerUserMax} tokens; revoke one first`,
        );
      }
      return { ...shown(user, made.row), token: made.token };
    },
    close: () => platform.close(),
  };
}

async function allTokens(db: Db, email: string | undefined): Promise<[UserRow, AccessTokenRow][]> {
  const users = email === undefined ? await listUsers(db) : [await findUser(db, email)];
  const lists = users.map(async (user) =>
    (await listAccessTokens(db, { userId: user.id })).map((row): [UserRow, AccessTokenRow] => [user, row]),
  );
  return (await Promise.all(lists)).flat();
}

async function revoke(db: Db, id: string): Promise<string> {
  for (const user of await listUsers(db)) {
    if (await revokeAccessToken(db, id, { userId: user.id, organizationId: null })) return user.email;
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

/** The user's own, else the first. */
async function organizationOf(db: Db, user: UserRow): Promise<string[]> {
  const memberships = await membershipsOf(db, user.id);
  const own = memberships.find(({ organization_id }) => organization_id === user.organization_id);
  const chosen = own ?? memberships[0];
  if (chosen) return [chosen.organization_id];
  throw new UserError(
    "not_found",
    `${user.email} belongs to no organization; see everruns users create --org`,
  );
}

/** As the API shows a token, with its user's address. */
const shown = (
  user: UserRow,
  { id, user_id, name, scopes, organization_ids, expires_at, last_used_at, created_at }: AccessTokenRow,
): Key => ({
  id,
  name,
  user: user.email,
  user_id,
  scopes,
  organization_ids,
  created_at: created_at.toISOString(),
  expires_at: expires_at?.toISOString() ?? null,
  last_used_at: last_used_at?.toISOString() ?? null,
});
