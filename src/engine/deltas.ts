/**
 * Coalesces what the model streams into few delta events: one write at a time, every 50 ms or 1 KiB, whichever
 * comes first (engine note, section 5). A delta that cannot be written is no harm: the completed message has it.
 *
 * When the writer is behind, writes take long, and a write every 50 ms would keep it behind. So once writes take more
 * than half of the interval it grows with them, up to 250 ms. What is said meanwhile goes with the next write, in
 * one row instead of many.
 *
 * Deltas are committed with `synchronous_commit` on like all else: after a crash of PostgreSQL a sequence that a
 * client has seen would go to another event (I2).
 */
import type { Clock } from "../base/clock.ts";
import type { EventContext, NewEvent } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";

export interface DeltaStream {
  add(kind: "text" | "thinking", text: string): void;
  /** Ends the stream. @returns what has not been sent, to go out with the answer's own write: no statement more */
  finish(): NewEvent[];
}

interface Piece {
  kind: "text" | "thinking";
  text: string;
}

/** A write that takes longer is slow: each millisecond more makes the interval `STRETCH` milliseconds longer. */
const SLOW_WRITE_MS = limits.deltaIntervalMs / 2;
const STRETCH = 4;

/** @param write  appends events under the run's lease; may reject, which ends the stream silently */
export function createDeltaStream(deps: {
  clock: Clock;
  turnId: string;
  messageId: string;
  model: string;
  context: EventContext;
  write(events: NewEvent[]): Promise<unknown>;
}): DeltaStream {
  const { turn_id, exec_id, trace_id } = deps.context;
  // What a delta is found by. The rest stands on the announcement of the same execution: a delta is short, and
  // written, read and sent more often than anything else.
  const context: EventContext = {
    ...(turn_id === undefined ? {} : { turn_id }),
    ...(exec_id === undefined ? {} : { exec_id }),
    ...(trace_id === undefined ? {} : { trace_id }),
  };
  let pieces: Piece[] = [];
  let bytes = 0;
  let isRunning = false;
  let hurry: (() => void) | null = null;
  let hasThought = false;
  let lastWriteMs = 0;

  const toEvents = (batch: readonly Piece[]): NewEvent[] =>
    batch.flatMap(({ kind, text }): NewEvent[] => {
      if (kind === "text") {
        return [
          {
            type: "output.message.delta",
            context,
            data: { turn_id: deps.turnId, delta: text, message_id: deps.messageId },
          },
        ];
      }
      const events: NewEvent[] = [];
      if (!hasThought) {
        hasThought = true;
        events.push({
          type: "reason.thinking.started",
          context: deps.context,
          data: { turn_id: deps.turnId, model: deps.model },
        });
      }
      events.push({
        type: "reason.thinking.delta",
        context,
        data: { turn_id: deps.turnId, delta: text },
      });
      return events;
    });

  const run = async () => {
    isRunning = true;
    while (pieces.length > 0) {
      const batch = pieces;
      pieces = [];
      bytes = 0;
      const sentAtMs = deps.clock.monotonicMs();
      await deps.write(toEvents(batch)).catch(() => {});
      const writeMs = deps.clock.monotonicMs() - sentAtMs;
      // A single slow write says nothing; two in a row do.
      const slowMs = Math.max(0, Math.min(writeMs, lastWriteMs) - SLOW_WRITE_MS);
      lastWriteMs = writeMs;
      const intervalMs = Math.min(limits.deltaIntervalMs + STRETCH * slowMs, limits.deltaIntervalMaxMs);
      // The first piece goes out at once; what comes within the interval after it goes together.
      const left = intervalMs - writeMs;
      if (bytes >= limits.deltaBytes || left <= 0) continue;
      const early = new AbortController();
      hurry = () => early.abort();
      await deps.clock.sleep(left, early.signal);
      hurry = null;
    }
    isRunning = false;
  };

  return {
    add(kind, text) {
      if (text === "") return;
      const last = pieces.at(-1);
      if (last?.kind === kind) last.text += text;
      else pieces.push({ kind, text });
      bytes += text.length;
      if (bytes >= limits.deltaBytes) hurry?.();
      if (!isRunning) void run();
    },
    finish() {
      hurry?.();
      const rest = toEvents(pieces);
      pieces = [];
      return rest;
    },
  };
}
