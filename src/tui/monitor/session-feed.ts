/**
 * The events of one session, from its newest turns on, as long as somebody looks. It keeps the newest events and
 * entries and lets the older ones go: a session may run for days.
 */
import { systemClock } from "../../base/clock.ts";
import type { Client } from "../../client/client.ts";
import { ClientError } from "../../client/errors.ts";
import { streamEvents } from "../../client/stream.ts";
import { emptyTranscript, foldTranscript, settledCount, type Transcript } from "../../client/transcript.ts";
import type { Event, EventType } from "../../contract/event.ts";
import { sentenceOf } from "./load.ts";

export const EVENTS_MAX = 300;
const ENTRIES_MAX = 300;
const AGAIN_MS = 2_000;
const CHARS_MAX = 8_000_000;
/** Whole messages follow them; a screen that redraws for each of them would be no help to anybody. */
const LEFT_OUT: readonly EventType[] = ["output.message.delta"];

export interface Kept {
  /** Oldest first. */
  events: readonly Event[];
  /** Of each event, in characters. */
  sizes: readonly number[];
  transcript: Transcript;
}

export const NOTHING_KEPT: Kept = { events: [], sizes: [], transcript: emptyTranscript };

/** PURE: with more events, within the bounds. The newest event stays, however large it is. */
export function keep(kept: Kept, more: readonly Event[]): Kept {
  const last = kept.events.at(-1)?.sequence ?? 0;
  const fresh = more.filter((event) => event.sequence > last);
  const events = [...kept.events, ...fresh];
  const sizes = [...kept.sizes, ...fresh.map((event) => JSON.stringify(event.data).length)];
  let chars = 0;
  let first = sizes.length;
  while (first > 0 && sizes.length - first < EVENTS_MAX) {
    chars += sizes[first - 1] ?? 0;
    if (chars > CHARS_MAX && first < sizes.length) break;
    first -= 1;
  }
  const transcript = foldTranscript(kept.transcript, fresh);
  const spare = Math.min(transcript.entries.length - ENTRIES_MAX, settledCount(transcript));
  return {
    events: events.slice(first),
    sizes: sizes.slice(first),
    transcript: spare > 0 ? { ...transcript, entries: transcript.entries.slice(spare) } : transcript,
  };
}

/** Follows a session until the signal aborts. @param onChange  told what is kept now, and what is wrong with the stream */
export async function followSession(
  client: Client,
  sessionId: string,
  { signal, onChange }: { signal: AbortSignal; onChange(kept: Kept, trouble: string | null): void },
): Promise<void> {
  let kept = NOTHING_KEPT;
  let trouble: string | null = null;
  const tell = () => {
    if (!signal.aborted) onChange(kept, trouble);
  };
  const follow = async () => {
    kept = keep(kept, await client.listEvents(sessionId, { limit: EVENTS_MAX, exclude: LEFT_OUT }));
    trouble = null;
    tell();
    const stream = streamEvents(client, sessionId, {
      signal,
      exclude: LEFT_OUT,
      sinceId: kept.events.at(-1)?.id,
      onConnected() {
        trouble = null;
        tell();
      },
      onReconnect({ reason }) {
        trouble = reason;
        tell();
      },
    });
    for await (const event of stream) {
      kept = keep(kept, [event]);
      tell();
    }
  };
  while (!signal.aborted) {
    try {
      return await follow();
    } catch (error) {
      trouble = sentenceOf(error);
      tell();
      // The stream comes back by itself; the list before it must be asked for again.
      if (!(error instanceof ClientError) || !error.isRetryable) return;
      await systemClock.sleep(AGAIN_MS, signal);
    }
  }
}
