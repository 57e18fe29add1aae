/** Whether the connections to the database are what the program needs: enough of them, and each one its own. */
import { systemClock } from "../../src/base/clock.ts";
import type { Config } from "../../src/config/config.ts";
import { type DatabaseAddress, type Db, openPool, SINGLE_LANE, TRANSACTION_LANE } from "../../src/db/pool.ts";
import { bad, type Finding, ok, warn } from "./finding.ts";

/** A notification comes within milliseconds; one that is not there by then does not come. */
const NOTIFY_MS = 2_000;

/** What one `serve` holds: its two lanes, one connection that listens, and one for the lock of each worker. */
const heldByServe = ({ workers }: Config) => SINGLE_LANE + TRANSACTION_LANE + 1 + workers;

export async function checkRoom(db: Db, config: Config): Promise<Finding> {
  const [row] = await db.sql<{ most: number; used: number; ours: number }[]>`
    select least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
                 nullif((select rolconnlimit from pg_roles where rolname = current_user), -1)) as most,
           (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used,
           (select count(*)::int from pg_stat_activity
             where application_name like 'everruns%' and pid <> pg_backend_pid()) as ours`;
  if (!row) throw new Error("pg_stat_activity says nothing");
  const needed = heldByServe(config);
  const found = `${row.used} of ${row.most} in use, ${row.ours} by everruns; a server of these settings holds ${needed}`;
  if (row.ours > 0 || row.most - row.used >= needed) return ok("connections", found);
  return warn("connections", found, "raise max_connections, or stop what holds them");
}

/**
 * A pooler that lends connections out for one transaction at a time (PgBouncer's transaction mode) loses what belongs to a
 * connection: LISTEN, and the advisory lock by which the others see that a worker has died.
 *
 * @param clock  of the wait for a notification
 */
export async function checkPooler(address: DatabaseAddress, clock = systemClock): Promise<Finding> {
  const options = { applicationName: "everruns doctor", isLongLived: true };
  const [listener, sender] = [openPool(address, 1, options), openPool(address, 1, options)];
  const channel = `everruns_doctor_${crypto.randomUUID().replaceAll("-", "")}`;
  const came = Promise.withResolvers<"came">();
  try {
    await listener.listen(channel, () => came.resolve("came"));
    await sender`select pg_notify(${channel}, '')`;
    const outcome = await Promise.race([came.promise, clock.sleep(NOTIFY_MS).then(() => "late" as const)]);
    const isKept = await keepsItsLock(sender);
    if (outcome === "came" && isKept) return ok("notifications", "LISTEN and locks of a connection work");
    return bad(
      "notifications",
      outcome === "came"
        ? "a connection does not keep its advisory lock: there is a pooler in between"
        : `a NOTIFY did not arrive within ${NOTIFY_MS / 1_000} s: there is a pooler in between`,
      "give DATABASE_URL the address of PostgreSQL itself, or set the pooler to session mode",
    );
  } finally {
    await Promise.all([listener.end({ timeout: 1 }), sender.end({ timeout: 1 })]);
  }
}

/** Takes a lock in one statement and looks for it in the next. */
async function keepsItsLock(sql: ReturnType<typeof openPool>): Promise<boolean> {
  const key = Math.floor(Math.random() * 0x7f_ff_ff_ff);
  await sql`select pg_try_advisory_lock(hashtext('everruns doctor'), ${key})`;
  const [row] = await sql<{ kept: boolean }[]>`
    select exists (select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()
                      and classid::int8 = hashtext('everruns doctor')::int8 & 4294967295 and objid::int8 = ${key}) as kept`;
  await sql`select pg_advisory_unlock(hashtext('everruns doctor'), ${key})`;
  return row?.kept === true;
}
