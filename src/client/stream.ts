/**
 * The event stream of a session as an async iterator that outlives its connections.
 *
 * Every event comes once and in order, whatever happens to the connection: it resumes after the last event that
 * was yielded, waits as long as the server asked, backs off with jitter when the server is gone, and breaks off a
 * connection on which nothing, not even a heartbeat, has come for a while. Answers that waiting cannot mend
 * (a bad id, no such session, a wrong key) are thrown.
 */
import { type Backoff, backoffMs } from "../base/backoff.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { describeError } from "../base/errors.ts";
import { createSseDecoder, type SseFrame } from "../base/sse.ts";
import { type Event, type EventType, isEventType } from "../contract/event.ts";
import { ClientError } from "./errors.ts";
import { turnOf } from "./transcript.ts";

export interface StreamQuery {
  sinceId?: string | undefined;
  types?: readonly EventType[] | undefined;
  exclude?: readonly EventType[] | undefined;
  /** `plain`: deltas come without all that was said before them, which grows with every one. */
  deltas?: "plain" | undefined;
}

/** What the stream needs of a client: one connection. Throws ClientError when the server refuses or is not there. */
export interface EventSource {
  openEventStream(sessionId: string, query: StreamQuery, signal: AbortSignal): Promise<Response>;
}

export interface Reconnect {
  /** 1 for the first attempt since something last arrived. */
  attempt: number;
  delayMs: number;
  /** For people. Null when the server ended the connection as announced: nothing to worry anyone with. */
  reason: string | null;
}

export interface StreamOptions extends StreamQuery {
  signal?: AbortSignal | undefined;
  /** Each connection that the server has greeted. */
  onConnected?: (() => void) | undefined;
  /** Before each wait for the next connection. */
  onReconnect?: ((reconnect: Reconnect) => void) | undefined;
  /** Give up after this many milliseconds without any connection; never when absent. */
  giveUpAfterMs?: number | undefined;
  clock?: Clock | undefined;
  random?: (() => number) | undefined;
}

/** The server sends a heartbeat at least every 30 s; half as long again means that the connection is dead. */
export const STALL_MS = 45_000;
export const BACKOFF: Backoff = { baseMs: 250, capMs: 10_000 };
const HINT_MS_MAX = 60_000;

/**
 * @returns events of the session, from the beginning or after `sinceId`, until `signal` aborts (then it just ends)
 * @throws ClientError when the server refuses for good, or could not be reached for `giveUpAfterMs`
 */
export async function* streamEvents(
  source: EventSource,
  sessionId: string,
  options: StreamOptions = {},
): AsyncGenerator<Event, void, undefined> {
  const clock = options.clock ?? systemClock;
  const signal = options.signal ?? new AbortController().signal;
  const cursor: Cursor = { id: options.sinceId, sequence: 0, hintMs: 0 };
  let attempt = 0;
  let lastHeardMs = clock.monotonicMs();

  while (!signal.aborted) {
    let failure: ClientError | null = null;
    try {
      for await (const arrival of readOnce(source, sessionId, cursor, options, clock, signal)) {
        lastHeardMs = clock.monotonicMs();
        if (arrival === "connected") {
          options.onConnected?.();
          continue;
        }
        // Only an event is progress: a server that greets and hangs up must not be called without pause.
        attempt = 0;
        yield arrival;
      }
      attempt = 0;
    } catch (error) {
      if (signal.aborted) return;
      failure = asFailure(error);
      if (!failure.isRetryable) throw failure;
    }
    if (signal.aborted) return;

    if (failure && clock.monotonicMs() - lastHeardMs >= (options.giveUpAfterMs ?? Number.POSITIVE_INFINITY)) {
      throw failure;
    }
    const delayMs = failure
      ? Math.max(
          cursor.hintMs,
          (failure.retryAfterSeconds ?? 0) * 1000,
          backoffMs(BACKOFF, attempt, options.random),
        )
      : cursor.hintMs;
    attempt += 1;
    options.onReconnect?.({ attempt, delayMs, reason: failure && describeError(failure) });
    await clock.sleep(delayMs, signal);
  }
}

/**
 * The events of one turn, from its `input.message` to its end, and the `session.idled` after it.
 *
 * @param options.sequence  events of the turn before this one are passed over: a message that joined a running
 *                          turn has its own beginning
 */
export async function* followTurn(
  source: EventSource,
  sessionId: string,
  options: StreamOptions & { turnId: string; sequence?: number | undefined },
): AsyncGenerator<Event, void, undefined> {
  let hasEnded = false;
  for await (const event of streamEvents(source, sessionId, options)) {
    if (turnOf(event) !== options.turnId) {
      if (hasEnded) return; // the next turn has begun, an idle in between was not sent
      continue;
    }
    if (event.sequence < (options.sequence ?? 0)) continue;
    yield event;
    if (isTurnEnd(event.type)) hasEnded = true;
    if (hasEnded && event.type === "session.idled") return;
  }
}

