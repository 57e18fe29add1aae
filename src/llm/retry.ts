/**
 * One model call from request to last chunk: opens the vendor's stream, watches it for silence, and asks again
 * while nothing of the answer has been seen. The packages' own retries are off; this is the only place that
 * repeats a request.
 */
import { type Backoff, backoffMs } from "../base/backoff.ts";
import type { Clock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import type { Chunk, DriverError } from "./driver.ts";
import { createWatch, type FetchLike, type Watch } from "./watch.ts";

/** Everything that a driver takes from outside, so that tests can move time and fix chance. */
export interface CallDeps {
  clock: Clock;
  /** A draw from [0, 1). */
  random: () => number;
  /** The network. */
  fetch: FetchLike;
  /** A stream with no byte for this long is broken off. */
  stallMs: number;
  retriesMax: number;
  backoff: Backoff;
  /** A vendor that wants a longer wait gets its way elsewhere: the call fails at once and says how long. */
  retryAfterMaxMs: number;
}

/** What differs from vendor to vendor. One object a call; it may remember what it gave up. */
export interface VendorCall<E> {
  /** Sends the request. Rejects with the package's error. */
  open(attempt: { signal: AbortSignal; fetch: FetchLike }): Promise<AsyncIterable<E>>;
  createReader(watch: Watch): EventReader<E>;
  classify(thrown: unknown): DriverError;
  /**
   * True when the vendor refused one optional part of the request and the call will now be sent without it, at
   * once. A call can concede each part only once, so this ends.
   */
  concede?(thrown: unknown): boolean;
}

/** Turns a vendor's events into chunks. Pure but for its own memory of the stream. */
export interface EventReader<E> {
  read(event: E): Chunk[];
  /** Called when the stream has ended: the `finish` chunk, or null when the answer is not whole. */
  end(): Chunk | null;
}

type Outcome =
  | { kind: "done" }
  | { kind: "aborted" }
  | { kind: "conceded" }
  | { kind: "failed"; error: DriverError; answered: boolean };

const CONCESSIONS_MAX = 3;

/** Contract: that of `Driver.stream`. Never throws; the last chunk is `finish`, `error` or `aborted`. */
export async function* streamCall<E>(
  deps: CallDeps,
  call: VendorCall<E>,
  signal: AbortSignal,
): AsyncGenerator<Chunk, void, void> {
  let retries = 0;
  let concessions = 0;
  for (;;) {
    const outcome: Outcome = signal.aborted ? { kind: "aborted" } : yield* attemptCall(deps, call, signal);
    if (outcome.kind === "done") return;
    if (outcome.kind === "aborted") return yield { kind: "aborted" };
    if (outcome.kind === "conceded") {
      concessions += 1;
      if (concessions <= CONCESSIONS_MAX) continue;
      return yield { kind: "error", error: bug(new Error("a call conceded without end")) };
    }
    const { error, answered } = outcome;
    const waitMs = waitBefore(retries, error, deps);
    if (answered || waitMs === null) return yield { kind: "error", error };
    retries += 1;
    yield { kind: "retry", attempt: retries, waitMs, error };
    await deps.clock.sleep(waitMs, signal);
  }
}

/** Milliseconds before the next attempt, or null when there is to be none. */
export function waitBefore(
  retries: number,
  error: DriverError,
  policy: Pick<CallDeps, "random" | "retriesMax" | "backoff" | "retryAfterMaxMs">,
): number | null {
  if (!error.retryable || retries >= policy.retriesMax) return null;
  if (error.retryAfterMs === null) return backoffMs(policy.backoff, retries, policy.random);
  if (error.retryAfterMs > policy.retryAfterMaxMs) return null;
  // Everyone who was refused in this second was told the same time: spread them a little.
  return error.retryAfterMs + backoffMs(policy.backoff, 0, policy.random);
}

async function* attemptCall<E>(
  deps: CallDeps,
  call: VendorCall<E>,
  signal: AbortSignal,
): AsyncGenerator<Chunk, Outcome, void> {
  const stop = new AbortController();
  const forward = () => stop.abort();
  signal.addEventListener("abort", forward, { once: true });
  let isWaiting = true;
  const watch = createWatch({
    clock: deps.clock,
    stallMs: deps.stallMs,
    isWaiting: () => isWaiting,
    onStall: forward,
  });
  const reader = call.createReader(watch);
  const events = openEvents(call, { signal: stop.signal, fetch: watch.wrap(deps.fetch) });
  let answered = false;

  const failed = (error: DriverError): Outcome => ({ kind: "failed", error, answered });
  try {
    for (;;) {
      let next: IteratorResult<E, void> | "stopped";
      try {
        next = await nextOrStopped(events, stop.signal);
      } catch (thrown) {
        if (signal.aborted) return { kind: "aborted" };
        if (stop.signal.aborted) return failed(stalled(deps.stallMs));
        if (!answered && call.concede?.(thrown)) return { kind: "conceded" };
        return failed(call.classify(thrown));
      }
      if (signal.aborted) return { kind: "aborted" };
      if (next === "stopped" || stop.signal.aborted) return failed(stalled(deps.stallMs));

      isWaiting = false;
      for (const chunk of next.done ? lastOf(reader) : reader.read(next.value)) {
        if (chunk.kind === "error") return failed(chunk.error);
        // Usage may be said again by the next attempt; everything else is part of the answer.
        if (chunk.kind !== "usage") answered = true;
        yield chunk;
        if (chunk.kind === "finish") return { kind: "done" };
      }
      isWaiting = true;
      watch.touch();
    }
  } catch (thrown) {
    return { kind: "failed", error: bug(thrown), answered: true };
  } finally {
    watch.stop();
    signal.removeEventListener("abort", forward);
    // Closes the socket, also when the reader of our chunks walked away in the middle.
    stop.abort();
    void events.return().catch(() => {});
  }
}

/**
 * The next event, or "stopped" as soon as the signal aborts: after an abort one package throws, the other just
 * ends, and either may take its time. Not a race against one long-lived promise, which would keep every event of
 * a long answer alive.
 */
function nextOrStopped<E>(
  events: AsyncGenerator<E, void, void>,
  signal: AbortSignal,
): Promise<IteratorResult<E, void> | "stopped"> {
  return new Promise((resolve, reject) => {
    const stop = () => resolve("stopped");
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    const settle = () => signal.removeEventListener("abort", stop);
    events.next().then(
      (result) => {
        settle();
        resolve(result);
      },
      (thrown) => {
        settle();
        reject(thrown);
      },
    );
  });
}

async function* openEvents<E>(
  call: VendorCall<E>,
  attempt: { signal: AbortSignal; fetch: FetchLike },
): AsyncGenerator<E, void, void> {
  yield* await call.open(attempt);
}

function lastOf<E>(reader: EventReader<E>): Chunk[] {
  return [reader.end() ?? { kind: "error", error: BROKEN }];
}

const BROKEN: DriverError = {
  code: "provider_unavailable",
  message: "the provider's stream ended before the answer was whole",
  retryable: true,
  retryAfterMs: null,
  status: null,
};

function stalled(stallMs: number): DriverError {
  return { ...BROKEN, message: `the provider sent nothing for ${Math.round(stallMs / 1000)} s` };
}

/** Our own mistake, or an answer in a shape that nobody expected. Asking again would give the same. */
function bug(thrown: unknown): DriverError {
  return {
    code: "processing_error",
    message: `the provider's answer could not be read: ${describeError(thrown)}`,
    retryable: false,
    retryAfterMs: null,
    status: null,
  };
}
