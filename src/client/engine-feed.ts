/**
 * That something durable has changed: a run, a worker, a dead turn, a breaker. The server says it in snapshots, at most
 * one a second; a reader who wants more than a snapshot has takes them as a sign to read again.
 */
import { backoffMs } from "../base/backoff.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import type { Client } from "./client.ts";
import { asFailure, BACKOFF, framesOf } from "./stream.ts";

/** Between two connections, whatever the server says. */
const PAUSE_MS = 1_000;

/**
 * Tells of changes until the signal aborts, across reconnects. Ends when the server refuses for good: it shows its
 * engine to operators alone, and an older one has no such stream. It is a hint; whoever follows it polls as well.
 */
export async function followEngine(
  client: Pick<Client, "openEngineStream">,
  {
    signal,
    onChange,
    clock = systemClock,
    random,
  }: { signal: AbortSignal; onChange(): void; clock?: Clock; random?: () => number },
): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    let waitMs = PAUSE_MS;
    try {
      for await (const { event } of framesOf((connection) => client.openEngineStream(connection), {
        clock,
        signal,
      })) {
        if (event === "disconnecting") break;
        if (event !== "snapshot") continue;
        attempt = 0;
        onChange();
      }
    } catch (error) {
      const { isRetryable, retryAfterSeconds } = asFailure(error);
      if (signal.aborted || !isRetryable) return;
      waitMs = Math.max(PAUSE_MS, (retryAfterSeconds ?? 0) * 1_000, backoffMs(BACKOFF, attempt, random));
    }
    await clock.sleep(waitMs, signal);
  }
}