export function isTurnEnd(type: EventType): boolean {
  return (TURN_ENDS as readonly string[]).includes(type);
}
const TURN_ENDS = [
  "turn.completed",
  "turn.failed",
  "turn.sealed",
  "turn.cancelled",
] as const satisfies readonly EventType[];

interface Cursor {
  id: string | undefined;
  sequence: number;
  /** How long the server wants us to wait before the next connection, in milliseconds. */
  hintMs: number;
}

/** One connection: yields what arrives, moves the cursor, and returns when the server said goodbye. */
async function* readOnce(
  source: EventSource,
  sessionId: string,
  cursor: Cursor,
  options: StreamQuery,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Event | "connected", void, undefined> {
  const { types, exclude, deltas } = options;
  const query = { sinceId: cursor.id, types, exclude, deltas };
  const open = (connection: AbortSignal) => source.openEventStream(sessionId, query, connection);
  for await (const frame of framesOf(open, { clock, signal })) {
    if (frame.retry !== null) cursor.hintMs = Math.min(frame.retry, HINT_MS_MAX);
    if (frame.event === "connected") yield "connected";
    else if (frame.event === "disconnecting") {
      cursor.hintMs = Math.min(retryHintOf(frame) ?? cursor.hintMs, HINT_MS_MAX);
      return;
    } else {
      const event = eventOf(frame);
      if (event === null || event.sequence <= cursor.sequence) continue;
      cursor.sequence = event.sequence;
      cursor.id = event.id;
      if (isEventType(event.type)) yield event;
    }
  }
}

/**
 * The frames of one connection, which is closed with the last one that is taken.
 *
 * @throws ClientError, also when the server closes the connection: it says goodbye before it does that
 */
export async function* framesOf(
  open: (signal: AbortSignal) => Promise<Response>,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): AsyncGenerator<SseFrame, void, undefined> {
  const connection = new AbortController();
  const abort = () => connection.abort();
  signal.addEventListener("abort", abort, { once: true });
  let reader: { cancel(): Promise<unknown> } | null = null;
  try {
    const response = await within(open(connection.signal), clock, signal);
    if (!response.body) throw brokenStream("the event stream has no body");
    const body = response.body.getReader();
    reader = body;
    const decoder = createSseDecoder();
    const text = new TextDecoder();
    for (;;) {
      const { done, value } = await within(body.read(), clock, signal);
      if (done) throw brokenStream("the server closed the event stream");
      yield* decoder.feed(text.decode(value, { stream: true }));
    }
  } finally {
    signal.removeEventListener("abort", abort);
    await reader?.cancel().catch(() => {}); // the connection may be gone already: that is what we want
    connection.abort();
  }
}

/** Waits for the promise at most STALL_MS; rejects at once when the signal aborts. */
async function within<T>(promise: Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  const timer = new AbortController();
  const abort = () => timer.abort();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) timer.abort();
  promise.catch(() => {}); // the loser of the race may reject later, when nobody listens any more
  try {
    return await Promise.race([
      promise,
      clock.sleep(STALL_MS, timer.signal).then((): never => {
        throw new ClientError(`nothing came from the server for ${STALL_MS / 1000} s`, {
          status: 0,
          code: "timeout",
        });
      }),
    ]);
  } finally {
    signal.removeEventListener("abort", abort);
    timer.abort();
  }
}

/** The event of a frame; null for frames that carry none, such as markers of a newer server. */
function eventOf(frame: SseFrame): Event | null {
  let value: unknown;
  try {
    value = JSON.parse(frame.data);
  } catch (cause) {
    throw new ClientError(`the event stream carried something that is not JSON: ${frame.data.slice(0, 80)}`, {
      status: 200,
      code: "not_everruns",
      cause,
    });
  }
  const isEvent =
    typeof value === "object" &&
    value !== null &&
    "id" in value &&
    "sequence" in value &&
    typeof value.id === "string" &&
    typeof value.sequence === "number";
  return isEvent ? (value as Event) : null;
}

function retryHintOf(frame: SseFrame): number | null {
  const match = /"retry_ms"\s*:\s*([0-9]+)/.exec(frame.data);
  return match ? Number(match[1]) : null;
}

function brokenStream(message: string, cause?: unknown): ClientError {
  return new ClientError(message, { status: 0, code: "unreachable", cause });
}

/** Whatever the network throws in the middle of a body means the same: the connection is gone. */
export function asFailure(error: unknown): ClientError {
  return error instanceof ClientError ? error : brokenStream("the connection broke", error);
}
