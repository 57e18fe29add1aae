/**
 * The grouped writer: every write that a worker makes for a run it holds goes through here. What the runs of one
 * process have to say at the same moment goes out in one statement, up to `GROUP_MAX` runs of it, and each
 * caller's promise settles when its own rows are durable. Writes of one run that wait together become one.
 *
 * Why: a commit costs a disk sync. One statement for each of 50 runs reached 1,500 to 5,500 steps/s on two cores;
 * grouped, the same machine did 9,800 to 11,000 with four events a step (trial of 2026-11-22).
 *
 * Fencing. The statement locks the session rows by id, then the run rows by id, and writes only for runs that
 * still carry the caller's epoch under a live lease. A run that does not is answered with LeaseLostError and
 * nothing of it is written. Locking the session row also orders commits: sequence order is commit order, so a
 * reader that has seen n can never later find n - 1.
 *
 * Ending. An ending (run state, terminal events, session back to idle) is written only if no message has come
 * that the model has not seen: otherwise the rest of the write stands, and the caller is told to go on.
 */
import { LeaseLostError } from "../base/errors.ts";
import type { NewEvent } from "../contract/event.ts";
import { addUsage, type TokenUsage } from "../contract/usage.ts";
import { type RunWriteUnderLease, writeGroup } from "./_write-group.ts";
import type { WrittenLog } from "./hints.ts";
import type { Db } from "./pool.ts";
import { asRetryable, isTransientDatabaseError, sqlstateOf } from "./sqlstate.ts";

/** The right to write for a run: one claim of it. */
export interface LeaseRef {
  runId: string;
  sessionId: string;
  epoch: number;
}

export interface StepWrite {
  name: string;
  kind: "reason" | "tool";
  toolName: string | null;
  effect: "pure" | "idempotent" | "at_most_once" | null;
  /** `pending` announces an at_most_once call; the later `settled` or `unknown` of the same name replaces it. */
  status: "pending" | "settled" | "unknown";
  attempt: number;
  result: unknown;
  usage: TokenUsage | null;
  error: string | null;
  /** How long it took, in milliseconds; the start is counted back from the database's now(). */
  durationMs: number;
}

export interface Ending {
  state: "completed" | "failed" | "sealed";
  events: readonly NewEvent[];
  errorCode: string | null;
  error: string | null;
  finalMessageId: string | null;
  /** First text of the answer, for lists. */
  outputPreview: string | null;
  /**
   * The newest input.message that the model has seen. A newer one keeps the run going; null ends it in any case.
   */
  seenInputSequence: number | null;
}

export interface RunWrite {
  events: readonly NewEvent[];
  steps?: readonly StepWrite[];
  /** Added to the run's and the session's totals. */
  usage?: TokenUsage | null;
  /** Reason steps that this write completes. */
  iterations?: number;
  timeToFirstTokenMs?: number | null;
  hasDeltas?: boolean;
  ending?: Ending;
}

export interface Written {
  /** Sequence of the last event written; the session's newest when there was none. */
  lastSequence: number;
  /** Sequence of the session's newest input.message. */
  lastInputSequence: number;
  /** False when there was no ending, or when an unseen message kept the run going. */
  isEnded: boolean;
  /** Messages that wait for their turn. After an ending the caller promotes the first (`queue.ts`). */
  queueLength: number;
  /** What the session's log has grown by in the same statement: these events, and those that went out with them. */
  log: WrittenLog;
}

export interface Writer {
  /**
   * @throws LeaseLostError   nothing was written: the run belongs to someone else, or has ended
   * @throws RetryableError   the database could not be reached: it may or may not have been written; reload
   */
  write(lease: LeaseRef, write: RunWrite): Promise<Written>;
  /** Statements sent so far, for the benchmark and the metrics. */
  statements(): number;
}

export const GROUP_MAX = 200;
/** Statements under way at once: one commits while the next is being gathered. */
const FLIGHTS_MAX = 2;
/** From so many runs on they go out in two statements at once. */
const SPLIT_MIN = 40;

interface Caller {
  write: RunWrite;
  resolve(written: Written): void;
  reject(error: unknown): void;
}

/** What goes out for one run in one statement: a write, or several that waited together, in order. */
interface Pending extends RunWriteUnderLease {
  callers: Caller[];
}

