/**
 * The feed: from hints to subscribers.
 *
 * A hint wakes a session's feed, which reads the log once from its own cursor and hands the rows to every live
 * subscriber: one read a session and wake-up, however many watch it, and the reads of many sessions go out together.
 * What this process wrote itself comes along with the hint and needs no read, when it is the very next. A
 * subscriber starts by catching up with reads of its own; when it finds nothing newer and no hint came meanwhile, it
 * joins the live ones. Who reads too slowly loses its buffer, not its place: it goes back to catching up from the
 * database. So memory is bounded, and an event is missed by nobody: the cursor decides, the hint only hurries.
 *
 * Hints can be lost; a poll compares the sessions' newest sequences with the cursors.
 */
import type { Clock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import type { Service } from "../../base/service.ts";
import type { Event } from "../../contract/event.ts";
import { limits } from "../../contract/limits.ts";
import { newestSequences } from "../../db/events.ts";
import { createGroupedReader } from "../../db/grouped-reader.ts";
import type { Hints, WrittenLog } from "../../db/hints.ts";
import type { Lineage } from "../../db/lineage.ts";
import type { Db } from "../../db/pool.ts";

export interface Subscription {
  /**
   * What is ready, oldest first; the subscription's place moves behind it. Subscribers of one session are often given
   * the very same list: it must not be changed.
   *
   * After an empty answer `onReady` is called once, when there is more, when the time has come (up to a second late)
   * or when it is over.
   *
   * @param deadlineMs  on the clock's monotonic scale
   * @returns null when the subscription or the feed was closed
   * @throws what the database said, when a read of the subscription's own failed
   */
  take(deadlineMs: number): readonly Event[] | null;
  /**
   * The sequence up to which everything has been taken, once that was all there is; null until then. `onReady` is
   * called when it is known, too.
   */
  caughtUpTo(): number | null;
  close(): void;
}

export interface Feed extends Service {
  /**
   * Everything after `cursor` (a sequence; 0 is the beginning). The caller has checked the organization.
   *
   * @param onReady  called while events are handed out: it must not throw
   * @param lineage  of a fork, when the cursor may lie in what it inherited
   */
  subscribe(sessionId: string, cursor: number, onReady: () => void, lineage?: Lineage): Subscription;
  /** Closes every subscription: the server goes down. */
  closeAll(): void;
  subscribers(): number;
}

/** How often cursors are compared with the log: sessions with recent events, and all of them. */
const POLL_MS = 1_000;
const IDLE_POLL_EVERY = 10;
const RECENT_MS = 60_000;
/** One timer for all who wait: how often it looks whose time has passed. */
const WALK_MS = 1_000;

/** One for all who have nothing: ten thousand silent streams need not hold a list each. */
const NONE: readonly Event[] = [];

interface Subscriber {
  cursor: number;
  lineage: Lineage;
  isLive: boolean;
  isClosed: boolean;
  /** A read of its own is under way. */
  isReading: boolean;
  /** It found nothing and wants to be told. */
  isWaiting: boolean;
  /** What the read of its own failed with; thrown once. */
  failure: { error: unknown } | null;
  /** Never changed in place: others may hold the same list. */
  buffer: readonly Event[];
  onReady: () => void;
  /** When waiting ends at the latest. */
  deadlineMs: number;
}

interface SessionFeed {
  id: string;
  /** Everything up to here has been handed to the live subscribers. */
  cursor: number;
  hints: number;
  lastEventMs: number;
  isReading: boolean;
  subscribers: Set<Subscriber>;
}

export function createFeed(deps: { db: Db; hints: Hints; log: Log; clock: Clock }): Feed {
  const feeds = new Map<string, SessionFeed>();
  const reader = createGroupedReader(deps.db, limits.feedBatchEvents);
  const stopped = new AbortController();
  let unsubscribe: (() => void) | null = null;
  let polling: Promise<unknown> | null = null;
  let count = 0;

  const nudge = (feed: SessionFeed) => {
    feed.hints += 1;
    if (!feed.isReading) void pump(feed);
  };

  const hand = (feed: SessionFeed, events: readonly Event[]) => {
    const last = events.at(-1);
    if (!last) return;
    feed.cursor = Math.max(feed.cursor, last.sequence);
    feed.lastEventMs = deps.clock.monotonicMs();
    for (const subscriber of feed.subscribers) if (subscriber.isLive) push(subscriber, events);
  };

  /**
   * Hands on what came along with a hint, which spares the read.
   *
   * @returns false unless it is exactly what follows the feed's cursor; then only the log tells what is new
   */
  const takeOver = (feed: SessionFeed, log: WrittenLog | undefined): boolean => {
    if (!log || feed.isReading || !hasLive(feed) || log.after !== feed.cursor) return false;
    feed.hints += 1;
    hand(feed, log.events());
    return true;
  };

  /** Reads what is new for the live subscribers until a read finds nothing and no hint came meanwhile. */
  const pump = async (feed: SessionFeed) => {
    feed.isReading = true;
    try {
      while (hasLive(feed) && !stopped.signal.aborted) {
        const seen = feed.hints;
        const events = await reader.read(feed.id, feed.cursor);
        hand(feed, events);
        if (events.length < limits.feedBatchEvents && feed.hints === seen) break;
      }
    } catch (error) {
      deps.log.debug("the feed could not read; the poll will try again", { session_id: feed.id, error });
    } finally {
      feed.isReading = false;
    }
  };

  const poll = async () => {
    for (let round = 1; ; round += 1) {
      await deps.clock.sleep(POLL_MS, stopped.signal);
      if (stopped.signal.aborted) return;
      const now = deps.clock.monotonicMs();
      const due = [...feeds.values()].filter(
        (feed) => round % IDLE_POLL_EVERY === 0 || now - feed.lastEventMs < RECENT_MS,
      );
      if (due.length === 0) continue;
      try {
        const newest = await newestSequences(
          deps.db,
          due.map((feed) => feed.id),
        );
        for (const feed of due) {
          const sequence = newest.get(feed.id) ?? 0;
          if ([...feed.subscribers].some((subscriber) => subscriber.cursor < sequence)) nudge(feed);
        }
      } catch (error) {
        deps.log.debug("the feed's poll failed; the next one will try again", { error });
      }
    }
  };

  /** Wakes who has waited long enough. A timer for each of ten thousand silent streams would cost memory and time. */
  const walk = async () => {
    while (!stopped.signal.aborted) {
      await deps.clock.sleep(WALK_MS, stopped.signal);
      const now = deps.clock.monotonicMs();
      for (const feed of feeds.values()) {
        for (const subscriber of feed.subscribers) if (subscriber.deadlineMs <= now) wake(subscriber);
      }
    }
  };

  const joinLive = (feed: SessionFeed, subscriber: Subscriber) => {
    // Behind what the feed has read: an empty answer of ours was older than that, and there is more to fetch.
    if (subscriber.cursor < feed.cursor) return;
    feed.cursor = hasLive(feed) ? feed.cursor : subscriber.cursor;
    subscriber.isLive = true;
  };

  /** Reads what follows the subscriber's own cursor, until there is something or it has joined the live ones. */
  const catchUp = async (feed: SessionFeed, subscriber: Subscriber) => {
    subscriber.isReading = true;
    try {
      while (!subscriber.isClosed && !subscriber.isLive && subscriber.buffer.length === 0) {
        const seen = feed.hints;
        // What the feed has read is visible to us: an empty answer means that the rest up to there is pruned.
        const visible = feed.cursor;
        const events = await reader.read(feed.id, subscriber.cursor, subscriber.lineage);
        if (events.length > 0) subscriber.buffer = events;
        else {
          subscriber.cursor = Math.max(subscriber.cursor, visible);
          if (feed.hints === seen) joinLive(feed, subscriber);
        }
      }
    } catch (error) {
      subscriber.failure = { error };
    } finally {
      subscriber.isReading = false;
    }
    wake(subscriber);
  };

  const take = (feed: SessionFeed, subscriber: Subscriber, deadlineMs: number) => {
    if (subscriber.isClosed || stopped.signal.aborted) return null;
    if (subscriber.failure) {
      const { error } = subscriber.failure;
      subscriber.failure = null;
      throw error;
    }
    const events = subscriber.buffer;
    const last = events.at(-1);
    if (last) {
      subscriber.buffer = NONE;
      subscriber.cursor = last.sequence;
      return events;
    }
    subscriber.deadlineMs = deadlineMs;
    subscriber.isWaiting = true;
    if (!subscriber.isLive && !subscriber.isReading) void catchUp(feed, subscriber);
    return NONE;
  };

  const close = (feed: SessionFeed, subscriber: Subscriber) => {
    if (subscriber.isClosed) return;
    subscriber.isClosed = true;
    count -= 1;
    feed.subscribers.delete(subscriber);
    if (feed.subscribers.size === 0) feeds.delete(feed.id);
    wake(subscriber);
  };

  return {
    async start() {
      unsubscribe = deps.hints.subscribe((hint) => {
        if (hint.isEverything) for (const feed of feeds.values()) nudge(feed);
        else {
          for (const id of hint.sessions) {
            const feed = feeds.get(id);
            if (feed && !takeOver(feed, hint.logs?.get(id))) nudge(feed);
          }
        }
      });
      polling = Promise.all([poll(), walk()]);
    },

    async stop() {
      stopped.abort();
      unsubscribe?.();
      for (const feed of feeds.values()) for (const subscriber of feed.subscribers) wake(subscriber);
      await polling;
    },

    closeAll() {
      for (const feed of [...feeds.values()])
        for (const subscriber of feed.subscribers) close(feed, subscriber);
    },

    subscribers: () => count,

    subscribe(sessionId, cursor, onReady, lineage = []) {
      const feed = feeds.get(sessionId) ?? newFeed(sessionId, deps.clock.monotonicMs());
      feeds.set(sessionId, feed);
      const subscriber: Subscriber = {
        cursor,
        lineage,
        isLive: false,
        isClosed: false,
        isReading: false,
        isWaiting: false,
        failure: null,
        buffer: NONE,
        onReady,
        deadlineMs: 0,
      };
      feed.subscribers.add(subscriber);
      count += 1;
      return {
        take: (deadlineMs) => take(feed, subscriber, deadlineMs),
        caughtUpTo: () => (subscriber.isLive ? subscriber.cursor : null),
        close: () => close(feed, subscriber),
      };
    },
  };
}

function newFeed(id: string, nowMs: number): SessionFeed {
  return { id, cursor: 0, hints: 0, lastEventMs: nowMs, isReading: false, subscribers: new Set() };
}

function hasLive(feed: SessionFeed): boolean {
  for (const subscriber of feed.subscribers) if (subscriber.isLive) return true;
  return false;
}

function push(subscriber: Subscriber, events: readonly Event[]): void {
  const { buffer } = subscriber;
  const newest = buffer.at(-1)?.sequence ?? subscriber.cursor;
  const isNew = (events[0]?.sequence ?? 0) > newest;
  const fresh = isNew ? events : events.filter((event) => event.sequence > newest);
  if (fresh.length === 0) return;
  if (buffer.length + fresh.length > limits.sseBufferEvents) {
    subscriber.buffer = NONE;
    subscriber.isLive = false;
  } else subscriber.buffer = buffer.length === 0 ? fresh : [...buffer, ...fresh];
  wake(subscriber);
}

function wake(subscriber: Subscriber): void {
  if (!subscriber.isWaiting) return;
  subscriber.isWaiting = false;
  subscriber.onReady();
}
