/**
 * Cookies of a browser that signed in. No script can read them, and a request that changes something counts only when
 * it comes from our own pages: the browser says so in `Origin` or `Sec-Fetch-Site`, which no page can forge.
 */
import { UserError } from "../../base/errors.ts";
import { limits } from "../../contract/limits.ts";
import { READ_METHODS } from "../http/identify.ts";
import type { Access } from "./access.ts";

const ACCESS = "access_token";
const REFRESH = "refresh_token";
/** What the browser keeps while it is at the OpenID provider. */
const OIDC = "everruns_oidc";
/** How long that may take. */
export const TRIP_SECONDS = 600;

type Pages = Pick<Access, "publicUrl" | "allowedOrigins">;

export const accessCookieOf = (request: Request): string | null => cookieOf(request, ACCESS);
export const refreshCookieOf = (request: Request): string | null => cookieOf(request, REFRESH);
export const oidcCookieOf = (request: Request): string | null => cookieOf(request, OIDC);

/** `Set-Cookie` of a sign-in; null takes both away. */
export function loginCookies(
  tokens: { access: string; refresh: string } | null,
  options: { isSecure: boolean },
): string[] {
  const { access, refresh } = tokens ?? { access: "", refresh: "" };
  const accessSeconds = tokens ? limits.accessTokenSeconds : 0;
  const refreshSeconds = tokens ? limits.refreshTokenSeconds : 0;
  return [
    // Lax, so that somebody who follows a link to us is signed in.
    setCookie(ACCESS, access, { ...options, seconds: accessSeconds, sameSite: "Lax" }),
    setCookie(REFRESH, refresh, { ...options, seconds: refreshSeconds, sameSite: "Strict" }),
  ];
}

/** Lax: the provider sends the browser back from another site. */
export function oidcCookie(token: string | null, options: { isSecure: boolean }): string {
  return setCookie(OIDC, token ?? "", { ...options, seconds: token ? TRIP_SECONDS : 0, sameSite: "Lax" });
}

/** Whether the browser came over https, as far as we can know behind a proxy. */
export function isSecure(request: Request, { publicUrl }: Pick<Access, "publicUrl">): boolean {
  return [publicUrl, request.headers.get("origin"), request.url].some((url) => url?.startsWith("https://"));
}

/**
 * A request with a cookie that changes something comes from a page of ours, or of a site that the operator let in.
 *
 * @throws UserError forbidden
 */
export function requireOwnPage(request: Request, pages: Pages): void {
  if (READ_METHODS.has(request.method) || isFromOwnPage(request, pages)) return;
  throw new UserError(
    "forbidden",
    "a change that is authorized by a cookie must come from a page of this server (Origin)",
  );
}

function isFromOwnPage(request: Request, { publicUrl, allowedOrigins }: Pages): boolean {
  const origin = request.headers.get("origin");
  if (origin === null) return request.headers.get("sec-fetch-site") === "same-origin";
  if (allowedOrigins.includes(origin)) return true;
  const page = URL.parse(origin);
  if (!page) return false;
  if (publicUrl !== null && page.origin === URL.parse(publicUrl)?.origin) return true;
  return page.host === (request.headers.get("host") ?? new URL(request.url).host);
}

function cookieOf(request: Request, name: string): string | null {
  for (const part of (request.headers.get("cookie") ?? "").split(";")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim() || null;
  }
  return null;
}

function setCookie(
  name: string,
  value: string,
  options: { seconds: number; sameSite: "Lax" | "Strict"; isSecure: boolean },
): string {
  const secure = options.isSecure ? "; Secure" : "";
  return `${name}=${value}; Path=/; Max-Age=${options.seconds}; HttpOnly; SameSite=${options.sameSite}${secure}`;
}
