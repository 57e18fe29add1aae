/**
 * The leases of one worker. They are extended together, one statement every third of their length. What matters
 * is when a heartbeat was *sent*: from then on the lease is ours for at least its length, whatever the network
 * does. When no heartbeat has been confirmed for the trust window (80 % of the length), we stop by ourselves,
 * before another worker may start: the epoch would refuse our writes anyhow, this saves the work.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Service } from "../base/service.ts";
import type { ClaimedRun } from "../db/claim.ts";
import type { Db } from "../db/pool.ts";
import { heartbeat } from "../db/runs.ts";
import type { LeaseRef } from "../db/writer.ts";

export type LossReason = "lost" | "cancelled" | "drained";

export interface Lease extends LeaseRef {
  /** Aborts everything below when the run is not ours any more; `reason` is a LossReason. */
  signal: AbortSignal;
}

export interface LeaseKeeper extends Service {
  /** @param claimedAtMs  monotonic time before the claim was sent */
  hold(run: ClaimedRun, claimedAtMs: number): Lease;
  /** Lets go of this claim; a later claim of the same run stays held. */
  drop(lease: Lease): void;
  lose(runId: string, reason: LossReason): void;
  held(): LeaseRef[];
  /** Asks the database now which leases stand, instead of at the next heartbeat. Contract: never rejects. */
  confirm(): Promise<void>;
}

const TRUST = 0.8;
/** How often trust is checked, as a part of the lease: an unconfirmed run is left before 85 % of it are over. */
const TRUST_CHECK = 0.05;

interface Held {
  lease: Lease;
  abort: AbortController;
  /** Monotonic time at which the last confirmed claim or heartbeat was sent. */
  confirmedAtMs: number;
}

export function createLeaseKeeper(deps: { db: Db; clock: Clock; log: Log; leaseMs: number }): LeaseKeeper {
  const held = new Map<string, Held>();
  const stopped = new AbortController();
  let loops: Promise<unknown> | null = null;

  const lose = (runId: string, reason: LossReason) => {
    const entry = held.get(runId);
    if (!entry) return;
    held.delete(runId);
    entry.abort.abort(reason);
  };

  const beat = async () => {
    if (held.size === 0) return;
    const sentAtMs = deps.clock.monotonicMs();
    const asked = [...held.values()];
    try {
      const kept = await heartbeat(deps.db, {
        leases: asked.map((entry) => entry.lease),
        leaseMs: deps.leaseMs,
      });
      for (const entry of asked) {
        // A heartbeat that was overtaken by a later one proves less than it.
        if (kept.has(entry.lease.runId)) entry.confirmedAtMs = Math.max(entry.confirmedAtMs, sentAtMs);
        else if (held.get(entry.lease.runId) === entry) lose(entry.lease.runId, "lost");
      }
    } catch (error) {
      deps.log.warn("a heartbeat could not be sent", { error, runs: asked.length });
    }
  };

  const distrust = () => {
    const now = deps.clock.monotonicMs();
    for (const [runId, entry] of held) {
      if (now - entry.confirmedAtMs > deps.leaseMs * TRUST) {
        deps.log.warn("no heartbeat was confirmed in time; the run is left to others", { run_id: runId });
        lose(runId, "lost");
      }
    }
  };

  const every = async (ms: number, action: () => void) => {
    for (;;) {
      await deps.clock.sleep(ms, stopped.signal);
      if (stopped.signal.aborted) return;
      action();
    }
  };

  return {
    async start() {
      // Two loops: a heartbeat that hangs must not keep us from distrusting, or from sending the next.
      loops = Promise.all([
        every(deps.leaseMs / 3, () => void beat()),
        every(deps.leaseMs * TRUST_CHECK, distrust),
      ]);
    },
    async stop() {
      stopped.abort();
      await loops;
    },
    hold(run, claimedAtMs) {
      // We may claim a run again that we lost and are still busy with: the older claim is over.
      lose(run.id, "lost");
      const abort = new AbortController();
      const lease: Lease = {
        runId: run.id,
        sessionId: run.session_id,
        epoch: run.lease_epoch,
        signal: abort.signal,
      };
      held.set(run.id, { lease, abort, confirmedAtMs: claimedAtMs });
      return lease;
    },
    drop(lease) {
      if (held.get(lease.runId)?.lease === lease) held.delete(lease.runId);
    },
    lose,
    held: () => [...held.values()].map((entry) => entry.lease),
    confirm: beat,
  };
}
