/**
 * `GET /v1/sessions/{id}/sse`: the event log as a stream, to the letter of the wire contract, section 9.
 *
 * Two of its rules come from the official clients. `disconnecting` travels alone: the TypeScript client loses
 * events that arrive in the same chunk, so the stream pauses before it. And no other named frame is sent to who did not
 * ask for it: the Python client fails on names it does not know.
 */

import type { Clock } from "../../base/clock.ts";
import { encodeSseFrame, SSE_HEARTBEAT } from "../../base/sse.ts";
import type { Event, EventType } from "../../contract/event.ts";
import { limits } from "../../contract/limits.ts";
import type { Accumulator } from "./accumulate.ts";
import type { Subscription } from "./feed.ts";
import type { TurnCut } from "./turn-cut.ts";

/** What a stream shows. Streams that are given the same object share their bytes. */
export interface StreamFilter {
  /** null: every type. */
  types: readonly EventType[] | null;
  exclude: readonly EventType[];
}

export interface StreamOptions {
  filter: StreamFilter;
  /** Aborted when the server goes down: a stream whose subscription is closed says so. */
  shutdown: AbortSignal;
  clock: Clock;
  /** One for all streams of a process: what many read is encoded once. */
  encode: StreamEncoder;
  /** Says once, between what was there and what comes, up to which sequence the reader has everything. */
  tellsCaughtUp?: boolean;
  /** Shows one turn and ends with it; it is not cycled, for nobody could take it up again. */
  cut?: TurnCut;
  random?: () => number;
  /** Asked once a minute; false ends the stream. Never rejects. Null: the reader may read as long as it likes. */
  mayGoOn?: (() => Promise<boolean>) | null;
  onClose(): void;
}

/** Milliseconds of silence before `disconnecting`, so that it comes in a chunk of its own. */
const ALONE_MS = 100;
const RETRY_MS = 100;
/** After so long without an event, nobody waits for the next one by the millisecond. */
const IDLE_MS = 30_000;
const RETRY_IDLE_MS = 500;

const encoder = new TextEncoder();
const CONNECTED = encoder.encode(encodeSseFrame({ event: "connected", data: '{"status":"connected"}' }));
const HEARTBEAT = encoder.encode(SSE_HEARTBEAT);

/**
 * The stream as a response. What is ready when the reader wants more goes out as one chunk, at once and without a
 * promise: with a thousand readers of a session the promises took as long as the sockets. A reader that does not
 * read is given nothing, and costs its bounded buffer.
 *
 * @param subscribe  called once; what it is given is to be called when there may be more
 */
