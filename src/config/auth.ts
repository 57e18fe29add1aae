/** Who may call the server: the settings of authentication, and what must be said together. */
import { z } from "zod";
import { isLoopbackHost } from "./loopback.ts";
import { address, oneOf, setting, text } from "./setting.ts";

const PASSWORD_CHARS_MIN = 8;
const SECRET_CHARS_MIN = 32;

const secretOf = (charsMin: number) =>
  z.string().refine((secret) => secret.length >= charsMin, `at least ${charsMin} characters are expected`);

const matching = (pattern: RegExp, expected: string) =>
  z.string().refine((value) => pattern.test(value), `${expected} is expected`);

const nothing = () => null;

export const authSettings = {
  authMode: setting<"none" | "admin" | "full">({
    env: "AUTH_MODE",
    schema: oneOf(["none", "admin", "full"]),
    fallback: () => "none",
  }),
  authAdminEmail: setting<string | null>({
    env: "AUTH_ADMIN_EMAIL",
    schema: matching(/^[^@\s]+@[^@\s]+$/, "an e-mail address").transform((email) => email.toLowerCase()),
    fallback: nothing,
  }),
  authAdminPassword: setting<string | null>({
    env: "AUTH_ADMIN_PASSWORD",
    schema: secretOf(PASSWORD_CHARS_MIN),
    fallback: nothing,
    isSecret: true,
  }),
  authJwtSecret: setting<string | null>({
    env: "AUTH_JWT_SECRET",
    schema: secretOf(SECRET_CHARS_MIN),
    fallback: nothing,
    isSecret: true,
  }),
  authSignup: setting<"off" | "open">({
    env: "AUTH_SIGNUP",
    schema: oneOf(["off", "open"]),
    fallback: () => "off",
  }),
  publicUrl: setting<string | null>({
    env: "EVERRUNS_PUBLIC_URL",
    schema: address(["http:", "https:"], "https://everruns.example.com"),
    fallback: nothing,
    isUrl: true,
  }),
  oidcIssuer: setting<string | null>({
    env: "AUTH_OIDC_ISSUER",
    schema: address(["http:", "https:"], "https://accounts.example.com"),
    fallback: nothing,
    isUrl: true,
  }),
  oidcClientId: setting<string | null>({ env: "AUTH_OIDC_CLIENT_ID", schema: text, fallback: nothing }),
  oidcClientSecret: setting<string | null>({
    env: "AUTH_OIDC_CLIENT_SECRET",
    schema: text,
    fallback: nothing,
    isSecret: true,
  }),
  oidcName: setting({
    env: "AUTH_OIDC_NAME",
    schema: matching(/^[a-z0-9-]{1,32}$/, "a lowercase word like google"),
    fallback: () => "oidc",
  }),
  oidcRole: setting<"member" | "viewer" | null>({
    env: "AUTH_OIDC_ROLE",
    schema: oneOf(["member", "viewer"]),
    fallback: nothing,
  }),
} as const;

type Values = {
  readonly [N in keyof typeof authSettings]: ReturnType<(typeof authSettings)[N]["fallback"]>;
};

const OIDC = {
  oidcIssuer: "AUTH_OIDC_ISSUER",
  oidcClientId: "AUTH_OIDC_CLIENT_ID",
  oidcClientSecret: "AUTH_OIDC_CLIENT_SECRET",
} as const;

/**
 * What a server cannot start with: settings that contradict each other or miss a part.
 *
 * @param values  null: nobody said it. Absent: what was said is wrong, which has been told already.
 */
export function authProblems(values: Partial<Values>): string[] {
  const { authMode = "full", authAdminEmail, authAdminPassword, authSignup, publicUrl } = values;
  const problems: string[] = [];
  const oidc = Object.entries(OIDC) as [keyof typeof OIDC, string][];
  const hasOidc = oidc.some(([name]) => values[name] !== null);
  if (authMode === "admin" || authAdminEmail !== null || authAdminPassword !== null) {
    if (authAdminEmail === null) problems.push("AUTH_ADMIN_EMAIL: the admin's e-mail address is missing");
    if (authAdminPassword === null) problems.push("AUTH_ADMIN_PASSWORD: the admin's password is missing");
    if (authMode === "none") problems.push(needs("AUTH_ADMIN_EMAIL", "an admin", "admin or AUTH_MODE=full"));
  }
  if (authSignup === "open" && authMode !== "full") problems.push(needs("AUTH_SIGNUP", "sign-up", "full"));
  if (!hasOidc) return problems;
  if (authMode !== "full") problems.push(needs("AUTH_OIDC_ISSUER", "an OpenID provider", "full"));
  for (const [name, variable] of oidc) {
    if (values[name] === null) problems.push(`${variable}: the other AUTH_OIDC settings need it`);
  }
  const issuer = URL.parse(values.oidcIssuer ?? "");
  if (issuer?.protocol === "http:" && !isLoopbackHost(issuer.hostname)) {
    problems.push("AUTH_OIDC_ISSUER: https is expected; http is for a provider on this machine");
  }
  if (publicUrl === null) {
    problems.push("EVERRUNS_PUBLIC_URL: the OpenID provider sends people back to it, so it must be said");
  }
  return problems;
}

const needs = (variable: string, what: string, mode: string) =>
  `${variable}: ${what} needs AUTH_MODE=${mode}`;
