import postgres from "postgres";
import { RetryableError } from "../base/errors.ts";

/**
 * The five-character SQLSTATE of a database error, or null when the error did not come from PostgreSQL. By class and
 * not by name: postgres.js takes the name from its class, and the executable is minified.
 */
export function sqlstateOf(error: unknown): string | null {
  return error instanceof postgres.PostgresError ? error.code : null;
}

/** The name of the violated constraint or index, or null. */
export function constraintOf(error: unknown): string | null {
  const name = (error as { constraint_name?: unknown } | null)?.constraint_name;
  return typeof name === "string" ? name : null;
}

export const isUniqueViolation = (error: unknown) => sqlstateOf(error) === "23505";
export const isForeignKeyViolation = (error: unknown) => sqlstateOf(error) === "23503";

const CONNECTION_CODES = new Set([
  "CONNECTION_CLOSED",
  "CONNECTION_ENDED",
  "CONNECTION_DESTROYED",
  "CONNECT_TIMEOUT",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOENT",
  "EPIPE",
  "ETIMEDOUT",
]);

/**
 * True when the database could not be asked or gave up for a passing reason: connection lost (class 08, 57P),
 * out of connections (53), deadlock (40P01), serialization failure (40001), lock timeout (55P03).
 */
export function isTransientDatabaseError(error: unknown): boolean {
  const state = sqlstateOf(error);
  if (state !== null) return /^(08|57P|53|40P01|40001|55P03)/.test(state);
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && CONNECTION_CODES.has(code);
}

/** Turns a passing database error into a RetryableError `unavailable`; any other error comes back as it was. */
export function asRetryable(error: unknown): unknown {
  if (!isTransientDatabaseError(error)) return error;
  return new RetryableError("unavailable", "the database cannot be reached right now", { cause: error });
}
