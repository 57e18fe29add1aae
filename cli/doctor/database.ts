/** What the doctor sees of the database. */
import { statSync } from "node:fs";
import { migrations } from "../../migrations/index.ts";
import { describeError } from "../../src/base/errors.ts";
import { createSealer } from "../../src/base/seal.ts";
import { type Config, maskUrl } from "../../src/config/config.ts";
import { encryptionKeyPath, loadEncryptionKey } from "../../src/config/encryption-key.ts";
import { encryptionKeyId } from "../../src/db/installation.ts";
import { migrationStatus } from "../../src/db/migrate.ts";
import { type DatabaseAddress, type Db, openDb } from "../../src/db/pool.ts";
import { defaultModel } from "../../src/db/seed.ts";
import { inspectEmbeddedPostgres } from "../../src/embedded/postgres.ts";
import { checkPooler, checkRoom } from "./connections.ts";
import { bad, type Finding, ok, warn } from "./finding.ts";

const ORGANIZATION = "org_00000000000000000000000000000001";
const POSTGRES_MIN = 150_000;
/** Leases use the database's clock alone; a difference only makes times on the screen odd. */
const SKEW_WARN_MS = 2_000;

/** @param isServed  a server answers: where nothing runs here, it has a database elsewhere */
export async function checkDatabase(config: Config, { isServed }: { isServed: boolean }): Promise<Finding[]> {
  let address: DatabaseAddress;
  let name: string;
  if (config.databaseUrl !== null) {
    address = { url: config.databaseUrl };
    name = maskUrl(config.databaseUrl);
  } else {
    const finding = { what: "database", next: "everruns serve" };
    try {
      const found = inspectEmbeddedPostgres(config.dataDir);
      if (isServed && !found?.pid) return [ok("database", "none runs here; the server has one elsewhere")];
      if (found === null) return [{ ...finding, state: "warn", found: "embedded, not made yet" }];
      if (found.pid === null) return [{ ...finding, state: "warn", found: "embedded, not running" }];
      address = found.address;
      name = `embedded, process ${found.pid}`;
    } catch (error) {
      return [
        { ...finding, state: "bad", found: describeError(error), next: "choose another: --data-dir <path>" },
      ];
    }
  }
  const db = openDb(address, { connections: 1, applicationName: "everruns doctor" });
  try {
    return await lookInside(db, config, name);
  } catch (error) {
    const next =
      config.databaseUrl === null ? "everruns serve" : "check DATABASE_URL, and that the server runs";
    return [bad("database", `${name}: ${describeError(error)}`, next)];
  } finally {
    await db.close();
  }
}

async function lookInside(db: Db, config: Config, name: string): Promise<Finding[]> {
  const before = Date.now();
  const [row] = await db.sql<{ number: string; version: string; now: Date }[]>`
    select current_setting('server_version_num') as number, split_part(current_setting('server_version'), ' ', 1)
           as version, clock_timestamp() as now`;
  const after = Date.now();
  if (!row) return [];
  const database =
    Number(row.number) >= POSTGRES_MIN
      ? ok("database", `PostgreSQL ${row.version}, ${name}`)
      : bad("database", `PostgreSQL ${row.version}, ${name}`, "use PostgreSQL 15 or newer");
  const skewMs = Math.round(row.now.getTime() - (before + after) / 2);
  const clock =
    Math.abs(skewMs) <= SKEW_WARN_MS
      ? ok("clocks", "database and this machine agree")
      : warn("clocks", `the database is ${skewMs} ms off this machine`, "synchronise the clocks (NTP)");
  const schema = await checkSchema(db);
  const rest = schema.state === "ok" ? [await checkKey(db, config), await checkDefaultModel(db)] : [];
  const connections = [await checkRoom(db, config), await checkPooler(db.address)];
  return [database, clock, ...connections, schema, ...rest.filter((finding) => finding !== null)];
}

async function checkSchema(db: Db): Promise<Finding> {
  const rows = await migrationStatus(db, migrations);
  const missing = rows.filter(({ appliedAt }) => appliedAt === null);
  const odd = rows.find(({ appliedAt, isIntact }) => appliedAt !== null && !isIntact);
  if (odd) {
    return bad(
      "schema",
      `${odd.name} is not what this program knows`,
      "use the everruns that made the database",
    );
  }
  if (missing.length > 0)
    return bad("schema", `${missing.length} migrations are missing`, "everruns migrate");
  return ok("schema", `current, ${rows.length} migrations`);
}

/** Whether the key here is the one that the database's secrets are sealed with; null when one of them is not there yet. */
async function checkKey(db: Db, config: Config): Promise<Finding | null> {
  const sealedWith = await encryptionKeyId(db);
  const isMissing = !statSync(encryptionKeyPath(config.dataDir), { throwIfNoEntry: false });
  if (sealedWith === null || (config.encryptionKey === null && isMissing)) return null;
  try {
    const { key, source } = loadEncryptionKey(config.encryptionKey, config.dataDir);
    const { keyId } = createSealer(key);
    if (keyId === sealedWith) return ok("secrets", "sealed with the key of this machine");
    return bad(
      "secrets",
      `sealed with the key ${sealedWith}, but ${source} holds ${keyId}`,
      "put the key that belongs to this database there, or set EVERRUNS_ENCRYPTION_KEY",
    );
  } catch (error) {
    return bad("secrets", describeError(error), "put the right key back");
  }
}

async function checkDefaultModel(db: Db): Promise<Finding> {
  const model = await defaultModel(db, ORGANIZATION);
  if (!model) return bad("default model", "none is set", "everruns serve sets one at its start");
  const name = `${model.model_id} of ${model.provider_name}`;
  if (model.provider_type !== "llmsim") return ok("default model", name);
  return warn(
    "default model",
    `${name}, which only pretends to be a model`,
    "OPENAI_API_KEY=… everruns serve   (or ANTHROPIC_API_KEY)",
  );
}
