/** Authentication as the configuration says it: the server's side of it, and the admin whom it names. */
import { type Access, createAccess } from "../src/api/access/access.ts";
import { DEFAULT_ORGANIZATION } from "../src/api/http/identify.ts";
import { systemClock } from "../src/base/clock.ts";
import { deriveKey } from "../src/base/derive-key.ts";
import { UserError } from "../src/base/errors.ts";
import { createPasswords } from "../src/base/password.ts";
import type { Config } from "../src/config/config.ts";
import type { EncryptionKey } from "../src/config/encryption-key.ts";
import { insertMember, putMembership, setPassword, userByEmail } from "../src/db/access/users.ts";
import type { Platform } from "./platform.ts";

export function accessOf(config: Config, encryptionKey: EncryptionKey): Access {
  const secret = config.authJwtSecret === null ? encryptionKey.key : Buffer.from(config.authJwtSecret);
  const { oidcIssuer: issuer, oidcClientId: clientId, oidcClientSecret: clientSecret } = config;
  return createAccess({
    mode: config.authMode,
    adminEmail: config.authMode === "admin" ? config.authAdminEmail : null,
    isSignupOpen: config.authSignup === "open",
    publicUrl: config.publicUrl?.replace(/\/+$/, "") ?? null,
    allowedOrigins: config.corsOrigins,
    oidc:
      issuer === null || clientId === null || clientSecret === null
        ? null
        : { name: config.oidcName, issuer, clientId, clientSecret, role: config.oidcRole },
    jwtKey: deriveKey(secret, "everruns/jwt"),
    clock: systemClock,
  });
}

/**
 * Makes the admin of the configuration the owner of the first organization, with the configured password. A password
 * that changed in the configuration replaces the stored one and ends the sign-ins that were made with it.
 */
export async function ensureAdmin({
  config,
  db,
  log,
}: Pick<Platform, "config" | "db" | "log">): Promise<void> {
  const { authMode, authAdminEmail: email, authAdminPassword: password } = config;
  if (authMode === "none" || email === null || password === null) return;
  const passwords = createPasswords();
  const membership = { organizationId: DEFAULT_ORGANIZATION, role: "owner" } as const;
  let user = await userByEmail(db, email);
  if (!user) {
    const made = await insertMember(
      db,
      {
        email,
        name: email.split("@")[0] ?? email,
        passwordHash: await passwords.hash(password),
        authProvider: "password",
        authSubject: null,
        isEmailVerified: true,
      },
      membership,
    );
    if (made) return log.info(`made the admin ${email}`);
    // Another process was faster.
    user = await userByEmail(db, email);
    if (!user) return;
  }
  if (!user.is_email_verified) {
    throw new UserError(
      "config_invalid",
      `AUTH_ADMIN_EMAIL: the account ${email} was registered by somebody who did not prove that the address is theirs; ` +
        "name another admin",
    );
  }
  await putMembership(db, { ...membership, userId: user.id });
  if (await passwords.verify(password, user.password_hash)) return;
  await setPassword(db, user.id, await passwords.hash(password));
  log.info(`the password of the admin ${email} is now that of the configuration`);
}
