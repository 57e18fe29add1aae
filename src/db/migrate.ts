/**
 * Migrations: plain SQL, forward only, applied in order under an advisory lock, each in one transaction with the
 * row that records it. A checksum notices a file that was edited after it was applied; a schema that is newer
 * than this program is refused, never guessed at.
 */
import { UserError } from "../base/errors.ts";
import type { Db } from "./pool.ts";
import { sqlstateOf } from "./sqlstate.ts";
import { transaction } from "./tx.ts";

export interface MigrationFile {
  version: number;
  name: string;
  sql: string;
}

export interface MigrationStatus {
  version: number;
  name: string;
  /** RFC 3339, or null when it has not been applied. */
  appliedAt: string | null;
  /** False when the file differs from what was applied, or when this program does not know it. */
  isIntact: boolean;
}

/** "everrun" as a number: the same lock for every process that migrates this database. */
const MIGRATION_LOCK = 0x65_76_65_72;

interface AppliedRow {
  version: number;
  name: string;
  checksum: string;
  applied_at: Date;
}

/**
 * Applies what is missing.
 *
 * @returns the names of the migrations that this call applied, in order
 * @throws UserError schema_newer, schema_changed
 */
export async function migrate(db: Db, files: readonly MigrationFile[]): Promise<string[]> {
  return transaction(db, async (sql) => {
    await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK})`;
    await sql`
      create table if not exists schema_migrations (
        version integer primary key,
        name text not null,
        checksum text not null,
        applied_at timestamptz not null default now()
      )`;
    const applied = await sql<AppliedRow[]>`
      select version, name, checksum, applied_at from schema_migrations order by version`;
    refuseForeignSchema(applied, files);
    const missing = files.filter((file) => !applied.some((row) => row.version === file.version));
    for (const file of missing) {
      await sql.unsafe(file.sql);
      await sql`
        insert into schema_migrations (version, name, checksum)
        values (${file.version}, ${file.name}, ${checksum(file.sql)})`;
    }
    return missing.map((file) => file.name);
  });
}

/** Every known and every applied migration, in order. Changes nothing; a database without any is all null. */
export async function migrationStatus(db: Db, files: readonly MigrationFile[]): Promise<MigrationStatus[]> {
  const applied = await appliedMigrations(db);
  const known = files.map((file) => {
    const row = applied.find((candidate) => candidate.version === file.version);
    return {
      version: file.version,
      name: file.name,
      appliedAt: row?.applied_at.toISOString() ?? null,
      isIntact: row === undefined || row.checksum === checksum(file.sql),
    };
  });
  const unknown = applied
    .filter((row) => !files.some((file) => file.version === row.version))
    .map((row) => ({
      version: row.version,
      name: row.name,
      appliedAt: row.applied_at.toISOString(),
      isIntact: false,
    }));
  return [...known, ...unknown].sort((a, b) => a.version - b.version);
}

/** @throws UserError schema_missing, schema_behind, schema_newer, schema_changed: what to type is in the message */
export async function requireCurrentSchema(db: Db, files: readonly MigrationFile[]): Promise<void> {
  const applied = await appliedMigrations(db);
  refuseForeignSchema(applied, files);
  const missing = files.filter((file) => !applied.some((row) => row.version === file.version));
  if (missing.length === 0) return;
  const what = applied.length === 0 ? "has no everruns schema yet" : `lacks ${missing.length} migration(s)`;
  throw new UserError(
    applied.length === 0 ? "schema_missing" : "schema_behind",
    `the database ${what}; run \`everruns migrate\` with the same DATABASE_URL first`,
  );
}

async function appliedMigrations(db: Db): Promise<AppliedRow[]> {
  try {
    return await db.sql<AppliedRow[]>`
      select version, name, checksum, applied_at from schema_migrations order by version`;
  } catch (error) {
    if (sqlstateOf(error) === "42P01") return []; // undefined_table: never migrated
    throw error;
  }
}

function refuseForeignSchema(applied: readonly AppliedRow[], files: readonly MigrationFile[]): void {
  const newest = files.at(-1)?.version ?? 0;
  const newer = applied.filter((row) => row.version > newest);
  if (newer.length > 0) {
    throw new UserError(
      "schema_newer",
      `the database has schema version ${newer.at(-1)?.version} (${newer.at(-1)?.name}), this program knows ` +
        `versions up to ${newest}; use a newer everruns`,
    );
  }
  for (const row of applied) {
    const file = files.find((candidate) => candidate.version === row.version);
    if (file && row.checksum !== checksum(file.sql)) {
      throw new UserError(
        "schema_changed",
        `migration ${row.name} was applied with other contents than this program carries; ` +
          "the database belongs to another build of everruns",
      );
    }
  }
}

function checksum(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
