/** Values and secrets that a session has put aside. Secrets are sealed for their session and name. */
import { UserError } from "../base/errors.ts";
import { wellFormed } from "../base/json.ts";
import { type Sealer, sealPlace } from "../base/seal.ts";
import { limits } from "../contract/limits.ts";
import type { SessionStorage } from "../contract/session-storage.ts";
import type { Db } from "./pool.ts";
import { asRetryable } from "./sqlstate.ts";

export interface SessionScope {
  organizationId: string;
  sessionId: string;
}

export interface SessionValueRow {
  key: string;
  value: string;
  created_at: Date;
  updated_at: Date;
}

/** Without the value: no reader of this row can show it. */
export interface SessionSecretRow {
  name: string;
  created_at: Date;
  updated_at: Date;
}

/** A name is part of the place that a secret is sealed for, and people write it into requests and prompts. */
const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/;

const secretPlace = ({ organizationId, sessionId }: SessionScope, name: string) =>
  sealPlace({
    tenant: organizationId,
    table: "session_secrets",
    row: `${sessionId}:${name}`,
    column: "value_sealed",
  });

/** @param sealer.open  only tools that use a secret need it */
export function createSessionStorage(
  db: Db,
  sealer: Pick<Sealer, "seal" | "open">,
): (scope: SessionScope) => SessionStorage {
  return (scope) => openStorage(db, sealer, scope);
}

function openStorage(db: Db, sealer: Pick<Sealer, "seal" | "open">, scope: SessionScope): SessionStorage {
  const { sql } = db;
  const { organizationId, sessionId } = scope;
  return {
    async value(key) {
      const rows = await retryable(sql<SessionValueRow[]>`
        select key, value, created_at, updated_at from session_values
         where session_id = ${sessionId} and organization_id = ${organizationId} and key = ${key}`);
      return rows[0] ? toValue(rows[0]) : null;
    },
    async values() {
      return (await listSessionValues(db, scope)).map(toValue);
    },
    putValue: (key, value) => putValue(db, scope, key, value),
    async deleteValue(key) {
      await retryable(sql`
        delete from session_values
         where session_id = ${sessionId} and organization_id = ${organizationId} and key = ${key}`);
    },
    async secrets() {
      return (await listSessionSecrets(db, scope)).map((row) => ({
        name: row.name,
        updatedAt: row.updated_at.toISOString(),
      }));
    },
    async openSecret(name) {
      const rows = await retryable(sql<{ value_sealed: string }[]>`
        select value_sealed from session_secrets
         where session_id = ${sessionId} and organization_id = ${organizationId} and name = ${name}`);
      return rows[0] ? sealer.open(rows[0].value_sealed, secretPlace(scope, name)) : null;
    },
    async putSecrets(secrets) {
      await putSessionSecrets(db, sealer, scope, secrets);
    },
    async deleteSecret(name) {
      await retryable(sql`
        delete from session_secrets
         where session_id = ${sessionId} and organization_id = ${organizationId} and name = ${name}`);
    },
  };
}

const toValue = (row: SessionValueRow) => ({
  key: row.key,
  value: row.value,
  updatedAt: row.updated_at.toISOString(),
});

/** Sorted by key. */
export async function listSessionValues({ sql }: Db, scope: SessionScope): Promise<SessionValueRow[]> {
  return await retryable(sql<SessionValueRow[]>`
    select key, value, created_at, updated_at from session_values
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId}
     order by key`);
}

/** Sorted by name. */
export async function listSessionSecrets({ sql }: Db, scope: SessionScope): Promise<SessionSecretRow[]> {
  return await retryable(sql<SessionSecretRow[]>`
    select name, created_at, updated_at from session_secrets
     where session_id = ${scope.sessionId} and organization_id = ${scope.organizationId}
     order by name`);
}