export function streamEvents(
  subscribe: (onReady: () => void) => Subscription,
  accumulator: Accumulator | null,
  options: StreamOptions,
): Response {
  const { clock } = options;
  const cycleMs = limits.sseCycleMs * (0.8 + 0.4 * (options.random ?? Math.random)());
  const cycleAt = options.cut ? Number.POSITIVE_INFINITY : clock.monotonicMs() + cycleMs;
  let checkAt = options.mayGoOn ? clock.monotonicMs() + limits.sseCheckMs : Number.POSITIVE_INFINITY;
  let isCaughtUpUntold = options.tellsCaughtUp ?? false;
  let controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  let heartbeatAt = 0;
  let shownAt = clock.monotonicMs();
  let isWanted = false;
  let isEnding = false;
  let isEnded = false;

  const close = () => {
    if (isEnded) return;
    isEnded = true;
    subscription.close();
    options.onClose();
  };
  const send = (chunk: Uint8Array, nowMs: number) => {
    isWanted = false;
    // Counted from the last chunk, not from the last event: the filter may pass nothing for minutes.
    heartbeatAt = nowMs + limits.sseHeartbeatMs;
    controller?.enqueue(chunk);
  };
  const fail = (error: unknown) => {
    if (isEnded) return;
    close();
    controller?.error(error);
  };
  const end = async () => {
    isEnding = true;
    await clock.sleep(ALONE_MS);
    if (isEnded) return;
    const isIdle = clock.monotonicMs() - shownAt >= IDLE_MS;
    controller?.enqueue(
      encoder.encode(farewell(options.shutdown.aborted, isIdle ? RETRY_IDLE_MS : RETRY_MS)),
    );
    close();
    controller?.close();
  };
  const check = async () => {
    const mayGoOn = await options.mayGoOn?.();
    if (mayGoOn === false && !isEnding && !isEnded) await end();
  };
  const sendShown = (shown: readonly Event[], isOver: boolean, nowMs: number): boolean => {
    const chunk = options.encode(shown, options.filter);
    if (chunk) {
      shownAt = nowMs;
      send(chunk, nowMs);
    }
    if (isOver) {
      close();
      controller?.close();
    }
    return chunk !== null || isOver;
  };

  /** Sends the next chunk, if one is wanted and there is one; else it is called again when there may be. */
  const proceed = () => {
    try {
      while (isWanted && !isEnding && !isEnded) {
        const now = clock.monotonicMs();
        if (now >= cycleAt) return void end().catch(fail);
        if (now >= checkAt) {
          checkAt = now + limits.sseCheckMs;
          void check().catch(fail);
        }
        if (now >= heartbeatAt) return send(HEARTBEAT, now);
        const events = subscription.take(Math.min(cycleAt, heartbeatAt));
        if (events === null) return void end().catch(fail);
        if (events.length === 0) {
          const sequence = isCaughtUpUntold ? subscription.caughtUpTo() : null;
          if (sequence === null) return;
          isCaughtUpUntold = false;
          return send(encoder.encode(caughtUp(sequence)), now);
        }
        const { own, isOver } = options.cut?.(events) ?? { own: events, isOver: false };
        const shown = accumulator === null ? own : accumulator.add(own);
        if (shown instanceof Promise) {
          // Nobody calls meanwhile: the subscription was not left waiting.
          return void shown
            .then((late) => {
              if (!isEnded && !sendShown(late, isOver, now)) proceed();
            })
            .catch(fail);
        }
        if (sendShown(shown, isOver, now)) return;
      }
    } catch (error) {
      fail(error);
    }
  };
  const subscription = subscribe(proceed);
  if (options.shutdown.aborted) subscription.close();

  const body = new ReadableStream<Uint8Array>({
    pull(own) {
      isWanted = true;
      if (controller !== null) return proceed();
      controller = own;
      send(CONNECTED, clock.monotonicMs());
    },
    cancel: close,
  });

  return new Response(body, { headers: HEADERS });
}

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
};

function farewell(isShutdown: boolean, retryMs: number): string {
  const reason = isShutdown ? "server_maintenance" : "connection_cycle";
  return encodeSseFrame({ event: "disconnecting", data: JSON.stringify({ reason, retry_ms: retryMs }) });
}

function caughtUp(sequence: number): string {
  return encodeSseFrame({ event: "stream.caught_up", data: JSON.stringify({ sequence }) });
}

function passes(event: Event, { types, exclude }: StreamFilter): boolean {
  if (types !== null && !types.includes(event.type)) return false;
  return !exclude.includes(event.type);
}

/** What of the events passes, as bytes; null when nothing does. The bytes are shared: they must not be changed. */
export type StreamEncoder = (events: readonly Event[], filter: StreamFilter) => Uint8Array | null;

/**
 * Encodes once for all readers. The feed hands the same list to the live ones of a session, one after the other:
 * who asks for the same list with the same filter as the last gets the same bytes. Readers that are not in step
 * share the frames of the single events. A frame is kept no longer than its event.
 */
export function createStreamEncoder(): StreamEncoder {
  const frames = new WeakMap<Event, string>();
  let last: { events: readonly Event[]; chunks: Map<StreamFilter, Uint8Array | null> } | null = null;

  const frameOf = (event: Event) => {
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

  return (events, filter) => {
    if (last?.events !== events) last = { events, chunks: new Map() };
    const known = last.chunks.get(filter);
    if (known !== undefined) return known;
    let text = "";
    for (const event of events) if (passes(event, filter)) text += frameOf(event);
    const chunk = text === "" ? null : encoder.encode(text);
    last.chunks.set(filter, chunk);
    return chunk;
  };
}
