import type { SignedIn } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import type { Static } from "../../contract/schema.ts";
import type { Login } from "../../db/access/logins.ts";
import { membershipOf, readUser } from "../../db/access/users.ts";
import type { ApiDeps } from "../deps.ts";
import { isSecure, loginCookies } from "./cookies.ts";
import { meOf } from "./me.ts";

type Deps = Pick<ApiDeps, "db" | "access">;

/** The tokens of a sign-in, and the cookies that carry them in a browser. */
export async function tokensOf({ access }: Deps, login: Login): Promise<{ access: string; refresh: string }> {
  const { id, userId, generation } = login;
  return {
    access: await access.jwts.sign("access", { sub: userId, login: id }, limits.accessTokenSeconds),
    refresh: await access.jwts.sign(
      "refresh",
      { sub: userId, login: id, generation },
      limits.refreshTokenSeconds,
    ),
  };
}

/**
 * What somebody gets who signed in or goes on being signed in.
 *
 * @param options.isCookieOnly  the refresh token came in a cookie that scripts cannot read, and goes back there alone
 */
export async function signedInAnswer(
  deps: Deps,
  request: Request,
  login: Login,
  status: 200 | 201,
  options: { isCookieOnly: boolean } = { isCookieOnly: false },
): Promise<Response> {
  const user = await readUser(deps.db, login.userId);
  if (!user) throw new Error(`the user ${login.userId} of a sign-in is gone`);
  const tokens = await tokensOf(deps, login);
  const body: Static<typeof SignedIn> = {
    access_token: tokens.access,
    ...(options.isCookieOnly ? {} : { refresh_token: tokens.refresh }),
    token_type: "Bearer",
    expires_in: limits.accessTokenSeconds,
    user: meOf(user, await membershipOf(deps.db, user, null)),
  };
  const answer = Response.json(body, { status, headers: { "cache-control": "no-store" } });
  const cookies = loginCookies(tokens, { isSecure: isSecure(request, deps.access) });
  for (const cookie of cookies) answer.headers.append("set-cookie", cookie);
  return answer;
}
