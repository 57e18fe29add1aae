/** Accounts of users with other services. */
import { limits } from "./limits.ts";
import { Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

/** Never the key. The clients read different halves of this: both are here. */
export const Connection = Type.Object({
  provider: Type.String(),
  connection_type: OneOf(["api_key"]),
  provider_username: Type.Optional(Type.String()),
  scopes: Type.Optional(Type.String()),
  connected_at: Timestamp,
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type Connection = Static<typeof Connection>;

export const ApiKeyConnectionRequest = Type.Object({
  api_key: Type.String({ minLength: 1, maxLength: limits.secretCharsMax }),
  /** Whose key it is, for people to tell accounts apart. */
  provider_username: Maybe(Type.String({ maxLength: limits.displayNameCharsMax })),
});

/** A service that a user can connect an account of. */
export const ConnectionProvider = Type.Object({
  provider: Type.String(),
  display_name: Type.String(),
  connection_type: OneOf(["api_key"]),
  description: Type.String(),
  /** Where a key is made. */
  instructions_url: Type.String(),
  is_connected: Type.Boolean(),
});
export type ConnectionProvider = Static<typeof ConnectionProvider>;

/** `error` says why it is not valid, or why that could not be found out. */
export const ConnectionVerification = Type.Object({
  valid: Type.Boolean(),
  error: Type.Optional(Type.String()),
});
export type ConnectionVerification = Static<typeof ConnectionVerification>;
