/** The queue's side of a run: claim, heartbeat, hand back, and what a worker loads when it takes one up. */
import type { Controls } from "../contract/message.ts";
import type { TokenUsage } from "../contract/usage.ts";
import type { Db } from "./pool.ts";
import type { LeaseRef } from "./writer.ts";

/** A run under a fresh lease. */
export interface ClaimedRun {
  id: string;
  organization_id: string;
  session_id: string;
  agent_id: string | null;
  attempt: number;
  /** How often its worker was lost since the last checkpoint, and put back for a passing error. */
  takeovers: number;
  retries: number;
  /** The worker that was lost, when this claim takes over from one. */
  lost_worker: string | null;
  lease_epoch: number;
  input_message_id: string;
  input_sequence: number;
  controls: Controls | null;
  iterations: number;
  has_deltas: boolean;
  queued_at: Date;
  /** When the first attempt began. */
  started_at: Date;
}

/**
 * Takes up to `slots` runs: those whose lease ran out first (their users have waited longest), then queued ones
 * that are due, by priority and age. Skips rows that another worker is looking at. Adds 1 to epoch and attempt, and
 * to `takeovers` where a worker was lost.
 *
 * @param now  moves the database's clock in tests; null in production
 */
export async function claimRuns(
  { sql }: Db,
  claim: { workerId: string; slots: number; leaseMs: number; now?: Date | null },
): Promise<ClaimedRun[]> {
  const now = claim.now ?? null;
  return sql<ClaimedRun[]>`
    with expired as materialized (
      select id, lease_owner as lost_worker from runs
       where state = 'running' and lease_expires_at <= coalesce(${now}, now())
       order by lease_expires_at
       limit ${claim.slots}
         for no key update skip locked
    ), due as materialized (
      select id, null as lost_worker from runs
       where state = 'queued' and available_at <= coalesce(${now}, now())
       order by priority desc, available_at, id
       limit greatest(0, ${claim.slots}::int - (select count(*)::int from expired))
         for no key update skip locked
    )
    update runs
       set state = 'running',
           lease_epoch = lease_epoch + 1,
           attempt = attempt + 1,
           takeovers = takeovers + (claimed.lost_worker is not null)::int,
           lease_owner = ${claim.workerId},
           lease_expires_at = coalesce(${now}, now()) + ${claim.leaseMs} * interval '1 millisecond',
           started_at = coalesce(started_at, now())
      from (select * from expired union all select * from due) claimed
     where runs.id = claimed.id
    returning runs.id, organization_id, session_id, agent_id, attempt, takeovers, retries, claimed.lost_worker,
              lease_epoch, input_message_id, input_sequence, controls, iterations, has_deltas, queued_at, started_at`;
}

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
  /** null while it is pending. */
  finished_at: Date | null;
}

/** The checkpoints of a run, in the order in which they were stored. */
export async function loadSteps({ sql }: Db, runId: string): Promise<StoredStep[]> {
  return sql<StoredStep[]>`
    select name, kind, status, result, usage, finished_at from steps where run_id = ${runId} order by finished_at nulls last, name`;
}
