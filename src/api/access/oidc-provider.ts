/**
 * One OpenID provider: where to send people, and who came back. The library checks what comes back (state, issuer,
 * audience, nonce, the signature and age of the ID token); the code is useless without the verifier that only we have.
 */
import * as openid from "openid-client";
import type { Clock } from "../../base/clock.ts";
import { RetryableError, UserError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { OidcSettings } from "./access.ts";

/** Where somebody is on the way to the provider and back. */
export interface OidcTrip {
  state: string;
  nonce: string;
  verifier: string;
}

/** Whom the provider vouches for. */
export interface OidcPerson {
  subject: string;
  email: string | null;
  isEmailVerified: boolean;
  name: string | null;
  pictureUrl: string | null;
}

export interface OidcProvider {
  /** @param redirectUri  where the provider sends the browser back; it must know it */
  leave(redirectUri: string): Promise<{ url: URL; trip: OidcTrip }>;
  /**
   * @param currentUrl  the redirect URI with what the provider added
   * @throws UserError unauthorized: what came back is not right
   */
  comeBack(currentUrl: URL, trip: OidcTrip): Promise<OidcPerson>;
}

/** The provider's addresses and keys are asked for anew after this long. */
const DISCOVERY_MS = 3_600_000;
const TIMEOUT_SECONDS = 10;
const SCOPE = "openid email profile";

export function createOidcProvider(
  settings: OidcSettings,
  { clock, log }: { clock: Clock; log: Log },
): OidcProvider {
  let known: { configuration: openid.Configuration; atMs: number } | null = null;

  const discover = async (): Promise<openid.Configuration> => {
    if (known && clock.monotonicMs() - known.atMs < DISCOVERY_MS) return known.configuration;
    const { issuer, clientId, clientSecret } = settings;
    try {
      const configuration = await openid.discovery(new URL(issuer), clientId, clientSecret, undefined, {
        timeout: TIMEOUT_SECONDS,
        // The configuration takes http for this machine alone.
        ...(issuer.startsWith("http:") ? { execute: [openid.allowInsecureRequests] } : {}),
      });
      openid.enableNonRepudiationChecks(configuration);
      known = { configuration, atMs: clock.monotonicMs() };
      return configuration;
    } catch (error) {
      throw new RetryableError("unavailable", `the OpenID provider ${issuer} does not answer`, {
        cause: error,
      });
    }
  };

  return {
    async leave(redirectUri) {
      const configuration = await discover();
      const trip = {
        state: openid.randomState(),
        nonce: openid.randomNonce(),
        verifier: openid.randomPKCECodeVerifier(),
      };
      const url = openid.buildAuthorizationUrl(configuration, {
        redirect_uri: redirectUri,
        scope: SCOPE,
        state: trip.state,
        nonce: trip.nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(trip.verifier),
        code_challenge_method: "S256",
      });
      return { url, trip };
    },
    async comeBack(currentUrl, { state, nonce, verifier }) {
      const configuration = await discover();
      try {
        const tokens = await openid.authorizationCodeGrant(configuration, currentUrl, {
          expectedState: state,
          expectedNonce: nonce,
          pkceCodeVerifier: verifier,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        if (!claims) throw new Error("the provider sent no ID token");
        const more =
          claims.email === undefined && configuration.serverMetadata().userinfo_endpoint !== undefined
            ? await openid.fetchUserInfo(configuration, tokens.access_token, claims.sub)
            : {};
        return personOf(claims.sub, { ...claims, ...more });
      } catch (error) {
        log.warn("a sign-in at the OpenID provider failed", { issuer: settings.issuer, error });
        throw new UserError("unauthorized", "signing in at the provider did not work; try again", {
          cause: error,
        });
      }
    },
  };
}

function personOf(subject: string, claims: Readonly<Record<string, unknown>>): OidcPerson {
  const text = (name: string) =>
    typeof claims[name] === "string" && claims[name] !== "" ? claims[name] : null;
  const picture = text("picture");
  return {
    subject,
    email: text("email"),
    isEmailVerified: claims.email_verified === true,
    name: text("name") ?? text("preferred_username"),
    pictureUrl: picture?.startsWith("https://") ? picture : null,
  };
}
