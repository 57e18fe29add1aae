/** A small OpenID provider on a real socket: it checks what a provider checks, and lies when it is told to. */
import { createHash, randomBytes } from "node:crypto";
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from "jose";

export interface OpenIdProvider {
  issuer: string;
  /** Whom the next sign-in is for, and what the ID token says beside or instead of the truth. */
  person: Record<string, unknown>;
  /** Signs the next ID tokens with a key that is not published. */
  isForged: boolean;
  /** Sends nothing about the person in the ID token, all of it at the userinfo endpoint. */
  isTerse: boolean;
  /** What the browser does there: it is sent back with a code. */
  consent(authorizationUrl: string): Promise<URL>;
  stop(): void;
}

const CLIENT = { id: "everruns", secret: "client-secret" };
export const OPENID_CLIENT = CLIENT;

export async function startOpenIdProvider(): Promise<OpenIdProvider> {
  const real = await generateKeyPair("RS256");
  const forged = await generateKeyPair("RS256");
  const codes = new Map<string, { challenge: string; nonce: string; redirectUri: string }>();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/.well-known/openid-configuration": () =>
        Response.json({
          issuer: provider.issuer,
          authorization_endpoint: `${provider.issuer}/authorize`,
          token_endpoint: `${provider.issuer}/token`,
          userinfo_endpoint: `${provider.issuer}/userinfo`,
          jwks_uri: `${provider.issuer}/jwks`,
          response_types_supported: ["code"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["RS256"],
          code_challenge_methods_supported: ["S256"],
          authorization_response_iss_parameter_supported: true,
        }),
      "/jwks": async () =>
        Response.json({ keys: [{ ...(await exportJWK(real.publicKey)), kid: "k", alg: "RS256" }] }),
      "/authorize": (request) => {
        const query = new URL(request.url).searchParams;
        const wanted = ["client_id", "response_type", "code_challenge_method", "scope"].map((name) =>
          query.get(name),
        );
        if (wanted.join() !== `${CLIENT.id},code,S256,openid email profile`) {
          return new Response(`not what is expected: ${wanted}`, { status: 400 });
        }
        const code = randomBytes(8).toString("hex");
        const back = new URL(query.get("redirect_uri") ?? "");
        codes.set(code, {
          challenge: query.get("code_challenge") ?? "",
          nonce: query.get("nonce") ?? "",
          redirectUri: back.href,
        });
        back.searchParams.set("code", code);
        back.searchParams.set("state", query.get("state") ?? "");
        back.searchParams.set("iss", provider.issuer);
        return Response.redirect(back.href, 302);
      },
      "/token": async (request) => {
        const form = new URLSearchParams(await request.text());
        const sent = codes.get(form.get("code") ?? "");
        codes.delete(form.get("code") ?? "");
        const challenge = createHash("sha256")
          .update(form.get("code_verifier") ?? "")
          .digest("base64url");
        const isRight =
          sent !== undefined &&
          sent.challenge === challenge &&
          sent.redirectUri === form.get("redirect_uri") &&
          form.get("client_id") === CLIENT.id &&
          form.get("client_secret") === CLIENT.secret;
        if (!isRight) return Response.json({ error: "invalid_grant" }, { status: 400 });
        const { sub, iss, aud, nonce, ...claims } = provider.person;
        const token = await sign((provider.isForged ? forged : real).privateKey, {
          iss: iss ?? provider.issuer,
          aud: aud ?? CLIENT.id,
          nonce: nonce ?? sent.nonce,
          sub,
          ...(provider.isTerse ? {} : claims),
        });
        return Response.json({ access_token: "at", token_type: "Bearer", expires_in: 60, id_token: token });
      },
      "/userinfo": (request) =>
        request.headers.get("authorization") === "Bearer at"
          ? Response.json(provider.person)
          : new Response(null, { status: 401 }),
    },
  });
  const provider: OpenIdProvider = {
    issuer: `http://127.0.0.1:${server.port}`,
    person: {},
    isForged: false,
    isTerse: false,
    async consent(authorizationUrl) {
      const answer = await fetch(authorizationUrl, { redirect: "manual" });
      if (answer.status !== 302) throw new Error(await answer.text());
      return new URL(answer.headers.get("location") ?? "");
    },
    stop: () => void server.stop(true),
  };
  return provider;
}

function sign(key: CryptoKey, claims: Record<string, unknown>): Promise<string> {
  const now = Math.floor(Date.now() / 1_000);
  return new SignJWT({ iat: now, exp: now + 60, ...claims })
    .setProtectedHeader({ alg: "RS256", kid: "k" })
    .sign(key);
}
