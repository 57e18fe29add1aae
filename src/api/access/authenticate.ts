/**
 * Who is calling a server with authentication. A program sends an access token (raw, as `Bearer` or as `ApiKey`), a
 * browser the token of its sign-in (as `Bearer` or in the cookie), or one that opens a single session. What is sent in
 * `Authorization` counts alone: when it is not valid the cookie does not help.
 *
 * Each request costs one read of the database and no more; a token, sign-in or membership that ended a moment ago is
 * refused. The secret itself is compared nowhere: it is found by its hash.
 */
import { accessTokenHash, isAccessToken, TOKEN_PREFIX } from "../../base/access-token.ts";
import { UserError } from "../../base/errors.ts";
import { isId } from "../../base/id.ts";
import type { Role } from "../../contract/access.ts";
import {
  type CallerRow,
  callerByLogin,
  callerBySessionGrant,
  callerByToken,
  noteTokenUse,
} from "../../db/access/callers.ts";
import { principalOf } from "../../db/access/users.ts";
import type { Db } from "../../db/pool.ts";
import { isManager, mayWrite } from "../http/authorize.ts";
import type { Caller, Credential, Identify } from "../http/identify.ts";
import type { Access } from "./access.ts";
import { accessCookieOf, requireOwnPage } from "./cookies.ts";
import type { VerifiedJwt } from "./jwts.ts";

export function identifyByCredential(
  db: Db,
  access: Pick<Access, "jwts" | "adminEmail" | "publicUrl" | "allowedOrigins">,
): Identify {
  const found = async (
    row: CallerRow | null,
    organizationId: string | null,
    credential: Credential,
  ): Promise<Caller> => {
    if (!row || (access.adminEmail !== null && row.email !== access.adminEmail)) throw invalid();
    if (row.organization_id === null) throw withoutOrganization(credential);
    if (row.role === null) {
      // What a credential was made for and its user has left is refused; what somebody asks for is not there.
      if (organizationId === null) throw new UserError("forbidden", "you do not belong to this organization");
      throw new UserError("not_found", "Organization not found");
    }
    return callerOf(row.user_id, row.organization_id, row.role, credential);
  };

  const byToken = async (token: string, organizationId: string | null): Promise<Caller> => {
    if (token.startsWith(`${TOKEN_PREFIX}pat_`) && !isAccessToken(token)) throw invalid();
    const row = await callerByToken(db, accessTokenHash(token), organizationId);
    if (!row) throw invalid();
    const caller = await found(row, organizationId, {
      kind: "token",
      id: row.token_id,
      scopes: row.scopes,
      organizationIds: row.organization_ids,
      expiresAt: row.expires_at,
    });
    if (row.is_use_due) await noteTokenUse(db, row.token_id);
    return caller;
  };

  const bySession = async (grant: VerifiedJwt<"session">, organizationId: string | null): Promise<Caller> => {
    if (organizationId !== null && organizationId !== grant.org) {
      throw new UserError("not_found", "Organization not found");
    }
    const row = await callerBySessionGrant(db, {
      userId: grant.sub,
      organizationId: grant.org,
      madeBy: grant.by,
    });
    return found(row, grant.org, { kind: "session", sessionId: grant.session, rights: grant.rights });
  };

  const byJwt = async (token: string, organizationId: string | null): Promise<Caller> => {
    const claims = await access.jwts.verify(token, ["access", "session"]);
    if (!claims) throw invalid();
    if (claims.kind === "session") return bySession(claims, organizationId);
    const row = await callerByLogin(db, claims.login, organizationId);
    return found(row, organizationId, { kind: "login", id: claims.login });
  };

  return async (request) => {
    const organizationId = wantedOrganization(request);
    const header = request.headers.get("authorization");
    if (header !== null) {
      const { scheme, credential } = readAuthorization(header);
      if (credential.startsWith(TOKEN_PREFIX)) return byToken(credential, organizationId);
      if (scheme === "bearer") return byJwt(credential, organizationId);
      throw invalid();
    }
    const cookie = accessCookieOf(request);
    if (cookie === null) {
      throw new UserError(
        "unauthorized",
        "send an access token in the Authorization header, or sign in: POST /v1/auth/login",
      );
    }
    requireOwnPage(request, access);
    return byJwt(cookie, organizationId);
  };
}

/** Longer than any token that we make. */
const CREDENTIAL_CHARS_MAX = 4_096;

function readAuthorization(header: string): { scheme: string; credential: string } {
  const match = /^\s*(?:(bearer|apikey)\s+)?(\S+)\s*$/i.exec(header.slice(0, CREDENTIAL_CHARS_MAX + 1));
  if (!match || header.length > CREDENTIAL_CHARS_MAX) throw invalid();
  return { scheme: (match[1] ?? "").toLowerCase(), credential: match[2] ?? "" };
}

/** @throws UserError invalid_id */
function wantedOrganization(request: Request): string | null {
  const wanted = request.headers.get("x-org-id");
  if (wanted === null || wanted === "") return null;
  if (!isId("org", wanted)) {
    throw new UserError("invalid_id", "X-Org-Id: an id of the form org_<32 hex digits> is expected");
  }
  return wanted;
}

export function callerOf(userId: string, organizationId: string, role: Role, credential: Credential): Caller {
  const scopes = credential.kind === "token" ? credential.scopes : ["admin"];
  const isSession = credential.kind === "session";
  return {
    organizationId,
    principalId: principalOf(userId),
    userId,
    role,
    isAdmin: isManager(role) && scopes.includes("admin") && !isSession,
    canWrite: role !== "viewer" && mayWrite(scopes),
    credential,
  };
}

function invalid(): UserError {
  return new UserError("unauthorized", "the credential is not valid: unknown, revoked or expired", {
    fields: { challenge: 'error="invalid_token"' },
  });
}

function withoutOrganization(credential: Credential): UserError {
  if (credential.kind === "token") {
    const known = credential.organizationIds.join(", ");
    return new UserError(
      "invalid_request",
      `this token is for several organizations; name one in X-Org-Id: ${known}`,
    );
  }
  return new UserError("forbidden", "you belong to no organization; an admin of one can add you");
}
