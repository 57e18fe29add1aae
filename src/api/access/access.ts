import type { Clock } from "../../base/clock.ts";
import type { Passwords } from "../../base/password.ts";
import { createPasswords } from "../../base/password.ts";
import type { Jwts } from "./jwts.ts";
import { createJwts } from "./jwts.ts";

/** How people and programs prove who they are, as the operator configured it. */
export interface Access {
  mode: "none" | "admin" | "full";
  /** The only one who may call; null: everybody with an account. */
  adminEmail: string | null;
  isSignupOpen: boolean;
  /** Where browsers find this server, without a slash at the end; null when nobody said it. */
  publicUrl: string | null;
  /** Pages of other sites that the operator lets in. */
  allowedOrigins: readonly string[];
  oidc: OidcSettings | null;
  jwts: Jwts;
  passwords: Passwords;
}

export interface OidcSettings {
  /** In paths: `/auth/oauth/{name}`. */
  name: string;
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** What people become in the first organization at their first sign-in; null: they need an account already. */
  role: "member" | "viewer" | null;
}

/** @param options.jwtKey  signs what people carry while they are signed in; 32 bytes */
export function createAccess(
  options: Omit<Access, "jwts" | "passwords"> & { jwtKey: Uint8Array; clock: Clock },
): Access {
  const { jwtKey, clock, ...settings } = options;
  return { ...settings, jwts: createJwts(jwtKey, clock), passwords: createPasswords() };
}

/** Nobody proves anything: every caller is the anonymous admin. */
export function openAccess(options: { jwtKey: Uint8Array; clock: Clock }): Access {
  return createAccess({
    ...options,
    mode: "none",
    adminEmail: null,
    isSignupOpen: false,
    publicUrl: null,
    allowedOrigins: [],
    oidc: null,
  });
}
