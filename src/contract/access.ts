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