/** The limits are those of what the statement sees: calls at the very same moment may go a little past them. */
async function putValue({ sql }: Db, scope: SessionScope, key: string, text: string): Promise<void> {
  if (key.length === 0 || key.length > limits.sessionKeyCharsMax || wellFormed(key) !== key) {
    throw new UserError(
      "invalid_request",
      `a key has 1 to ${limits.sessionKeyCharsMax} characters of valid Unicode without NUL`,
    );
  }
  const value = wellFormed(text);
  const bytes = Buffer.byteLength(value);
  if (bytes > limits.sessionValueBytesMax) {
    throw new UserError(
      "limit_exceeded",
      `a value has at most ${limits.sessionValueBytesMax} bytes, this has ${bytes}; write it to a file`,
    );
  }
  const rows = await retryable(sql<{ is_put: boolean; is_live: boolean }[]>`
    with others as (
      select count(*) as n, coalesce(sum(octet_length(value)), 0) as bytes from session_values
       where session_id = ${scope.sessionId} and key <> ${key}
    ), session as (
      select id from sessions
       where id = ${scope.sessionId} and organization_id = ${scope.organizationId} and deleted_at is null
    ), put as (
      insert into session_values (session_id, key, organization_id, value)
      select session.id, ${key}, ${scope.organizationId}, ${value}
        from session, others
       where others.n < ${limits.sessionValuesMax} and others.bytes + ${bytes} <= ${limits.sessionValuesBytesMax}
      on conflict (session_id, key) do update set value = excluded.value, updated_at = now()
      returning 1
    )
    select exists (select from put) as is_put, exists (select from session) as is_live`);
  if (rows[0]?.is_put) return;
  if (!rows[0]?.is_live) throw new UserError("not_found", "Session not found");
  throw new UserError(
    "limit_exceeded",
    `a session keeps at most ${limits.sessionValuesMax} keys and ${limits.sessionValuesBytesMax} bytes; delete some first`,
  );
}

/**
 * Sets all of them, or none.
 *
 * @returns how many
 * @throws UserError not_found, invalid_request, limit_exceeded; no message tells a value
 */
export async function putSessionSecrets(
  { sql }: Db,
  { seal }: Pick<Sealer, "seal">,
  scope: SessionScope,
  secrets: Readonly<Record<string, string>>,
): Promise<number> {
  const names = Object.keys(secrets);
  for (const name of names) requireSecret(name, secrets[name] ?? "");
  const sealed = names.map((name) => seal(secrets[name] ?? "", secretPlace(scope, name)));
  const rows = await retryable(sql<{ is_live: boolean; fits: boolean }[]>`
    with asked as (
      select * from unnest(${names}::text[], ${sealed}::text[]) as a(name, value_sealed)
    ), session as (
      select id from sessions
       where id = ${scope.sessionId} and organization_id = ${scope.organizationId} and deleted_at is null
    ), others as (
      select count(*) as n from session_secrets
       where session_id = ${scope.sessionId} and name <> all (${names}::text[])
    ), fits as (
      select others.n + ${names.length}::int <= ${limits.sessionSecretsMax} as yes from others
    ), put as (
      insert into session_secrets (session_id, name, organization_id, value_sealed)
      select session.id, asked.name, ${scope.organizationId}, asked.value_sealed
        from session, asked, fits
       where fits.yes
      on conflict (session_id, name) do update set value_sealed = excluded.value_sealed, updated_at = now()
    )
    select exists (select from session) as is_live, fits.yes as fits from fits`);
  if (!rows[0]?.is_live) throw new UserError("not_found", "Session not found");
  if (rows[0].fits) return names.length;
  throw new UserError("limit_exceeded", `a session keeps at most ${limits.sessionSecretsMax} secrets`);
}

function requireSecret(name: string, value: string): void {
  if (!SECRET_NAME.test(name)) {
    throw new UserError(
      "invalid_request",
      `${JSON.stringify(name.slice(0, 80).toWellFormed())} is no name of a secret: a letter or _, then letters, digits, _ . -, at most 128`,
    );
  }
  if (value === "" || value.length > limits.sessionSecretCharsMax) {
    throw new UserError(
      "limit_exceeded",
      `the secret ${name}: a value has 1 to ${limits.sessionSecretCharsMax} characters`,
    );
  }
}

async function retryable<T>(work: PromiseLike<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asRetryable(error);
  }
}
