/**
 * The worker: claims runs into free slots and drives each to its end. It looks for runs when a hint says so, when
 * a slot becomes free, when a delayed run becomes due, and every second in any case.
 *
 * SIGTERM drains: nothing new is claimed; a run is handed back at its next step boundary, and one that does not
 * reach it within the grace is aborted and handed back from its last checkpoint. Neither counts as an attempt.
 */
import { hostname } from "node:os";
import { describeError } from "../base/errors.ts";
import type { Service } from "../base/service.ts";
import type { FetchRepository } from "../capabilities/repository.ts";
import { type ClaimedRun, claimRuns, newTurns } from "../db/claim.ts";
import { openPool, type Sql } from "../db/pool.ts";
import { heartbeatWorker, holdLivenessLock, registerWorker } from "../db/workers.ts";
import { createAlarm } from "./alarm.ts";
import { createJanitor, type Retention } from "./janitor.ts";
import { createLeaseKeeper, type Lease, type LeaseKeeper } from "./lease.ts";
import { createMemorySyncer } from "./memory-syncer.ts";
import { createPromoter } from "./promoter.ts";
import { createReaper } from "./reaper.ts";
import { driveRun, type RunOutcome } from "./run.ts";
import { createScheduler } from "./scheduler.ts";
import type { EngineDeps } from "./scope.ts";
import { createTaskKeeper } from "./task-keeper.ts";
import { createWebhookSender, type WebhookSending } from "./webhook-sender.ts";

export interface WorkerOptions {
  /** Runs at once. */
  concurrency: number;
  leaseMs: number;
  /** How long a drain waits for step boundaries. */
  drainMs: number;
  version: string;
  /** Left out: every 5 seconds. */
  heartbeatMs?: number;
  /** What the janitor removes for good; without it nothing is. */
  retention?: Retention;
  /** Fetches the sources of memories; without it they stay pending. */
  fetchRepository?: FetchRepository;
  /** Without it webhooks wait. */
  webhooks?: WebhookSending;
}

export interface Worker extends Service {
  id: string;
  /** Runs in hand. */
  load(): number;
}

const POLL_MS = 1_000;
const WORKER_HEARTBEAT_MS = 5_000;
/** A timer may fire a moment early, and the run is due by the database's clock. */
const CLOCK_SLACK_MS = 5;
/** How often a claim looks for leases that ran out, unless a worker was found dead: it costs a look at all leases. */
const TAKEOVER_MS = 250;

