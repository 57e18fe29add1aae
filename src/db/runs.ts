/** A run under a lease: heartbeat, hand back, and what a worker loads when it takes one up. */
import type { TokenUsage } from "../contract/usage.ts";
import type { Db } from "./pool.ts";
import type { LeaseRef } from "./writer.ts";

/**
 * Extends the leases of one worker.
 *
 * @returns the runs that are still held under the given epochs; any other is lost
 */
export async function heartbeat(
  { sql }: Db,
  beat: { leases: readonly LeaseRef[]; leaseMs: number },
): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    with held as materialized (
      select r.id
        from unnest(${beat.leases.map((lease) => lease.runId)}::text[],
                    ${beat.leases.map((lease) => lease.epoch)}::int[]) as lease(run_id, epoch)
        join runs r on r.id = lease.run_id
       where r.lease_epoch = lease.epoch and r.state = 'running' and r.lease_expires_at > now()
       order by r.id
         for no key update of r
    )
    update runs set lease_expires_at = now() + ${beat.leaseMs} * interval '1 millisecond'
      from held where runs.id = held.id
    returning runs.id`;
  return new Set(rows.map((row) => row.id));
}

/**
 * Puts a held run back into the queue, to be taken up from its last checkpoint.
 *
 * @param delayMs     when it may be claimed again; 0 is at once
 * @param isRetry     true after a passing error: counted; false for a drain, where nothing went wrong and the
 *                    attempt is given back
 * @returns false when the lease was already gone
 */
export async function releaseRun(
  { sql }: Db,
  lease: LeaseRef,
  release: { delayMs: number; isRetry: boolean },
): Promise<boolean> {
  const rows = await sql`
    update runs
       set state = 'queued', lease_owner = null, lease_expires_at = null,
           attempt = attempt - ${release.isRetry ? 0 : 1}, retries = retries + ${release.isRetry ? 1 : 0},
           available_at = now() + ${release.delayMs} * interval '1 millisecond'
     where id = ${lease.runId} and lease_epoch = ${lease.epoch} and state = 'running'
    returning id`;
  return rows.length > 0;
}

/** True while the claim stands; asked after the database was out of reach. */
export async function isLeaseHeld({ sql }: Db, lease: LeaseRef): Promise<boolean> {
  const rows = await sql`
    select from runs
     where id = ${lease.runId} and lease_epoch = ${lease.epoch} and state = 'running' and lease_expires_at > now()`;
  return rows.length > 0;
}

export interface StoredStep {
  name: string;
  kind: "reason" | "tool";
  status: "pending" | "settled" | "unknown";
  result: unknown;
  usage: TokenUsage | null;
  /** The run that it was taken over from; null when it was made in this one. */
  origin_run_id: string | null;
  /** null while it is pending. */
  finished_at: Date | null;
}

/** The checkpoints of a run, in the order in which they were stored. */
export async function loadSteps({ sql }: Db, runId: string): Promise<StoredStep[]> {
  return sql<StoredStep[]>`
    select name, kind, status, result, usage, origin_run_id, finished_at
      from steps where run_id = ${runId}
     order by finished_at nulls last, name`;
}
