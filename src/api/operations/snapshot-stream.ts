/**
 * Snapshots as Server-Sent Events: `connected`, `snapshot` whenever something has changed, `disconnecting`. A reader
 * that does not read misses snapshots, never the newest one, and costs nothing.
 */
import type { Clock } from "../../base/clock.ts";
import { encodeSseFrame, SSE_HEARTBEAT } from "../../base/sse.ts";
import { limits } from "../../contract/limits.ts";
import type { Watch } from "./snapshots.ts";

export interface SnapshotStreamOptions {
  clock: Clock;
  /** Aborted when the server goes down. */
  shutdown: AbortSignal;
  /** Asked again and again: false ends the stream. null: it may as long as it lasts. */
  mayGoOn: (() => Promise<boolean>) | null;
  /** Fields that only the first snapshot has. */
  first?(): Record<string, unknown>;
  random?: () => number;
  onClose(): void;
}

/** Milliseconds of silence before `disconnecting`, so that it comes in a chunk of its own. */
const ALONE_MS = 100;
const RETRY_MS = 1_000;
const encoder = new TextEncoder();
const CONNECTED = encodeSseFrame({ event: "connected", data: '{"status":"connected"}' });

/** @param watch  called once, with what is to be called when there may be more */
export function streamSnapshots(
  watch: (onReady: () => void) => Watch,
  options: SnapshotStreamOptions,
): Response {
  const { clock, shutdown } = options;
  const ended = new AbortController();
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  let isWanted = false;
  let isFirst = true;
  let isQuiet = true;
  let isEnding = false;

  const send = (text: string) => {
    isWanted = false;
    isQuiet = false;
    controller?.enqueue(encoder.encode(text));
  };
  const proceed = () => {
    if (!isWanted || isEnding || ended.signal.aborted) return;
    const snapshot = watched.take();
    if (snapshot === null) return;
    const more = isFirst ? options.first?.() : undefined;
    isFirst = false;
    const data = more === undefined ? snapshot : JSON.stringify({ ...JSON.parse(snapshot), ...more });
    send(encodeSseFrame({ event: "snapshot", retry: RETRY_MS, data }));
  };
  const beat = async () => {
    while (!ended.signal.aborted) {
      isQuiet = true;
      await clock.sleep(limits.sseHeartbeatMs, ended.signal);
      if (isQuiet && isWanted && !isEnding && !ended.signal.aborted) send(SSE_HEARTBEAT);
    }
  };
  const close = () => {
    if (ended.signal.aborted) return;
    ended.abort();
    watched.close();
    options.onClose();
  };
  const live = async () => {
    const lifeMs = limits.durableSseCycleMs * (0.8 + 0.4 * (options.random ?? Math.random)());
    const endAtMs = clock.monotonicMs() + lifeMs;
    const over = AbortSignal.any([shutdown, ended.signal]);
    for (let leftMs = lifeMs; leftMs > 0 && !over.aborted; leftMs = endAtMs - clock.monotonicMs()) {
      await clock.sleep(Math.min(leftMs, limits.sseCheckMs), over);
      if (!over.aborted && (await options.mayGoOn?.()) === false) break;
    }
    if (ended.signal.aborted) return;
    isEnding = true;
    await clock.sleep(ALONE_MS, ended.signal);
    if (ended.signal.aborted) return;
    const reason = shutdown.aborted ? "server_maintenance" : "connection_cycle";
    const data = JSON.stringify({ reason, retry_ms: RETRY_MS });
    controller?.enqueue(encoder.encode(encodeSseFrame({ event: "disconnecting", data })));
    close();
    controller?.close();
  };
  const watched = watch(proceed);

  const body = new ReadableStream<Uint8Array>({
    start(own) {
      controller = own;
      own.enqueue(encoder.encode(CONNECTED));
      void live();
      void beat();
    },
    pull() {
      isWanted = true;
      proceed();
    },
    cancel: close,
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    },
  });
}
