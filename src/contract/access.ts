/** Who may call and with what: roles, scopes, access tokens, sign-in. */
import { limits } from "./limits.ts";
import { Id, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** What a user may do in an organization, from most to least. */
export const Role = OneOf(["owner", "admin", "member", "viewer"]);
export type Role = Static<typeof Role>;

/** What a token may do at most; `admin` includes `write`, `write` includes `read`. */
export const Scope = OneOf(["read", "write", "admin"]);
export type Scope = Static<typeof Scope>;

/** What a token of one session may do there. */
export type SessionRight = "read" | "write" | "approve";

/** An access token as it is listed: never the token itself. */
export const PersonalAccessToken = Type.Object({
  id: Id("pat"),
  name: Type.String(),
  token_prefix: Type.String(),
  scopes: Type.Array(Scope),
  organization_ids: Type.Array(Type.String()),
  user_id: Type.String(),
  created_at: Timestamp,
  expires_at: Type.Optional(Timestamp),
  last_used_at: Type.Optional(Timestamp),
});
export type PersonalAccessToken = Static<typeof PersonalAccessToken>;

/** The only answer that shows the token. */
export const CreatedPersonalAccessToken = Type.Intersect([
  PersonalAccessToken,
  Type.Object({ token: Type.String() }),
]);

export const CreatePersonalAccessTokenRequest = Type.Object({
  name: Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax }),
  /** `["read", "write"]` when absent. */
  scopes: Maybe(Type.Array(Scope, { minItems: 1, maxItems: 3 })),
  /** Where the token opens; the caller's organization when absent. */
  organization_ids: Maybe(
    Type.Array(Type.String(), { minItems: 1, maxItems: limits.organizationsPerTokenMax }),
  ),
  expires_at: Maybe(Timestamp),
  expires_in_days: Maybe(Type.Integer({ minimum: 1, maximum: 3650 })),
});

const Email = Type.String({ minLength: 3, maxLength: limits.emailCharsMax, pattern: "^[^@\\s]+@[^@\\s]+$" });
const Password = Type.String({ minLength: limits.passwordCharsMin, maxLength: limits.passwordCharsMax });
const PersonName = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });

/** `GET /v1/auth/config`: what a sign-in page should offer. */
export const AuthConfig = Type.Object({
  mode: OneOf(["none", "admin", "full"]),
  password_auth_enabled: Type.Boolean(),
  /** Names, for `/v1/auth/oauth/{name}`. */
  oauth_providers: Type.Array(Type.String()),
  signup_enabled: Type.Boolean(),
});

export const LoginRequest = Type.Object({
  email: Type.String({ maxLength: limits.emailCharsMax }),
  password: Type.String({ maxLength: limits.passwordCharsMax }),
});

export const RegisterRequest = Type.Object({ email: Email, password: Password, name: PersonName });

export const ChangePasswordRequest = Type.Object({
  /** Absent for somebody who has none yet. */
  current_password: Maybe(Type.String({ maxLength: limits.passwordCharsMax })),
  new_password: Password,
});

/** Without a body the cookie's token is meant. */
export const RefreshRequest = Type.Object({ refresh_token: Maybe(Type.String({ maxLength: 4_096 })) });

/** The caller, and as what they call. */
export const Me = Type.Object({
  id: Id("user"),
  principal_id: Id("principal"),
  email: Type.String(),
  name: Type.String(),
  avatar_url: Type.Optional(Type.String()),
  auth_provider: Type.Optional(Type.String()),
  /** Absent for somebody who belongs to no organization. */
  organization_id: Type.Optional(Id("org")),
  role: Type.Optional(Role),
  roles: Type.Array(Role),
  /** What the caller may do with what it came with, as a token would say it: never more than the role allows. */
  scopes: Type.Array(Scope),
  created_at: Timestamp,
});
export type Me = Static<typeof Me>;

/** Seconds in `expires_in`. `refresh_token` is absent where the cookie alone carries it. */
export const SignedIn = Type.Object({
  access_token: Type.String(),
  refresh_token: Type.Optional(Type.String()),
  token_type: Type.Literal("Bearer"),
  expires_in: Type.Integer(),
  user: Me,
});

export const SignedOut = Type.Object({ success: Type.Literal(true) });

export const CreateSessionTokenRequest = Type.Object({
  read: Maybe(Type.Boolean()),
  write: Maybe(Type.Boolean()),
  approve: Maybe(Type.Boolean()),
  ttl_seconds: Maybe(Type.Integer({ minimum: 10, maximum: limits.sessionTokenSecondsMax })),
});

/** A token that opens one session and nothing else. */
export const SessionToken = Type.Object({
  token: Type.String(),
  token_type: Type.Literal("Bearer"),
  session_id: Id("session"),
  read: Type.Boolean(),
  write: Type.Boolean(),
  approve: Type.Boolean(),
  expires_at: Timestamp,
});
