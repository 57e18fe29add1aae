/** Signing in, staying signed in, and signing out. The answers suit programs; browsers get cookies beside them. */
import { UserError } from "../../base/errors.ts";
import {
  AuthConfig,
  ChangePasswordRequest,
  LoginRequest,
  Me,
  RefreshRequest,
  RegisterRequest,
  SignedIn,
  SignedOut,
} from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import { endLogin, insertLogin, renewLogin } from "../../db/access/logins.ts";
import { insertFounder } from "../../db/access/organizations.ts";
import { membershipOf, readUser, setPassword, userByEmail } from "../../db/access/users.ts";
import type { ApiDeps } from "../deps.ts";
import { createRateLimit, type RateLimit } from "../http/rate-limit.ts";
import { reply } from "../http/respond.ts";
import { definePublicRoute, defineRoute, type Route } from "../http/route.ts";
import { isSecure, loginCookies, refreshCookieOf, requireOwnPage } from "./cookies.ts";
import { meOf } from "./me.ts";
import { seedOrganization } from "./new-organization.ts";
import { signedInAnswer } from "./signed-in.ts";

type Deps = Pick<ApiDeps, "db" | "access" | "addresses" | "clock" | "seal">;

const WRONG = "the e-mail address or the password is wrong";

export function signInRoutes(deps: Deps): Route[] {
  const { db, access } = deps;
  const perMinute = (count: number) => createRateLimit({ perMinute: count, clock: deps.clock });
  const logins = perMinute(limits.loginsPerMinute);
  const registrations = perMinute(limits.registrationsPerMinute);
  const refreshes = perMinute(limits.refreshesPerMinute);
  const admit = (request: Request, limit: RateLimit) => {
    const address = deps.addresses.of(request);
    const waitSeconds = address === null ? null : limit.take(address).waitSeconds;
    if (waitSeconds === null) return;
    throw new UserError("rate_limited", `too many tries from your address; wait ${waitSeconds} s`, {
      fields: { retry_after_seconds: waitSeconds },
    });
  };

  return [
    definePublicRoute({
      method: "GET",
      path: "/auth/config",
      operationId: "auth_config",
      tag: "auth",
      summary: "How one can sign in here",
      responses: { 200: AuthConfig },
      run: async () =>
        reply(200, {
          mode: access.mode,
          password_auth_enabled: access.mode !== "none",
          oauth_providers: access.oidc === null ? [] : [access.oidc.name],
          signup_enabled: access.isSignupOpen,
        }),
    }),
    definePublicRoute({
      method: "POST",
      path: "/auth/login",
      operationId: "login",
      tag: "auth",
      summary: "Sign in with a password",
      description:
        "The access token lives 15 minutes, the refresh token 30 days. Both are also set as cookies that no script can read.",
      body: LoginRequest,
      responses: { 200: SignedIn },
      problems: ["unauthorized", "forbidden", "rate_limited"],
      async run({ request, body }) {
        admit(request, logins);
        requireAccounts(deps);
        const user = await userByEmail(db, body.email);
        const isRight = await access.passwords.verify(body.password, user?.password_hash ?? null);
        if (!user || !isRight || !mayCall(deps, user.email)) throw new UserError("unauthorized", WRONG);
        return signedInAnswer(deps, request, await insertLogin(db, user.id), 200);
      },
    }),
    definePublicRoute({
      method: "POST",
      path: "/auth/register",
      operationId: "register",
      tag: "auth",
      summary: "Make an account, with an organization of its own",
      description: "Where the operator opened sign-up. The answer is that of signing in.",
      body: RegisterRequest,
      responses: { 201: SignedIn },
      problems: ["forbidden", "conflict", "rate_limited"],
      async run({ request, body }) {
        admit(request, registrations);
        requireAccounts(deps);
        if (!access.isSignupOpen) {
          throw new UserError("forbidden", "one cannot sign up here; ask an admin for an account");
        }
        const made = await insertFounder(db, {
          email: body.email,
          name: body.name,
          passwordHash: await access.passwords.hash(body.password),
          authProvider: "password",
          authSubject: null,
          isEmailVerified: false,
        });
        if (!made) throw new UserError("conflict", "there is an account with this e-mail address");
        await seedOrganization(deps, made.organizationId);
        return signedInAnswer(deps, request, await insertLogin(db, made.userId), 201);
      },
    }),
    definePublicRoute({
      method: "POST",
      path: "/auth/refresh",
      operationId: "refresh",
      tag: "auth",
      summary: "Go on being signed in",
      description:
        "Gives new tokens for a refresh token, from the body or the cookie; each can be used once. When one is used " +
        "again somebody has a copy, and the sign-in ends.",
      body: RefreshRequest,
      isBodyOptional: true,
      responses: { 200: SignedIn },
      problems: ["unauthorized", "forbidden", "rate_limited"],
      async run({ request, body }) {
        admit(request, refreshes);
        const sent = refreshTokenOf(deps, request, body?.refresh_token ?? null);
        const claims = sent && (await access.jwts.verify(sent.token, ["refresh"]));
        const login =
          claims &&
          (await renewLogin(db, { id: claims.login, userId: claims.sub, generation: claims.generation }));
        const user = login && (await readUser(db, login.userId));
        if (!login || !user || !mayCall(deps, user.email)) {
          throw new UserError("unauthorized", "the refresh token is not valid any more; sign in again");
        }
        return signedInAnswer(deps, request, login, 200, { isCookieOnly: sent.isCookie });
      },
    }),
    definePublicRoute({
      method: "POST",
      path: "/auth/logout",
      operationId: "logout",
      tag: "auth",
      summary: "Sign out",
      description:
        "Ends the sign-in of the refresh token (body or cookie) at once, with every token that came of it. Signing out " +
        "twice is no error.",
      body: RefreshRequest,
      isBodyOptional: true,
      responses: { 200: SignedOut },
      problems: ["forbidden"],
      async run({ request, body }) {
        const sent = refreshTokenOf(deps, request, body?.refresh_token ?? null);
        const bearer = /^bearer\s+(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
        for (const token of [sent?.token, bearer]) {
          const claims = token && (await access.jwts.verify(token, ["refresh", "access"]));
          if (claims) await endLogin(db, claims.login);
        }
        const answer = Response.json({ success: true });
        const cookies = loginCookies(null, { isSecure: isSecure(request, access) });
        for (const cookie of cookies) answer.headers.append("set-cookie", cookie);
        return answer;
      },
    }),
    defineRoute({
      method: "POST",
      path: "/auth/password",
      operationId: "change_password",
      tag: "auth",
      summary: "Change the caller's password",
      description:
        "For who signed in, with the password that they have; who signs in at an OpenID provider and has none may set one. All " +
        "other sign-ins end; the answer begins a new one. Access tokens stay.",
      access: "self",
      body: ChangePasswordRequest,
      responses: { 200: SignedIn },
      problems: ["conflict", "rate_limited"],
      async run({ request, body, caller }) {
        admit(request, logins);
        if (caller.credential.kind !== "login") {
          throw new UserError(
            "forbidden",
            "a password is changed by who signed in, not with an access token",
          );
        }
        const user = await userByEmail(db, (await readUser(db, caller.userId))?.email ?? "");
        if (!user) throw new UserError("not_found", "User not found");
        if (user.email === access.adminEmail) {
          throw new UserError("conflict", "this password is that of the configuration (AUTH_ADMIN_PASSWORD)");
        }
        const hasNone = user.password_hash === null && user.auth_subject !== null;
        if (!hasNone && !(await access.passwords.verify(body.current_password ?? "", user.password_hash))) {
          throw new UserError("forbidden", "current_password: this is not your password");
        }
        await setPassword(db, user.id, await access.passwords.hash(body.new_password));
        return signedInAnswer(deps, request, await insertLogin(db, user.id), 200);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/auth/me",
      operationId: "get_current_user",
      tag: "auth",
      summary: "Who is calling",
      responses: { 200: Me },
      async run({ caller }) {
        const user = await readUser(db, caller.userId);
        if (!user) throw new UserError("not_found", "User not found");
        const membership = await membershipOf(db, user, caller.organizationId);
        return reply(200, meOf(user, membership, caller));
      },
    }),
  ];
}

/** @throws UserError forbidden: the server runs without authentication */
function requireAccounts({ access }: Deps): void {
  if (access.mode !== "none") return;
  throw new UserError(
    "forbidden",
    "this server runs without authentication: nobody signs in, everybody is in",
  );
}

const mayCall = ({ access }: Deps, email: string) =>
  access.adminEmail === null || access.adminEmail === email;

/** From the body, else from the cookie when the request comes from a page of ours. */
function refreshTokenOf(
  { access }: Deps,
  request: Request,
  sent: string | null,
): { token: string; isCookie: boolean } | null {
  if (sent !== null) return { token: sent, isCookie: false };
  const cookie = refreshCookieOf(request);
  if (cookie === null) return null;
  requireOwnPage(request, access);
  return { token: cookie, isCookie: true };
}
