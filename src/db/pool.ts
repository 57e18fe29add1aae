/**
 * The db room: all SQL of the running program and nothing but SQL and row shapes.
 *
 * Invariants. A change of state is one statement that checks its precondition, writes everything and returns
 * what it wrote; no row back means that the precondition was false. Locks are taken in one order: session rows
 * by id, then run rows by id. Leases use the database's clock only. Every query that answers a caller names the
 * organization. The room never knows about HTTP, models or tools.
 *
 * Two lanes. `sql` sends single statements and is never used for a transaction: postgres.js 3.4.9 can send BEGIN
 * on a connection that it has not reserved when the pipeline is full (upstream issues 823, 1189, 1204, 1210).
 * The few real transactions go through `tx.ts`, which owns a second, small pool.
 */
import postgres from "postgres";
import type { Log } from "../base/log.ts";

export type Sql = postgres.Sql<{ bigint: number }>;
export type TransactionSql = postgres.TransactionSql<{ bigint: number }>;

/** Where the database is: a URL, or a unix socket of the embedded server. */
export type DatabaseAddress = { url: string } | { socketPath: string; user: string; database: string };

export interface Db {
  /** The lane for single statements. */
  sql: Sql;
  /** The lane for transactions; used by `tx.ts` alone. */
  transactions: Sql;
  address: DatabaseAddress;
  /** Closes every connection; waits at most 5 seconds for what is under way. */
  close(): Promise<void>;
}

/** Connections of the lane for single statements: on the measured machines more than eight bought nothing. */
export const SINGLE_LANE = 8;
/** Connections of the transaction lane; `tx.ts` hands out as many permits. */
export const TRANSACTION_LANE = 2;

/**
 * Opens the lanes; connects lazily. `connections` is the size of the first lane.
 */
export function openDb(
  address: DatabaseAddress,
  options: { connections?: number; applicationName?: string; log?: Log } = {},
): Db {
  const connections = options.connections ?? SINGLE_LANE;
  const sql = openPool(address, connections, options);
  const transactions = openPool(address, TRANSACTION_LANE, options);
  return {
    sql,
    transactions,
    address,
    async close() {
      await Promise.all([sql.end({ timeout: 5 }), transactions.end({ timeout: 5 })]);
    },
  };
}

/**
 * One pool with the settings of the house: int8 and counts as numbers, UTC, a statement time limit.
 *
 * @param options.isLongLived  keeps its connections for good; otherwise each is replaced after 30 to 60 minutes,
 *                             which would let go of what belongs to the connection, such as advisory locks
 */
export function openPool(
  address: DatabaseAddress,
  max: number,
  options: { applicationName?: string; log?: Log; statementTimeoutMs?: number; isLongLived?: boolean } = {},
): Sql {
  const settings = {
    max,
    idle_timeout: 0,
    ...(options.isLongLived ? { max_lifetime: null } : {}),
    connect_timeout: 10,
    backoff: reconnectDelaySeconds,
    onnotice: () => {},
    connection: {
      application_name: options.applicationName ?? "everruns",
      TimeZone: "UTC",
      // The statements of the hot path are long and their arrays' lengths change nothing about the best plan. Left
      // to itself PostgreSQL plans each execution anew: 2.8 ms of its CPU a turn instead of 0.9 (2026-11-22).
      plan_cache_mode: "force_generic_plan",
      // What the hot path reads is in memory. Counting on a disk's seeks, PostgreSQL collects a session's whole history
      // and sorts it to find the newest page, instead of walking the index from its end.
      random_page_cost: 1.1,
      // A statement of ours takes milliseconds; one that takes a minute holds locks that others wait for.
      statement_timeout: options.statementTimeoutMs ?? 60_000,
    },
    types: { bigint: BIGINT_AS_NUMBER },
  };
  const sql =
    "url" in address
      ? postgres(address.url, settings)
      : postgres({ ...settings, path: address.socketPath, user: address.user, database: address.database });
  return sql as unknown as Sql;
}

/**
 * How long a lost connection waits before it is opened again. postgres.js counts failures per pool, not per
 * connection: with its own rule a restart that cuts eight connections at once keeps them all away for 20 seconds.
 */
function reconnectDelaySeconds(): number {
  return 0.05 + 0.1 * Math.random();
}

/** Sequences and counts stay far below 2^53. */
const BIGINT_AS_NUMBER = {
  to: 20,
  from: [20],
  serialize: (value: number) => String(value),
  parse: (text: string) => Number(text),
};
