/** Signing in at an OpenID provider: to it with `/auth/oauth/{provider}`, and back to `/auth/callback/{provider}`. */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import { insertLogin } from "../../db/access/logins.ts";
import { insertFounder } from "../../db/access/organizations.ts";
import { insertMember, linkUser, type NewUser, userByEmail, userBySubject } from "../../db/access/users.ts";
import type { ApiDeps } from "../deps.ts";
import { DEFAULT_ORGANIZATION } from "../http/identify.ts";
import { reply } from "../http/respond.ts";
import { definePublicRoute, type Route } from "../http/route.ts";
import type { OidcSettings } from "./access.ts";
import { isSecure, loginCookies, oidcCookie, oidcCookieOf, TRIP_SECONDS } from "./cookies.ts";
import { seedOrganization } from "./new-organization.ts";
import { createOidcProvider, type OidcPerson } from "./oidc-provider.ts";
import { tokensOf } from "./signed-in.ts";

type Deps = Pick<ApiDeps, "db" | "access" | "clock" | "log" | "seal">;

export function oidcRoutes(deps: Deps): Route[] {
  const { access } = deps;
  const settings = access.oidc;
  const provider = settings && createOidcProvider(settings, deps);

  const known = (name: string) => {
    if (settings && provider && access.publicUrl !== null && name === settings.name) {
      return { settings, provider, redirectUri: `${access.publicUrl}/v1/auth/callback/${name}` };
    }
    throw new UserError("not_found", "one cannot sign in with this provider here");
  };

  return [
    definePublicRoute({
      method: "GET",
      path: "/auth/oauth/{provider}",
      operationId: "oauth_redirect",
      tag: "auth",
      summary: "Go to the OpenID provider to sign in",
      description:
        "For a browser: the answer leads to the provider, which leads back to `/v1/auth/callback/{provider}`. `return_to` is a " +
        "path of this server where the browser ends up.",
      query: Type.Object({ return_to: Type.Optional(Type.String({ maxLength: limits.urlCharsMax })) }),
      responses: { 302: null },
      problems: ["not_found", "rate_limited"],
      async run({ params, query, request }) {
        const { provider: there, redirectUri } = known(params.provider);
        const { url, trip } = await there.leave(redirectUri);
        const claims = { ...trip, returnTo: ownPath(query.return_to) };
        const token = await access.jwts.sign("oidc", claims, TRIP_SECONDS);
        return reply(302, null, {
          location: url.href,
          "set-cookie": oidcCookie(token, { isSecure: isSecure(request, access) }),
          "cache-control": "no-store",
        });
      },
    }),
    definePublicRoute({
      method: "GET",
      path: "/auth/callback/{provider}",
      operationId: "oauth_callback",
      tag: "auth",
      summary: "Come back from the OpenID provider",
      description: "Sets the cookies of a sign-in and leads to `return_to`.",
      responses: { 302: null },
      problems: ["unauthorized", "forbidden", "not_found", "conflict", "rate_limited"],
      async run({ params, request }) {
        const { settings: here, provider: there, redirectUri } = known(params.provider);
        const cookie = oidcCookieOf(request);
        const trip = cookie && (await access.jwts.verify(cookie, ["oidc"]));
        if (!trip) {
          throw new UserError(
            "unauthorized",
            "this sign-in did not begin in this browser, or too long ago; try again",
          );
        }
        const person = await there.comeBack(new URL(redirectUri + new URL(request.url).search), trip);
        const tokens = await tokensOf(deps, await insertLogin(deps.db, await userOf(deps, here, person)));
        const secure = { isSecure: isSecure(request, access) };
        const answer = new Response(null, {
          status: 302,
          headers: { location: trip.returnTo, "cache-control": "no-store" },
        });
        const cookies = [...loginCookies(tokens, secure), oidcCookie(null, secure)];
        for (const each of cookies) answer.headers.append("set-cookie", each);
        return answer;
      },
    }),
  ];
}

/** A path of this server; what could lead elsewhere leads to the start. */
function ownPath(text: string | undefined): string {
  const base = "http://here.invalid";
  const url = text?.startsWith("/") ? URL.parse(text, base) : null;
  // Two slashes may be what is left of a path with dots: a browser takes them for another host.
  if (url?.origin !== base || url.pathname.startsWith("//")) return "/";
  return url.pathname + url.search + url.hash;
}

/**
 * The account of a person whom the provider vouches for: known from before, or of the same address when both sides
 * have proof that it is theirs, or new where the operator lets new people in.
 *
 * @returns the user's id
 * @throws UserError forbidden, conflict
 */
async function userOf(deps: Deps, { name, role }: OidcSettings, person: OidcPerson): Promise<string> {
  const { db, access } = deps;
  const known = await userBySubject(db, name, person.subject);
  if (known) return known.id;
  if (person.email === null || !person.isEmailVerified) {
    throw new UserError("forbidden", "the provider does not say that your e-mail address is yours");
  }
  const namesake = await userByEmail(db, person.email);
  if (namesake) {
    // Somebody may have registered with an address that is not theirs, and waits for its owner to come along.
    const isLinked =
      namesake.is_email_verified &&
      (await linkUser(db, { userId: namesake.id, provider: name, subject: person.subject }));
    if (isLinked) return namesake.id;
    throw new UserError("conflict", "there is another account with your e-mail address; ask an admin");
  }
  const user: NewUser = {
    email: person.email,
    name: (person.name ?? person.email).slice(0, limits.displayNameCharsMax),
    passwordHash: null,
    authProvider: name,
    authSubject: person.subject,
    isEmailVerified: true,
  };
  if (role !== null) {
    const made = await insertMember(db, user, { organizationId: DEFAULT_ORGANIZATION, role });
    if (made) return made.id;
  } else if (access.isSignupOpen) {
    const made = await insertFounder(db, user);
    if (made) {
      await seedOrganization(deps, made.organizationId);
      return made.userId;
    }
  } else {
    throw new UserError("forbidden", "you have no account here; ask an admin for one");
  }
  // The same person in another tab was faster.
  const other = await userBySubject(db, name, person.subject);
  if (other) return other.id;
  throw new UserError("conflict", "there is another account with your e-mail address; ask an admin");
}
