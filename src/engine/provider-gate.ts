/**
 * What stands between a run and its provider: the provider's limits and the circuit breaker of its model.
 *
 * The breaker's state comes with the configuration of every turn, so the way through a closed one costs no
 * statement; a run that goes on for long has it looked at again every few seconds. A failure is written down, a
 * success only when there are failures to forget. A call that was under way when the breaker opened is not cut off.
 */
import type { Clock } from "../base/clock.ts";
import { describeError, RetryableError, TerminalError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { TurnErrorCode } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { Db } from "../db/pool.ts";
import {
  type BreakerKey,
  type BreakerView,
  CLOSED_VIEW,
  changeBreaker,
  loadBreakerView,
} from "../db/providers/breakers.ts";
import type { ResolvedModel } from "../db/sessions.ts";
import type { Chunk, DriverError } from "../llm/driver.ts";
import { type Happening, nextBreaker, verdictOnProvider } from "./breaker.ts";
import { createLimiter } from "./limiter.ts";

export interface ProviderGate {
  /** Takes note of the breaker as it was loaded with a turn's configuration. */
  learn(organizationId: string, model: ResolvedModel): void;
  /**
   * Waits for the provider's limits and lets the call through, or says when to come again.
   *
   * @param call.sinceProgressMs  how long the run has got nowhere: the longest that it can have waited here
   * @returns null when the signal fired while waiting
   * @throws RetryableError  the breaker is open; not an attempt that failed
   * @throws TerminalError   it has been open for too long, or an operator holds it open
   */
  enter(call: {
    organizationId: string;
    model: ResolvedModel;
    sinceProgressMs: number;
    signal: AbortSignal;
  }): Promise<Passage | null>;
}

/** One call's way through. */
export interface Passage {
  /** Shows what the provider says: it decides about the breaker. */
  see(chunk: Chunk): void;
  /** To be called when the call is over, however it ended. Contract: never rejects. */
  leave(): Promise<void>;
}

/** A state that is older than this is looked at again before a call. */
const REFRESH_MS = 5_000;
/** While another run's probe is out there is nothing to know but its end. */
const PROBE_POLL_MS = 2_000;
/** Runs that wait for the same breaker do not all come back in one moment. */
const SPREAD_MS = 1_000;
/** Breakers remembered; past it the oldest is looked up again. */
const KNOWN_MAX = 10_000;

interface Known {
  view: BreakerView;
  atMs: number;
}

export function createProviderGate(deps: {
  db: Db;
  clock: Clock;
  log: Log;
  random?: () => number;
}): ProviderGate {
  const { db, clock, log } = deps;
  const random = deps.random ?? Math.random;
  const limiter = createLimiter({ clock });
  const known = new Map<string, Known>();

  const nameOf = ({ providerId, model }: BreakerKey) => `${providerId}:${model}`;
  const remember = (key: BreakerKey, view: BreakerView) => {
    const oldest = known.size >= KNOWN_MAX ? known.keys().next().value : undefined;
    if (oldest !== undefined) known.delete(oldest);
    known.set(nameOf(key), { view, atMs: clock.monotonicMs() });
    return view;
  };

  const current = async (key: BreakerKey): Promise<BreakerView> => {
    const entry = known.get(nameOf(key));
    const ageMs = entry === undefined ? Number.POSITIVE_INFINITY : clock.monotonicMs() - entry.atMs;
    if (entry === undefined || ageMs > REFRESH_MS) return remember(key, await loadBreakerView(db, key));
    const { wait_ms, open_ms } = entry.view;
    return {
      ...entry.view,
      wait_ms: wait_ms === null ? null : Math.max(0, wait_ms - ageMs),
      open_ms: open_ms + (entry.view.state === "closed" ? 0 : ageMs),
    };
  };

  const change = async (key: BreakerKey, happening: Happening): Promise<BreakerView | null> => {
    const changed = await changeBreaker(db, key, (breaker, now) => nextBreaker(breaker, happening, now));
    if (changed === null) return null;
    const { before, after, view } = changed;
    if (after !== null && after.state !== before.state) {
      log[after.state === "open" ? "warn" : "info"]("a circuit breaker changed", {
        breaker: nameOf(key),
        from: before.state,
        to: after.state,
        reason: after.reason ?? before.reason,
        failures: after.failureCount,
        wait_ms: view.wait_ms,
      });
    }
    return remember(key, view);
  };

  /** @returns whether this call is the probe */
  const pass = async (key: BreakerKey, sinceProgressMs: number): Promise<boolean> => {
    const view = await current(key);
    if (view.state === "closed") return false;
    if (view.wait_ms === 0) {
      const changed = await changeBreaker(db, key, (breaker, now) =>
        nextBreaker(breaker, { kind: "probe" }, now),
      );
      const stands = changed === null ? view : remember(key, changed.view);
      if (changed !== null && changed.after !== null) {
        log.info("a circuit breaker lets one call through", { breaker: nameOf(key) });
        return true;
      }
      if (stands.state === "closed") return false;
      throw notNow(key, stands, sinceProgressMs, random);
    }
    throw notNow(key, view, sinceProgressMs, random);
  };

  const open = (key: BreakerKey, isProbe: boolean, release: () => void): Passage => {
    let isUndecided = isProbe;
    let written: Promise<unknown> = Promise.resolve();
    const record = (happening: Happening) => {
      written = written
        .then(() => change(key, happening))
        .catch((error) =>
          log.debug("a circuit breaker could not be written", { cause: describeError(error) }),
        );
    };
    const seeError = (error: DriverError) => {
      const verdict = verdictOnProvider(error, limits.providerRetryAfterMaxMs);
      if (verdict?.kind === "failed") record({ ...verdict, isProbe: isUndecided });
      else if (verdict !== null) record(verdict);
      // Whoever refuses a request, and says why, is there.
      else if (isUndecided) record({ kind: "succeeded", isProbe: true });
      isUndecided = false;
    };
    return {
      see(chunk) {
        if (chunk.kind === "retry" || chunk.kind === "error") return seeError(chunk.error);
        if (chunk.kind === "aborted" || chunk.kind === "usage") return;
        if (isUndecided) record({ kind: "succeeded", isProbe: true });
        else if (chunk.kind === "finish" && (known.get(nameOf(key))?.view.failure_count ?? 0) > 0) {
          record({ kind: "succeeded", isProbe });
        }
        isUndecided = false;
      },
      async leave() {
        release();
        if (isUndecided) record({ kind: "abandoned" });
        isUndecided = false;
        await written;
      },
    };
  };

  return {
    learn(organizationId, model) {
      remember(keyOf(organizationId, model), model.breaker ?? CLOSED_VIEW);
    },
    async enter({ organizationId, model, sinceProgressMs, signal }) {
      const release = await limiter.enter(model.provider.id, model.provider.limits, signal);
      if (release === null) return null;
      const key = keyOf(organizationId, model);
      try {
        return open(key, await pass(key, sinceProgressMs), release);
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}

function keyOf(organizationId: string, { provider, model }: ResolvedModel): BreakerKey {
  return { organizationId, providerId: provider.id, model: model.model_id };
}

function notNow(
  { providerId, model }: BreakerKey,
  view: BreakerView,
  sinceProgressMs: number,
  random: () => number,
): RetryableError | TerminalError {
  const code: TurnErrorCode =
    view.reason === "rate_limited" ? "provider_rate_limited" : "provider_unavailable";
  if (view.wait_ms === null) {
    return new TerminalError(
      code,
      `an operator holds the circuit breaker of ${model} open (${providerId}:${model}); nothing is sent to it until it is closed`,
    );
  }
  const waitMs =
    (view.state === "half_open" ? Math.min(view.wait_ms, PROBE_POLL_MS) : view.wait_ms) +
    random() * SPREAD_MS;
  const why =
    view.reason === "rate_limited"
      ? `the provider of ${model} asked to wait`
      : `the provider of ${model} has failed again and again`;
  const waitedMs = Math.min(sinceProgressMs, view.open_ms);
  if (waitedMs + waitMs > limits.providerOutageMaxMs) {
    return new TerminalError(
      code,
      `${why}; nothing is sent to it for another ${Math.ceil(view.wait_ms / 1000)} s, which is longer than a turn waits`,
    );
  }
  return new RetryableError(code, why, { retryAfterMs: Math.ceil(waitMs), countsAsAttempt: false });
}
