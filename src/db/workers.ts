/**
 * Workers, for the monitor and for the two detectors of a dead one. The lease is the backstop. The other is an
 * advisory lock that a worker holds on a connection of its own for as long as it lives: PostgreSQL frees it when
 * the process dies, and the others take over its runs without waiting for the lease.
 */
import { limits } from "../contract/limits.ts";
import type { Db, Sql } from "./pool.ts";

/** First key of every worker's advisory lock ("ever"); the second is the worker's own. */
const LOCK_CLASS = 0x65_76_65_72;

export interface WorkerRow {
  id: string;
  hostname: string;
  pid: number;
  version: string;
  concurrency: number;
  lockKey: number;
}

/** Takes the liveness lock on `connection` (a pool of one that is used for nothing else), then registers. */
export async function registerWorker(db: Db, connection: Sql, worker: WorkerRow): Promise<void> {
  await holdLivenessLock(connection, worker.lockKey);
  await db.sql`
    insert into workers (id, hostname, pid, version, concurrency, lock_key)
    values (${worker.id}, ${worker.hostname}, ${worker.pid}, ${worker.version}, ${worker.concurrency}, ${worker.lockKey})`;
}

/** Idempotent: a session that holds the lock already does not take it twice. */
export async function holdLivenessLock(connection: Sql, lockKey: number): Promise<void> {
  await connection`
    select case when not exists (
      select from pg_locks
       where locktype = 'advisory' and classid = ${LOCK_CLASS}::oid and objid = ${lockKey}::oid
         and pid = pg_backend_pid() and granted
    ) then pg_try_advisory_lock(${LOCK_CLASS}, ${lockKey}) end`;
}

/** @returns whether an operator wants the worker to claim nothing more */
export async function heartbeatWorker(
  { sql }: Db,
  beat: {
    id: string;
    load: number;
    started: number;
    completed: number;
    failed: number;
    status: "running" | "draining" | "stopped";
  },
): Promise<boolean> {
  const rows = await sql<{ is_drain_wanted: boolean }[]>`
    update workers
       set heartbeat_at = now(), load = ${beat.load}, status = ${beat.status},
           runs_started = runs_started + ${beat.started}, runs_completed = runs_completed + ${beat.completed},
           runs_failed = runs_failed + ${beat.failed}
     where id = ${beat.id}
    returning is_drain_wanted`;
  return rows[0]?.is_drain_wanted ?? false;
}

/** Asks a worker to drain, or to go on. It hears of it with its next heartbeat. @returns false: it has stopped, or never was */
export async function wishDrain({ sql }: Db, id: string, isWanted: boolean): Promise<boolean> {
  const rows = await sql`
    update workers set is_drain_wanted = ${isWanted}
     where id = ${id} and status <> 'stopped'
       and heartbeat_at > now() - ${limits.workerSilentSeconds} * interval '1 second'
    returning id`;
  return rows.length > 0;
}

/** Workers that are registered as alive and hold no lock. A restart of the database looks like this, too: ask twice. */
export async function workersWithoutLock({ sql }: Db): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    select id from workers
     where status <> 'stopped'
       and not exists (
         select from pg_locks
          where locktype = 'advisory' and classid = ${LOCK_CLASS}::oid and objid = workers.lock_key::oid
            and database = (select oid from pg_database where datname = current_database())
            and granted)`;
  return rows.map((row) => row.id);
}

/** Declares workers dead and lets their leases run out now. @returns how many runs that frees */
export async function buryWorkers({ sql }: Db, ids: readonly string[]): Promise<number> {
  const rows = await sql<{ id: string }[]>`
    with dead as (
      update workers set status = 'stopped', load = 0 where id = any (${[...ids]}::text[]) and status <> 'stopped'
      returning id
    ), orphaned as materialized (
      select id from runs
       where state = 'running' and lease_owner in (select id from dead)
       order by id
         for no key update
    )
    update runs set lease_expires_at = now() from orphaned where runs.id = orphaned.id
    returning runs.id`;
  return rows.length;
}
