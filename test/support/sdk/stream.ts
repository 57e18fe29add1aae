/**
 * Reading a session's stream as the official TypeScript SDK does, with what is weak about it: the parser throws out
 * of `feed` when it meets `disconnecting`, and then whatever the same chunk held before it is lost, although the
 * cursor stands behind it. It resumes by `since_id`, never by Last-Event-ID, and tries again for ever.
 */
import type { Sdk } from "./client.ts";

export interface StreamedEvent {
  id: string;
  type: string;
  sequence?: number;
  // biome-ignore lint/suspicious/noExplicitAny: the SDK does not look into it
  data: any;
  [field: string]: unknown;
}

export interface StreamReport {
  /** How often it connected. */
  connections: number;
  /** `disconnecting` was said, and why. */
  goodbyes: string[];
  /** Names of events that are neither of the protocol nor real: none may come. */
  strangers: string[];
}

class Disconnecting extends Error {
  readonly retryMs: number;
  constructor(retryMs: number) {
    super("disconnecting");
    this.retryMs = retryMs;
  }
}

/** The first pause after an error; the SDK starts at a second. */
const BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 1_000;

/**
 * The events of a session, without end: the reader breaks off.
 *
 * @param options.sinceId  resume behind this event
 * @param options.report   filled while it reads
 */
export async function* streamEvents(
  sdk: Pick<Sdk, "base" | "headers">,
  sessionId: string,
  options: {
    sinceId?: string;
    exclude?: readonly string[];
    types?: readonly string[];
    report?: StreamReport;
  } = {},
): AsyncGenerator<StreamedEvent> {
  const report = options.report ?? newReport();
  let lastEventId = options.sinceId;
  let backoffMs = BACKOFF_MS;
  const abort = new AbortController();
  try {
    for (;;) {
      try {
        const query = new URLSearchParams();
        if (lastEventId !== undefined) query.set("since_id", lastEventId);
        for (const type of options.types ?? []) query.append("types", type);
        for (const type of options.exclude ?? []) query.append("exclude", type);
        const response = await fetch(`${sdk.base}/sessions/${sessionId}/sse?${query}`, {
          headers: { ...sdk.headers, accept: "text/event-stream", "cache-control": "no-cache" },
          signal: abort.signal,
        });
        const contentType = response.headers.get("content-type") ?? "";
        if (!response.ok || !contentType.startsWith("text/event-stream")) {
          throw new Error(`${response.status} ${contentType}`);
        }
        report.connections += 1;
        const queue: StreamedEvent[] = [];
        const parser = createParser((name, data) => {
          backoffMs = BACKOFF_MS;
          if (name === "connected") return;
          if (name === "disconnecting") {
            const { reason, retry_ms: retryMs } = JSON.parse(data);
            report.goodbyes.push(reason);
            throw new Disconnecting(retryMs ?? 100);
          }
          const event = JSON.parse(data) as StreamedEvent;
          if (event.type !== name) report.strangers.push(name);
          lastEventId = event.id;
          queue.push(event);
        });
        const text = new TextDecoder();
        for await (const chunk of response.body ?? []) {
          parser.feed(text.decode(chunk as Uint8Array, { stream: true }));
          while (queue.length > 0) yield queue.shift() as StreamedEvent;
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof Disconnecting) {
          await Bun.sleep(error.retryMs);
          continue;
        }
        await Bun.sleep(backoffMs);
        backoffMs = Math.min(backoffMs * 2, BACKOFF_MS_MAX);
      }
    }
  } finally {
    abort.abort();
  }
}

export const newReport = (): StreamReport => ({ connections: 0, goodbyes: [], strangers: [] });

/** Calls back for each complete event of the chunk, in the middle of feeding it. */
function createParser(onEvent: (name: string, data: string) => void): { feed(chunk: string): void } {
  let rest = "";
  let name = "";
  let data: string[] = [];
  return {
    feed(chunk) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          const [event, text] = [name || "message", data.join("\n")];
          name = "";
          data = [];
          if (text !== "") onEvent(event, text);
        } else if (line.startsWith("event:")) name = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      }
    },
  };
}
