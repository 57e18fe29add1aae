/** Users, organizations and tokens for tests of who may do what. */
import type { Role, Scope } from "../../src/contract/access.ts";
import { insertAccessToken } from "../../src/db/access/access-tokens.ts";
import { insertMember } from "../../src/db/access/users.ts";
import type { Db } from "../../src/db/pool.ts";
import { ORGANIZATION } from "./app.ts";

let count = 0;

/** A user with a role in one organization. */
export async function makeUser(
  db: Db,
  options: { role?: Role; organizationId?: string; email?: string; passwordHash?: string } = {},
): Promise<{ id: string; email: string }> {
  count += 1;
  const user = await insertMember(
    db,
    {
      email: options.email ?? `user-${count}@example.com`,
      name: `User ${count}`,
      passwordHash: options.passwordHash ?? null,
      authProvider: null,
      authSubject: null,
      isEmailVerified: true,
    },
    { organizationId: options.organizationId ?? ORGANIZATION, role: options.role ?? "owner" },
  );
  if (!user) throw new Error("the user exists");
  return user;
}

/** A token of a user. */
export async function makeToken(
  db: Db,
  userId: string,
  options: { scopes?: Scope[]; organizationIds?: string[]; expiresAt?: Date } = {},
): Promise<{ id: string; token: string }> {
  const made = await insertAccessToken(db, {
    madeWith: null,
    userId,
    name: "test",
    scopes: options.scopes ?? ["admin"],
    organizationIds: options.organizationIds ?? [ORGANIZATION],
    expiresAt: options.expiresAt ?? null,
  });
  if (typeof made === "string") throw new Error(made);
  return { id: made.row.id, token: made.token };
}

/** A token of a new user of this role. */
export async function tokenOf(
  db: Db,
  role: Role,
  options: { scopes?: Scope[]; organizationId?: string } = {},
): Promise<string> {
  const user = await makeUser(db, {
    role,
    ...(options.organizationId ? { organizationId: options.organizationId } : {}),
  });
  const { token } = await makeToken(db, user.id, {
    ...(options.scopes ? { scopes: options.scopes } : {}),
    organizationIds: [options.organizationId ?? ORGANIZATION],
  });
  return token;
}

export const bearer = (token: string, more: Record<string, string> = {}) => ({
  authorization: `Bearer ${token}`,
  ...more,
});
