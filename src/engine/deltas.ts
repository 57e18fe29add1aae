/**
 * Coalesces what the model streams into few delta events: one write at a time, every 50 ms or 1 KiB, whichever
 * comes first (engine note, section 5). A delta that cannot be written is no harm: the completed message has it.
 *
 * When the writer is behind, writes take long, and a write every 50 ms would keep it behind. So once writes take more
 * than half of the interval it grows with them, up to 250 ms. What is said meanwhile goes with the next write, in
 * one row instead of many.
 *
 * What was thought is told as a whole before the text that follows it (contract, section 8): the one event among these
 * that must not get lost, so it is told again until a write of it stood.
 *
 * Deltas are committed with `synchronous_commit` on like all else: after a crash of PostgreSQL a sequence that a
 * client has seen would go to another event (I2).
 */
import type { Clock } from "../base/clock.ts";
import type { EventContext, NewEvent } from "../contract/event.ts";
import { limits } from "../contract/limits.ts";

export interface DeltaStream {
  add(kind: "text" | "thinking", text: string): void;
  /** Ends the stream. */
  finish(): Promise<DeltaRest>;
}

export interface DeltaRest {
  /** What has not been sent, to go out with the answer's own write: no statement more. */
  events: NewEvent[];
  /** All that was thought is told, by what was written or by `events`. */
  isThinkingTold: boolean;
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
  let lastWriteMs = 0;
  let thought = "";
  /** Characters of `thought` that an event has told as a whole. */
  let toldChars = 0;
  /** The write with such an event, while it is under way. */
  let telling: Promise<unknown> | null = null;

  const textEvents = (delta: string): NewEvent[] => {
    const event: NewEvent = {
      type: "output.message.delta",
      context,
      data: { turn_id: deps.turnId, delta, message_id: deps.messageId },
    };
    if (toldChars === thought.length) return [event];
    toldChars = thought.length;
    return [thinkingCompleted(deps, thought), event];
  };

  const thinkingEvents = (delta: string): NewEvent[] => {
    const isFirst = thought === "";
    thought += delta;
    const event: NewEvent = { type: "reason.thinking.delta", context, data: { turn_id: deps.turnId, delta } };
    if (!isFirst) return [event];
    const data = { turn_id: deps.turnId, model: deps.model };
    return [{ type: "reason.thinking.started", context: deps.context, data }, event];
  };

  const toEvents = (batch: readonly Piece[]): NewEvent[] =>
    batch.flatMap(({ kind, text }) => (kind === "text" ? textEvents(text) : thinkingEvents(text)));

  const send = async (batch: readonly Piece[]) => {
    const before = toldChars;
    const events = toEvents(batch);
    const sent = deps.write(events).catch(() => {
      toldChars = before;
    });
    if (toldChars !== before) telling = sent;
    await sent;
    telling = null;
  };

  const run = async () => {
    isRunning = true;
    while (pieces.length > 0) {
      const batch = pieces;
      pieces = [];
      bytes = 0;
      const sentAtMs = deps.clock.monotonicMs();
      await send(batch);
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
    async finish() {
      hurry?.();
      const rest = pieces;
      pieces = [];
      await telling;
      const events = toEvents(rest);
      return { events, isThinkingTold: toldChars === thought.length };
    },
  };
}

/** The thinking of one answer as a whole; more of it may come, and is told with all that came before. */
export function thinkingCompleted(
  { context, turnId }: { context: EventContext; turnId: string },
  thinking: string,
): NewEvent {
  return { type: "reason.thinking.completed", context, data: { turn_id: turnId, thinking } };
}
