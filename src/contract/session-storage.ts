/**
 * What a session puts aside under a name. The shapes are the wire's; `SessionStorage` is the promise between the
 * db room, which keeps it, and the capabilities room, whose tools use it: neither may import the other.
 */
import { limits } from "./limits.ts";
import { List, MapOf, type Static, Timestamp, Type } from "./schema.ts";

export const KeyValueInfo = Type.Object({
  key: Type.String(),
  value: Type.String(),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type KeyValueInfo = Static<typeof KeyValueInfo>;

/** Never the value. */
export const SecretInfo = Type.Object({ name: Type.String(), created_at: Timestamp, updated_at: Timestamp });
export type SecretInfo = Static<typeof SecretInfo>;

export const KeyValueList = List(KeyValueInfo);
export const SecretList = List(SecretInfo);

/** Secrets by name; those that the session has already get the new value. */
export const BatchSetSecretsRequest = Type.Object({
  secrets: MapOf(Type.String({ maxLength: limits.sessionSecretCharsMax })),
});
export type BatchSetSecretsRequest = Static<typeof BatchSetSecretsRequest>;

export const BatchSetSecretsResponse = Type.Object({ count: Type.Integer({ minimum: 0 }) });

export interface StoredValue {
  key: string;
  value: string;
  /** RFC 3339, UTC. */
  updatedAt: string;
}

export interface StoredSecret {
  name: string;
  /** RFC 3339, UTC. */
  updatedAt: string;
}

/**
 * Every method throws UserError (`invalid_request`, `limit_exceeded`, `encryption_key_wrong`) for what people can
 * mend, TerminalError for a damaged secret, and RetryableError when the database cannot be reached.
 */
export interface SessionStorage {
  /** null: nothing under this key. */
  value(key: string): Promise<StoredValue | null>;
  /** Sorted by key. */
  values(): Promise<StoredValue[]>;
  putValue(key: string, value: string): Promise<void>;
  deleteValue(key: string): Promise<void>;
  /** Sorted by name. */
  secrets(): Promise<StoredSecret[]>;
  /** The secret itself; null: there is none of this name. */
  openSecret(name: string): Promise<string | null>;
  /** All or none. */
  putSecrets(secrets: Readonly<Record<string, string>>): Promise<void>;
  deleteSecret(name: string): Promise<void>;
}
