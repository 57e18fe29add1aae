import { UserError } from "../../base/errors.ts";
import {
  CreatedPersonalAccessToken,
  CreatePersonalAccessTokenRequest,
  PersonalAccessToken,
  type Scope,
} from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import { List, type Static, Type } from "../../contract/schema.ts";
import {
  type AccessTokenRow,
  insertAccessToken,
  listAccessTokens,
  revokeAccessToken,
} from "../../db/access/access-tokens.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { iso, isoOrNull, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

type Deps = Pick<ApiDeps, "db" | "clock">;

const SCOPES_DEFAULT: readonly Scope[] = ["read", "write"];
const DAY_MS = 86_400_000;

/** Where tokens stand, and where they stood. */
const PLACES = [
  { path: "/auth/personal-access-tokens", idSuffix: "", note: "" },
  {
    path: "/auth/api-keys",
    idSuffix: "_by_old_name",
    note: " The old name of `/v1/auth/personal-access-tokens`.",
  },
] as const;

export function accessTokenRoutes(deps: Deps): Route[] {
  const { db } = deps;
  return PLACES.flatMap(({ path, idSuffix, note }) => [
    defineRoute({
      method: "GET",
      path,
      operationId: `list_personal_access_tokens${idSuffix}`,
      tag: "auth",
      summary: "List the caller's access tokens, newest first",
      description: `Revoked ones are not listed. \`all=true\` shows an admin the tokens of everybody that open this organization.${note}`,
      query: Type.Object({ all: Type.Optional(Type.Boolean()) }),
      responses: { 200: List(PersonalAccessToken) },
      problems: ["forbidden"],
      async run({ query, caller }) {
        if (query.all && !caller.isAdmin) throw new UserError("forbidden", "only an admin sees all tokens");
        const of = query.all
          ? { organizationId: caller.organizationId }
          : { userId: caller.userId, within: reachOf(caller) };
        const tokens = (await listAccessTokens(db, of)).map(tokenToWire);
        // Where else the tokens of others open is not this organization's business.
        const here = tokens.map((token) => ({ ...token, organization_ids: [caller.organizationId] }));
        return reply(200, whole(query.all ? here : tokens));
      },
    }),
    defineRoute({
      method: "POST",
      path,
      operationId: `create_personal_access_token${idSuffix}`,
      tag: "auth",
      summary: "Make an access token",
      description:
        "The token is shown in this answer and never again. Without `expires_at` or `expires_in_days` it does not expire; " +
        "one that is made with another token ends with that at the latest. " +
        `With several organizations its requests must name one in \`X-Org-Id\`.${note}`,
      access: "self",
      body: CreatePersonalAccessTokenRequest,
      responses: { 201: CreatedPersonalAccessToken },
      problems: ["not_found", "conflict"],
      async run({ body, caller }) {
        const scopes = body.scopes ?? SCOPES_DEFAULT;
        requireRightToGive(caller, body.organization_ids ?? []);
        const made = await insertAccessToken(db, {
          userId: caller.userId,
          name: body.name,
          scopes,
          organizationIds: (body.organization_ids ?? [caller.organizationId]).map((id) => pathId("org", id)),
          expiresAt: within(expiryOf(body, deps.clock.now()), caller),
          madeWith: caller.credential.kind === "token" ? caller.credential.id : null,
        });
        if (made === "no_such_organization") throw new UserError("not_found", "Organization not found");
        if (made === "too_many") {
          throw new UserError(
            "conflict",
            `you have ${limits.accessTokensPerUserMax} access tokens; revoke one first`,
          );
        }
        return reply(201, { ...tokenToWire(made.row), token: made.token });
      },
    }),
    defineRoute({
      method: "DELETE",
      path: `${path}/{token_id}`,
      operationId: `delete_personal_access_token${idSuffix}`,
      tag: "auth",
      summary: "Revoke an access token, at once",
      description:
        "With every token that was made with it. An admin may revoke the tokens of everybody that open this " +
        "organization. A token revokes itself, and others with the scope `admin`, as far as its own organizations " +
        `reach.${note}`,
      access: "self",
      responses: { 204: null },
      problems: ["invalid_id", "not_found", "forbidden"],
      async run({ params, caller }) {
        const { credential } = caller;
        const id = pathId("pat", params.token_id);
        if (credential.kind === "token" && credential.id !== id && !credential.scopes.includes("admin")) {
          throw new UserError("forbidden", "a token without the scope admin revokes itself only");
        }
        const isRevoked = await revokeAccessToken(db, id, {
          userId: caller.userId,
          organizationId: caller.isAdmin ? caller.organizationId : null,
          within: reachOf(caller),
        });
        if (!isRevoked) throw new UserError("not_found", "Access token not found");
        return reply(204, null);
      },
    }),
  ]);
}

/**
 * A token cannot give what it has not: else a stolen one would make others that live longer and open more.
 *
 * @throws UserError forbidden, conflict
 */
function requireRightToGive({ credential }: Caller, organizationIds: readonly string[]): void {
  if (credential.kind === "none") {
    throw new UserError(
      "conflict",
      "this server runs without authentication: a token would open nothing that is not open already",
    );
  }
  if (credential.kind !== "token") return;
  if (!credential.scopes.includes("admin")) {
    throw new UserError("forbidden", "a token without the scope admin makes no tokens; sign in to make one");
  }
  const foreign = organizationIds.find((id) => !credential.organizationIds.includes(id));
  if (foreign !== undefined) throw new UserError("not_found", "Organization not found");
}

/** Organizations that a caller's tokens may open to be seen and revoked by it; null: any, as with a sign-in. */
export const reachOf = ({ credential }: Caller): readonly string[] | null =>
  credential.kind === "token" ? credential.organizationIds : null;

/** No token outlives the one that it is made with. @throws UserError forbidden */
function within(expiresAt: Date | null, { credential }: Caller): Date | null {
  if (credential.kind !== "token" || credential.expiresAt === null) return expiresAt;
  if (expiresAt === null || expiresAt <= credential.expiresAt) return expiresAt ?? credential.expiresAt;
  throw new UserError("forbidden", "a token makes no tokens that outlive it; sign in to make one");
}

function expiryOf(body: Static<typeof CreatePersonalAccessTokenRequest>, now: Date): Date | null {
  if (body.expires_at != null) {
    const at = new Date(body.expires_at);
    if (at > now) return at;
    throw new UserError("invalid_request", "expires_at: the time lies in the past");
  }
  return body.expires_in_days == null ? null : new Date(now.getTime() + body.expires_in_days * DAY_MS);
}

function tokenToWire(row: AccessTokenRow): PersonalAccessToken {
  return present({
    id: row.id,
    name: row.name,
    token_prefix: row.token_prefix,
    scopes: row.scopes,
    organization_ids: row.organization_ids,
    user_id: row.user_id,
    created_at: iso(row.created_at),
    expires_at: isoOrNull(row.expires_at),
    last_used_at: isoOrNull(row.last_used_at),
  });
}
