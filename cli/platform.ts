/** What `serve`, `worker` and `migrate` have in common: a database that is ready, a key, a log. */
import { migrations } from "../migrations/index.ts";
import { systemClock } from "../src/base/clock.ts";
import { describeError, UserError } from "../src/base/errors.ts";
import { createLog, type Log } from "../src/base/log.ts";
import { createSealer, type Sealer } from "../src/base/seal.ts";
import { type Config, type Flags, maskUrl, parseConfig } from "../src/config/config.ts";
import { type EncryptionKey, loadEncryptionKey } from "../src/config/encryption-key.ts";
import { checkEncryptionKey } from "../src/db/installation.ts";
import { migrate, requireCurrentSchema } from "../src/db/migrate.ts";
import { type DatabaseAddress, type Db, openDb } from "../src/db/pool.ts";
import { sqlstateOf } from "../src/db/sqlstate.ts";
import type { CommandContext } from "./action.ts";
import { hasColour } from "./terminal.ts";

export interface Platform {
  config: Config;
  log: Log;
  db: Db;
  /** For the banner: `embedded PostgreSQL 18.4 in /var/lib/everruns`, or the address without its password. */
  databaseName: string;
  isEmbedded: boolean;
  /** Closes connections; stops the embedded database when nobody else uses it. Idempotent. */
  close(): Promise<void>;
}

/** The oldest PostgreSQL that runs our SQL. */
const POSTGRES_MIN = 150_000;

/**
 * The first answer of the database has to come within this. Longer than one connection may take (10 s): a server
 * that accepts and hangs up, as one of another protocol does, is asked again by postgres.js without end.
 */
const FIRST_ANSWER_MS_MAX = 12_000;

/** @param use  `server`: what only a server needs must be there, too */
export function readConfig(
  flags: Record<string, unknown>,
  context: CommandContext,
  use: "server" | "other" = "server",
): Config {
  const isRoot = process.getuid?.() === 0;
  return parseConfig(flags as Flags, { env: context.env, isTty: context.err.isTty, isRoot }, use);
}

export function openLog(config: Config, context: CommandContext): Log {
  return createLog({
    format: config.logFormat,
    level: config.logLevel,
    colour: hasColour(context.err.isTty, context.env),
    write: (line) => context.err.line(line),
  });
}

/**
 * Opens the database; without DATABASE_URL the embedded one is started or adopted first.
 *
 * @throws UserError, TerminalError, RetryableError: unreachable, wrong password, too old … in words for people
 */
export async function openPlatform(config: Config, log: Log, context: CommandContext): Promise<Platform> {
  const place = await findDatabase(config, log, context);
  const db = openDb(place.address, { log });
  let closing: Promise<void> | null = null;
  const close = () => {
    closing ??= (async () => {
      await db.close();
      await place.stop();
    })();
    return closing;
  };
  try {
    await requirePostgres(db, place.name);
  } catch (error) {
    await close();
    throw error;
  }
  return { config, log, db, databaseName: place.name, isEmbedded: place.isEmbedded, close };
}

/** The schema is brought up to date on the embedded database; an external one is its owner's to migrate. */
export async function ensureSchema({ db, isEmbedded, log }: Platform): Promise<void> {
  if (!isEmbedded) return requireCurrentSchema(db, migrations);
  const applied = await migrate(db, migrations);
  if (applied.length > 0) log.debug("migrations applied", { applied });
}

/** The key that the secrets in this database are sealed with. @throws UserError */
export async function openSealer(platform: Platform): Promise<{ sealer: Sealer; key: EncryptionKey }> {
  const { config, db } = platform;
  const key = loadEncryptionKey(config.encryptionKey, config.dataDir);
  const sealer = createSealer(key.key);
  await checkEncryptionKey(db, { keyId: sealer.keyId, source: key.source });
  return { sealer, key };
}

interface Place {
  address: DatabaseAddress;
  name: string;
  isEmbedded: boolean;
  stop(): Promise<void>;
}

async function findDatabase(config: Config, log: Log, context: CommandContext): Promise<Place> {
  if (config.databaseUrl !== null) {
    return {
      address: { url: config.databaseUrl },
      name: maskUrl(config.databaseUrl),
      isEmbedded: false,
      stop: async () => {},
    };
  }
  const { startEmbeddedPostgres } = await import("../src/embedded/postgres.ts");
  const embedded = await startEmbeddedPostgres({
    dataDir: config.dataDir,
    log,
    onProgress: (message) => log.info(message),
    signal: context.signal,
  });
  return {
    address: embedded.address,
    name: `embedded PostgreSQL ${embedded.version} in ${config.dataDir}`,
    isEmbedded: true,
    stop: () => embedded.stop(),
  };
}

async function requirePostgres(db: Db, name: string): Promise<void> {
  let version: number;
  try {
    version = await within(FIRST_ANSWER_MS_MAX, serverVersion(db));
  } catch (error) {
    throw unreachable(error, name);
  }
  if (version >= POSTGRES_MIN) return;
  throw new UserError(
    "database_too_old",
    `${name} is PostgreSQL ${Math.floor(version / 10_000)}; version 15 or newer is needed`,
  );
}

async function serverVersion({ sql }: Db): Promise<number> {
  const rows = await sql<{ version: string }[]>`select current_setting('server_version_num') as version`;
  return Number(rows[0]?.version);
}

/** @throws Error when the promise has not settled in time; its own end is of no interest then */
async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  const settled = new AbortController();
  const late = systemClock.sleep(ms, settled.signal).then((): never => {
    throw new Error(`no answer within ${ms / 1000} s`);
  });
  promise.catch(() => {});
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    settled.abort();
  }
}

/** What to do about a database that does not let us in. The cause's own words never hold the password. */
function unreachable(error: unknown, name: string): UserError {
  const state = sqlstateOf(error);
  const advice =
    state === "28P01" || state === "28000"
      ? "user or password is wrong; check DATABASE_URL"
      : state === "3D000"
        ? "there is no such database; create it first (createdb)"
        : "is it running, and is DATABASE_URL right?";
  const code = (error as { code?: unknown } | null)?.code;
  const why = state !== null ? describeError(error) : typeof code === "string" ? code : describeError(error);
  return new UserError("database_unreachable", `cannot use the database at ${name}: ${why}; ${advice}`);
}