/** @param onWritten  told the sessions whose log has grown, and by what, after it is durable */
export function createWriter(deps: {
  db: Db;
  onWritten(sessionIds: string[], logs: ReadonlyMap<string, WrittenLog>): void;
}): Writer {
  let queue: Pending[] = [];
  /** The newest of each run's in the queue: what comes behind it may join it. */
  const waiting = new Map<string, Pending>();
  const inFlight = new Set<string>();
  let flights = 0;
  let statements = 0;
  let isScheduled = false;

  const send = async (group: Pending[]) => {
    statements += 1;
    const written = await writeGroup(deps.db, group);
    const grown = new Map<string, WrittenLog>();
    for (const pending of group) {
      const row = written.get(pending.lease.runId);
      if (row) grown.set(pending.lease.sessionId, row.log);
      settle(pending, row);
    }
    if (grown.size > 0) deps.onWritten([...grown.keys()], grown);
  };

  const fly = async (group: Pending[]) => {
    try {
      await send(group);
    } catch (error) {
      const isAlone = group.length === 1 && group[0]?.callers.length === 1;
      if (isAlone || sqlstateOf(error) === null || isTransientDatabaseError(error)) {
        for (const pending of group) refuse(pending, asRetryable(error));
        return;
      }
      // PostgreSQL says so: the statement failed as a whole and wrote nothing. One write is to blame; let the others through.
      for (const one of group.flatMap(apart)) {
        await send([one]).catch((own) => refuse(one, asRetryable(own)));
      }
    }
  };

  const flush = () => {
    isScheduled = false;
    while (queue.length > 0 && flights < FLIGHTS_MAX) {
      // Two halves are faster than one whole and a rest; a statement for a few that came late costs as much as a large.
      if (queue.length < inFlight.size) return;
      const isSplit = flights === 0 && queue.length >= SPLIT_MIN;
      const group = takeGroup(
        isSplit ? Math.min(GROUP_MAX, Math.ceil(queue.length / FLIGHTS_MAX)) : GROUP_MAX,
      );
      if (group.length === 0) return;
      flights += 1;
      for (const pending of group) inFlight.add(pending.lease.runId);
      void fly(group).finally(() => {
        flights -= 1;
        for (const pending of group) inFlight.delete(pending.lease.runId);
        flush();
      });
    }
  };

  /** At most one write a run: the next one's sequences follow from this one's. */
  const takeGroup = (max: number) => {
    const group: Pending[] = [];
    const rest: Pending[] = [];
    const runs = new Set(inFlight);
    for (const pending of queue) {
      if (group.length < max && !runs.has(pending.lease.runId)) {
        runs.add(pending.lease.runId);
        group.push(pending);
        if (waiting.get(pending.lease.runId) === pending) waiting.delete(pending.lease.runId);
      } else {
        runs.add(pending.lease.runId);
        rest.push(pending);
      }
    }
    queue = rest;
    return group;
  };

  return {
    write(lease, write) {
      return new Promise<Written>((resolve, reject) => {
        const caller = { write, resolve, reject };
        const last = waiting.get(lease.runId);
        if (last && joins(last, lease, write)) join(last, caller);
        else {
          const pending = { lease, write, callers: [caller] };
          waiting.set(lease.runId, pending);
          queue.push(pending);
        }
        if (isScheduled) return;
        isScheduled = true;
        setImmediate(flush);
      });
    },
    statements: () => statements,
  };
}

/**
 * Whether a write can go out together with the one before it that still waits. Behind an ending nothing can, for it
 * may be withheld; and a statement cannot store a step twice.
 */
function joins(before: Pending, lease: LeaseRef, write: RunWrite): boolean {
  if (before.lease.epoch !== lease.epoch || before.write.ending !== undefined) return false;
  const names = new Set((before.write.steps ?? []).map((step) => step.name));
  return !(write.steps ?? []).some((step) => names.has(step.name));
}

function join(before: Pending, caller: Caller): void {
  const { write: first } = before;
  const { write: second } = caller;
  const usage = [first.usage, second.usage].filter((one) => one !== null && one !== undefined);
  before.write = {
    events: [...first.events, ...second.events],
    steps: [...(first.steps ?? []), ...(second.steps ?? [])],
    usage: usage.length === 0 ? null : usage.reduce(addUsage),
    iterations: (first.iterations ?? 0) + (second.iterations ?? 0),
    timeToFirstTokenMs: first.timeToFirstTokenMs ?? second.timeToFirstTokenMs ?? null,
    hasDeltas: first.hasDeltas === true || second.hasDeltas === true,
    ...(second.ending ? { ending: second.ending } : {}),
  };
  before.callers.push(caller);
}

/** Undoes `join`. */
function apart({ lease, callers }: Pending): Pending[] {
  return callers.map((caller) => ({ lease, write: caller.write, callers: [caller] }));
}

/** Tells everyone who waits for it; the ending belongs to the last. */
function settle({ lease, callers }: Pending, row: Written | undefined): void {
  if (!row) return refuse({ callers }, new LeaseLostError(lease.runId));
  let { lastSequence } = row;
  for (const [index, { write, resolve }] of [...callers.entries()].reverse()) {
    const isEnded = row.isEnded && index === callers.length - 1;
    resolve({ ...row, isEnded, lastSequence });
    lastSequence -= write.events.length + (isEnded ? (write.ending?.events.length ?? 0) : 0);
  }
}

function refuse({ callers }: Pick<Pending, "callers">, error: unknown): void {
  for (const caller of callers) caller.reject(error);
}
