import type { Clock } from "../base/clock.ts";

export type FetchLike = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** Watches the bytes of one request, below the vendors' packages: they swallow keep-alives that prove life. */
export interface Watch {
  wrap(fetch: FetchLike): FetchLike;
  /** Counts as a byte: an event that came by another way than `wrap`. */
  touch(): void;
  /** The last characters of the body so far. Chat Completions servers end with `data: [DONE]`, or do not. */
  tail(): string;
  stop(): void;
}

const TAIL_CHARS = 64;

/**
 * Calls `onStall` once when no byte has arrived for `stallMs` milliseconds, counted from now, from the answer's
 * headers and from each piece of its body. Time in which nobody waits for a byte does not count: a slow reader of
 * the answer is not a silent provider. `stop` ends the watch.
 */
export function createWatch(options: {
  clock: Clock;
  stallMs: number;
  isWaiting: () => boolean;
  onStall: () => void;
}): Watch {
  const { clock, stallMs, isWaiting, onStall } = options;
  const ended = new AbortController();
  const decoder = new TextDecoder();
  let lastByteAt = clock.monotonicMs();
  let tail = "";

  const touch = () => {
    lastByteAt = clock.monotonicMs();
  };
  const keepWatch = async () => {
    while (!ended.signal.aborted) {
      if (!isWaiting()) touch();
      const leftMs = stallMs - (clock.monotonicMs() - lastByteAt);
      if (leftMs <= 0) return onStall();
      await clock.sleep(leftMs, ended.signal);
    }
  };
  void keepWatch();

  return {
    wrap: (fetch) => async (input, init) => {
      const response = await fetch(input, init);
      touch();
      if (!response.body) return response;
      const body = observe(response.body, (bytes) => {
        touch();
        tail = (tail + decoder.decode(bytes, { stream: true })).slice(-TAIL_CHARS);
      });
      const { status, statusText, headers } = response;
      return new Response(body, { status, statusText, headers });
    },
    touch,
    tail: () => tail,
    stop: () => ended.abort(),
  };
}

/** The same bytes, shown to `see` on their way. Pull based: a slow reader slows the sender. */
function observe(
  source: ReadableStream<Uint8Array>,
  see: (bytes: Uint8Array) => void,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      see(value);
      controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}
