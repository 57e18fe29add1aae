/**
 * `GET /v1/sessions/{id}/sse`: the event log as a stream, to the letter of the wire contract, section 9.
 *
 * Two of its rules come from the official clients. `disconnecting` travels alone: the TypeScript client loses
 * events that arrive in the same chunk, so the stream pauses before it. And no other named frame is ever sent:
 * the Python client fails on names it does not know.
 */

import type { Clock } from "../base/clock.ts";
import { encodeSseFrame, SSE_HEARTBEAT } from "../base/sse.ts";
import type { Event, EventType } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";
import type { Accumulator } from "./accumulate.ts";
import type { Subscription } from "./feed.ts";

export interface StreamOptions {
  /** null: every type. */
  types: readonly EventType[] | null;
  exclude: readonly EventType[];
  /** Fires when the server goes down: the stream says so and closes. */
  shutdown: AbortSignal;
  clock: Clock;
  /** One for all streams of a process: what many read is encoded once. */
  frames: FrameEncoder;
  random?: () => number;
  onClose(): void;
}

/** Milliseconds of silence before `disconnecting`, so that it comes in a chunk of its own. */
const ALONE_MS = 100;
const RETRY_MS = 100;

/** The stream as a response. Pulled, never pushed: a reader that does not read costs one batch, no more. */
export function streamEvents(
  subscription: Subscription,
  accumulator: Accumulator | null,
  options: StreamOptions,
): Response {
  const { clock } = options;
  const jitter = 0.8 + 0.4 * (options.random ?? Math.random)();
  const cycleAt = clock.monotonicMs() + limits.sseCycleMs * jitter;
  const encoder = new TextEncoder();
  const closed = new AbortController();
  let isGreeted = false;

  const close = () => {
    if (closed.signal.aborted) return;
    closed.abort();
    subscription.close();
    options.onClose();
  };
  const onShutdown = () => subscription.close();
  if (options.shutdown.aborted) onShutdown();
  options.shutdown.addEventListener("abort", onShutdown, { once: true });
  closed.signal.addEventListener("abort", () => options.shutdown.removeEventListener("abort", onShutdown));

  const nextChunk = async (): Promise<string | null> => {
    // Counted from the last chunk, not from the last event: the filter may pass nothing for minutes.
    const heartbeatAt = clock.monotonicMs() + limits.sseHeartbeatMs;
    for (;;) {
      const now = clock.monotonicMs();
      if (now >= cycleAt) return null;
      if (now >= heartbeatAt) return SSE_HEARTBEAT;
      const events = await subscription.next(Math.min(cycleAt, heartbeatAt) - now);
      if (events === null) return null;
      const shown = accumulator === null ? events : await accumulator.add(events);
      const text = shown
        .filter((event) => passes(event, options))
        .map(options.frames)
        .join("");
      if (text !== "") return text;
    }
  };

  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (!isGreeted) {
          isGreeted = true;
          controller.enqueue(
            encoder.encode(encodeSseFrame({ event: "connected", data: '{"status":"connected"}' })),
          );
          return;
        }
        const chunk = await nextChunk();
        if (chunk !== null) {
          controller.enqueue(encoder.encode(chunk));
          return;
        }
        if (closed.signal.aborted) return;
        await clock.sleep(ALONE_MS, closed.signal);
        controller.enqueue(encoder.encode(farewell(options.shutdown.aborted)));
        close();
        controller.close();
      } catch (error) {
        close();
        controller.error(error);
      }
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

function farewell(isShutdown: boolean): string {
  const reason = isShutdown ? "server_maintenance" : "connection_cycle";
  return encodeSseFrame({ event: "disconnecting", data: JSON.stringify({ reason, retry_ms: RETRY_MS }) });
}

function passes(event: Event, options: StreamOptions): boolean {
  if (options.types !== null && !options.types.includes(event.type)) return false;
  return !options.exclude.includes(event.type);
}

export type FrameEncoder = (event: Event) => string;

/**
 * Encodes an event as a frame, once for all readers: the feed hands the same object to each of them, and with a
 * thousand readers encoding it for each took a whole processor. A frame is kept no longer than its event.
 */
export function createFrameEncoder(): FrameEncoder {
  const frames = new WeakMap<Event, string>();
  return (event) => {
    const known = frames.get(event);
    if (known !== undefined) return known;
    const frame = encodeSseFrame({
      event: event.type,
      id: event.id,
      retry: RETRY_MS,
      data: JSON.stringify(event),
    });
    frames.set(event, frame);
    return frame;
  };
}