export function createWorker(deps: EngineDeps, options: WorkerOptions): Worker {
  const id = `worker-${crypto.randomUUID()}`;
  const log = deps.log.with({ worker_id: id });
  const leases: LeaseKeeper = createLeaseKeeper({ ...deps, log, leaseMs: options.leaseMs });
  const promoter = createPromoter({ ...deps, log });
  const drain = new AbortController();
  /** By claim, not by run: a run may be claimed again before its earlier claim has come to rest. */
  const running = new Map<Lease, Promise<void>>();
  const tally = { started: 0, completed: 0, failed: 0 };
  const lockKey = Math.floor(Math.random() * 0x7f_ff_ff_ff);
  const background: Promise<void>[] = [];
  let liveness: Sql | null = null;
  let unsubscribe: (() => void) | null = null;
  let wakeUp: (() => void) | null = null;
  let isHinted = false;
  let isFull = false;
  /** An operator wants nothing more to be claimed; runs in hand go on. */
  let isPaused = false;
  const turns = newTurns();
  let takeoversLookedAtMs = Number.NEGATIVE_INFINITY;
  let stopping: Promise<void> | null = null;

  const look = () => {
    isHinted = true;
    wakeUp?.();
  };

  /** Who put a run back looks when it is due, or has the others look; if it is gone by then, their poll finds it. */
  const lookIn = async (ms: number) => {
    await deps.clock.sleep(ms + CLOCK_SLACK_MS, drain.signal);
    if (drain.signal.aborted) return;
    if (isFull) deps.hints.publish({ isQueued: true });
    else look();
  };

  const begin = (run: ClaimedRun, claimedAtMs: number) => {
    const lease = leases.hold(run, claimedAtMs);
    const turnDeps = { ...deps, log, writer: promoter.writer, onRescheduled: lookIn };
    const driven = driveRun(turnDeps, run, lease, drain.signal)
      .then((outcome) => count(outcome))
      .finally(() => {
        leases.drop(lease);
        running.delete(lease);
        // With slots to spare the last claim left nothing behind; only a full house has reason to look again.
        if (isFull) look();
      });
    running.set(lease, driven);
  };

  const count = (outcome: RunOutcome) => {
    if (outcome === "completed") tally.completed += 1;
    if (outcome === "failed") tally.failed += 1;
    // Others need not wait for their next look.
    if (outcome === "handed_back") deps.hints.publish({ isQueued: true });
  };

  /** @returns whether there may be more to claim at once */
  const claim = async (): Promise<boolean> => {
    const slots = options.concurrency - running.size;
    isFull = slots <= 0;
    if (isFull || isPaused) return false;
    const sentAtMs = deps.clock.monotonicMs();
    const takesOver = sentAtMs - takeoversLookedAtMs >= TAKEOVER_MS;
    if (takesOver) takeoversLookedAtMs = sentAtMs;
    const runs = await claimRuns(deps.db, {
      workerId: id,
      slots,
      leaseMs: options.leaseMs,
      turns,
      takesOver,
    });
    for (const run of runs) {
      if (run.attempt === 1) tally.started += 1;
      begin(run, sentAtMs);
    }
    isFull = runs.length === slots;
    return isFull;
  };

  const claimLoop = async () => {
    while (!drain.signal.aborted) {
      isHinted = false;
      try {
        if (await claim()) continue;
      } catch (error) {
        log.warn("runs could not be claimed; trying again", { cause: describeError(error) });
      }
      if (!isHinted && !drain.signal.aborted) await waitForHint(POLL_MS);
    }
  };

  const waitForHint = async (ms: number) => {
    const early = new AbortController();
    wakeUp = () => early.abort();
    await deps.clock.sleep(ms, AbortSignal.any([early.signal, drain.signal]));
    wakeUp = null;
  };

  const reportLoop = async () => {
    while (!drain.signal.aborted) {
      await deps.clock.sleep(options.heartbeatMs ?? WORKER_HEARTBEAT_MS, drain.signal);
      if (!drain.signal.aborted) await report(isPaused ? "draining" : "running");
    }
  };

  const obey = (isDrainWanted: boolean) => {
    if (isDrainWanted === isPaused) return;
    isPaused = isDrainWanted;
    log.info(
      isPaused ? "an operator wants nothing more to be claimed" : "claiming again, as an operator wants",
    );
    if (!isPaused) look();
  };

  const report = async (status: "running" | "draining" | "stopped") => {
    const { started, completed, failed } = tally;
    tally.started = 0;
    tally.completed = 0;
    tally.failed = 0;
    try {
      obey(await heartbeatWorker(deps.db, { id, load: running.size, started, completed, failed, status }));
    } catch (error) {
      tally.started += started;
      tally.completed += completed;
      tally.failed += failed;
      log.debug("the worker could not report", { cause: describeError(error) });
    }
  };

  const stop = async () => {
    drain.abort();
    // A claim that is under way may still bring runs: they are in hand, and handed back like the others.
    await Promise.all(background);
    if (running.size > 0) {
      log.info("draining", { runs: running.size });
      await report("draining");
      const grace = new AbortController();
      await Promise.race([Promise.all(running.values()), deps.clock.sleep(options.drainMs, grace.signal)]);
      grace.abort();
      for (const lease of leases.held()) leases.lose(lease.runId, "drained");
      await Promise.all(running.values());
    }
    unsubscribe?.();
    await leases.stop();
    await report("stopped");
    await liveness?.end({ timeout: 1 });
  };

  return {
    id,
    load: () => running.size,
    async start() {
      const connection = openPool(deps.db.address, 1, {
        applicationName: "everruns-liveness",
        isLongLived: true,
      });
      liveness = connection;
      await registerWorker(deps.db, connection, {
        id,
        hostname: hostname(),
        pid: process.pid,
        version: options.version,
        concurrency: options.concurrency,
        lockKey,
      });
      unsubscribe = deps.hints.subscribe((hint) => {
        for (const runId of hint.cancelled) leases.lose(runId, "cancelled");
        if (hint.isQueued) look();
        // Cancellations may be among the hints that were lost.
        if (hint.isEverything) void leases.confirm();
      });
      await leases.start();
      background.push(
        claimLoop(),
        reportLoop(),
        createReaper({
          ...deps,
          log,
          workerId: id,
          holdOwnLock: () => holdLivenessLock(connection, lockKey),
          onFreed() {
            takeoversLookedAtMs = Number.NEGATIVE_INFINITY;
            look();
          },
        }).run(drain.signal),
        createAlarm({ ...deps, log }).run(drain.signal),
        createScheduler({ ...deps, log }).run(drain.signal),
        createTaskKeeper({ ...deps, log }).run(drain.signal),
        promoter.run(drain.signal),
        createJanitor({ ...deps, log, retention: options.retention ?? null }).run(drain.signal),
        ...(options.webhooks
          ? [createWebhookSender({ ...deps, ...options.webhooks, log }).run(drain.signal)]
          : []),
        ...(options.fetchRepository
          ? [createMemorySyncer({ ...deps, log, fetchRepository: options.fetchRepository }).run(drain.signal)]
          : []),
      );
      log.debug("worker started", { concurrency: options.concurrency });
    },
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}
