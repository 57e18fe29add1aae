/**
 * The signed tokens of the house (HS256): short-lived, checked without a look at the database, which is asked only
 * whether what they stand for still holds. Each kind has an audience of its own: one is never taken for another.
 */
import { type JWTPayload, jwtVerify, SignJWT } from "jose";
import type { Clock } from "../../base/clock.ts";
import type { SessionRight } from "../../contract/access.ts";

/** What a token says, by its kind. */
interface Claims {
  /** Who signed in. */
  access: { sub: string; login: string };
  /** Renews a sign-in once. */
  refresh: { sub: string; login: string; generation: number };
  /** Opens one session. `by` is the credential that it was made with. */
  session: { sub: string; org: string; session: string; rights: SessionRight[]; by: string };
  /** Kept by the browser between leaving for the OpenID provider and coming back. */
  oidc: { state: string; nonce: string; verifier: string; returnTo: string };
}

export type JwtKind = keyof Claims;

export interface Jwts {
  sign<K extends JwtKind>(kind: K, claims: Claims[K], lifeSeconds: number): Promise<string>;
  /** @returns null when it is none of these kinds, altered, or expired */
  verify<K extends JwtKind>(token: string, kinds: readonly K[]): Promise<VerifiedJwt<K> | null>;
}

export type VerifiedJwt<K extends JwtKind = JwtKind> = { [E in K]: { kind: E } & Claims[E] }[K];

const ISSUER = "everruns";
const ALGORITHM = "HS256";

/** @param key  at least 256 bits, the same in every process on one database */
export function createJwts(key: Uint8Array, clock: Pick<Clock, "now">): Jwts {
  return {
    sign(kind, claims, lifeSeconds) {
      const now = Math.floor(clock.now().getTime() / 1_000);
      return new SignJWT(claims as unknown as JWTPayload)
        .setProtectedHeader({ alg: ALGORITHM, typ: "JWT" })
        .setIssuer(ISSUER)
        .setAudience(kind)
        .setIssuedAt(now)
        .setExpirationTime(now + lifeSeconds)
        .sign(key);
    },
    async verify(token, kinds) {
      try {
        const { payload } = await jwtVerify(token, key, {
          algorithms: [ALGORITHM],
          issuer: ISSUER,
          audience: [...kinds],
          requiredClaims: ["exp"],
          currentDate: clock.now(),
        });
        return { ...payload, kind: payload.aud } as never;
      } catch {
        // Whatever is wrong with it, it is not ours.
        return null;
      }
    },
  };
}
