/**
 * A database of its own for a test file.
 *
 * scripts/test.ts starts one throw-away server for the run and says where it is. The first caller migrates a
 * template database; everybody gets a copy of it, which takes some 50 ms.
 */
import { migrations } from "../../migrations/index.ts";
import { migrate } from "../../src/db/migrate.ts";
import { type DatabaseAddress, type Db, openDb } from "../../src/db/pool.ts";

export interface TestDatabase {
  address: DatabaseAddress;
  db: Db;
  /** Closes `db` and drops the database, also while others are connected. Idempotent. */
  drop(): Promise<void>;
}

const TEMPLATE = "everruns_template";
/** The application name of a test's own connections; `cutConnections` leaves them alone. */
export const OBSERVER = "everruns-test";
/** One test process after the other looks for the template. */
const TEMPLATE_LOCK = 1;

/**
 * A fresh migrated database. Call it in `beforeAll` and `drop()` in `afterAll`.
 *
 * @param options.connections  size of the pool of `db`
 * @param options.migrated     false gives an empty database, for tests of migrations
 */
export async function testDatabase(
  options: { connections?: number; migrated?: boolean } = {},
): Promise<TestDatabase> {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  await maintain(async (admin) => {
    if (options.migrated ?? true) {
      await ensureTemplate(admin);
      await admin.sql.unsafe(`create database ${name} template ${TEMPLATE}`);
    } else {
      await admin.sql.unsafe(`create database ${name}`);
    }
  });
  const address = addressOf(name);
  const db = openDb(address, {
    applicationName: OBSERVER,
    ...(options.connections === undefined ? {} : { connections: options.connections }),
  });
  let dropped: Promise<void> | null = null;
  const drop = async () => {
    await db.close();
    await maintain((admin) => admin.sql.unsafe(`drop database if exists ${name} with (force)`));
  };
  return {
    address,
    db,
    drop() {
      dropped ??= drop();
      return dropped;
    },
  };
}

/** Where a database of the run's server is. */
export function addressOf(database: string): DatabaseAddress {
  const { EVERRUNS_TEST_SOCKET, EVERRUNS_TEST_DATABASE_URL } = process.env;
  if (EVERRUNS_TEST_DATABASE_URL) {
    const url = new URL(EVERRUNS_TEST_DATABASE_URL);
    url.pathname = `/${database}`;
    return { url: url.href };
  }
  if (!EVERRUNS_TEST_SOCKET) throw new Error("no test server: run the tests with `./everruns test [path …]`");
  return { socketPath: EVERRUNS_TEST_SOCKET, user: "everruns", database };
}

async function ensureTemplate(admin: Db): Promise<void> {
  const lock = `select pg_advisory_lock(${TEMPLATE_LOCK})`;
  const unlock = `select pg_advisory_unlock(${TEMPLATE_LOCK})`;
  // One connection, so that both belong to the same session.
  await admin.sql.unsafe(lock);
  try {
    const found = await admin.sql`select 1 from pg_database where datname = ${TEMPLATE}`;
    if (found.length > 0) return;
    const unfinished = `${TEMPLATE}_unfinished`;
    await admin.sql.unsafe(`drop database if exists ${unfinished} with (force)`);
    await admin.sql.unsafe(`create database ${unfinished}`);
    const db = openDb(addressOf(unfinished));
    try {
      await migrate(db, migrations);
    } finally {
      await db.close();
    }
    await admin.sql.unsafe(`alter database ${unfinished} rename to ${TEMPLATE}`);
  } finally {
    await admin.sql.unsafe(unlock);
  }
}

async function maintain(action: (admin: Db) => Promise<unknown>): Promise<void> {
  const admin = openDb(addressOf("postgres"), { connections: 1 });
  try {
    await action(admin);
  } finally {
    await admin.close();
  }
}
