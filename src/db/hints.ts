/**
 * Hints: "look again" notices between processes. Between them a hint carries ids, never data, and nothing depends
 * on one: a lost hint costs a poll interval.
 *
 * NOTIFY takes a lock shared by the whole cluster at commit; one in each transaction brought enqueueing from
 * 15,084/s down to 3,707/s (50 clients, 2026-11-22). So a process sends at most one statement at a time, outside
 * the transactions that wrote the rows, and what comes meanwhile joins the next. Listeners of the same process
 * are told at once, without the database, and get what was written along with the hint.
 *
 * A process that listens alone sends nothing. Who begins to listen says so, and is heard by all that listen; who has
 * left is missed at the next count, seconds later. A hint that falls between is lost like any other.
 */
import { systemClock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Service } from "../base/service.ts";
import type { Event } from "../contract/event.ts";
import { type Db, openPool, type Sql } from "./pool.ts";

export interface Hint {
  /** Sessions whose log has grown. */
  sessions: readonly string[];
  /** Runs that were cancelled: whoever works on one should stop. */
  cancelled: readonly string[];
  /** Runs may be ready to be claimed. */
  isQueued: boolean;
  /** Notices may have been lost (the connection was down): look at everything. */
  isEverything: boolean;
  /** What some of the sessions' logs have grown by, when this process wrote it. */
  logs?: ReadonlyMap<string, WrittenLog>;
}

/** Events that are durable in a session's log, as a reader of the log would find them. */
export interface WrittenLog {
  /** The session's newest sequence before them. */
  after: number;
  /** Oldest first, without a gap. */
  events(): readonly Event[];
}

export interface Hints extends Service {
  publish(hint: {
    sessions?: readonly string[];
    cancelled?: readonly string[];
    isQueued?: boolean;
    logs?: ReadonlyMap<string, WrittenLog>;
  }): void;
  /** @returns the unsubscribe function */
  subscribe(listener: (hint: Hint) => void): () => void;
}

const CHANNEL = "everruns";
/** By this name, with their own behind it, listeners know each other in pg_stat_activity, whatever their roles. */
const LISTENER = "everruns-listen ";
/** How often a process that sends hints counts who listens. */
const COUNT_MS = 5_000;
/** Other processes hear of us at most once in this time; our own listeners hear at once. */
const TICK_MS = 5;
/** A notification's payload is limited to 8,000 bytes; an id with its quotes takes at most 50. */
const IDS_PER_NOTIFICATION = 140;

export function createHints(deps: { db: Db; log: Log }): Hints {
  const self = crypto.randomUUID().slice(0, 8);
  const listeners = new Set<(hint: Hint) => void>();
  let sessions = new Set<string>();
  let cancelled = new Set<string>();
  let isQueued = false;
  let flight: Promise<void> | null = null;
  let connection: Sql | null = null;
  let isStopped = false;
  let isListening = false;
  /** As far as we know. */
  let isAlone = false;
  /** How often somebody else was heard: a count that was overtaken by a notice proves nothing. */
  let heard = 0;
  let countedAtMs = 0;

  const isCountDue = () => isListening && systemClock.monotonicMs() - countedAtMs >= COUNT_MS;

  const count = async () => {
    const heardBefore = heard;
    countedAtMs = systemClock.monotonicMs();
    try {
      const others = await deps.db.sql`
        select from pg_stat_activity
         where starts_with(application_name, ${LISTENER}) and application_name <> ${LISTENER + self}
           and datname = current_database()
         limit 1`;
      isAlone = heard === heardBefore && others.length === 0;
    } catch (error) {
      isAlone = false;
      deps.log.debug("the listeners could not be counted; hints are sent to all", { error });
    }
  };

  /** Whoever sends nothing because he listens alone hears that he no longer does. */
  const greet = async () => {
    try {
      await deps.db.sql`select pg_notify(${CHANNEL}, ${encode(self, [], [], false)[0] ?? ""})`;
    } catch (error) {
      deps.log.debug("nobody could be told that we listen; the poll will find the rows", { error });
    }
    await count();
  };

  const tell = (hint: Hint) => {
    for (const listener of listeners) listener(hint);
  };

  const hasNews = () => sessions.size > 0 || cancelled.size > 0 || isQueued;

  const flush = async (): Promise<void> => {
    while (hasNews() && !isStopped) {
      const payloads = encode(self, [...sessions], [...cancelled], isQueued);
      sessions = new Set();
      cancelled = new Set();
      isQueued = false;
      try {
        await deps.db.sql`select pg_notify(${CHANNEL}, payload) from unnest(${payloads}::text[]) payload`;
      } catch (error) {
        deps.log.debug("hints could not be sent; the poll will find the rows", { error });
      }
      // The first goes out at once; what comes within the tick after it goes together.
      await systemClock.sleep(TICK_MS);
    }
    if (isCountDue()) await count();
    if (hasNews() && !isStopped) await flush();
  };

  return {
    async start() {
      connection = openPool(deps.db.address, 1, { applicationName: LISTENER + self });
      let isFirst = true;
      await connection.listen(
        CHANNEL,
        (payload) => {
          const hint = decode(self, payload);
          if (hint === null) return;
          heard += 1;
          isAlone = false;
          if (!isGreeting(hint)) tell(hint);
        },
        () => {
          if (isFirst) return;
          isAlone = false;
          tell({ sessions: [], cancelled: [], isQueued: true, isEverything: true });
          void greet();
        },
      );
      isFirst = false;
      isListening = true;
      await greet();
    },
    async stop() {
      if (isStopped) return;
      await flight;
      isStopped = true;
      // A listening connection never drains by itself; do not wait for it.
      await connection?.end({ timeout: 0 });
    },
    publish(hint) {
      const local: Hint = {
        sessions: hint.sessions ?? [],
        cancelled: hint.cancelled ?? [],
        isQueued: hint.isQueued ?? false,
        isEverything: false,
        ...(hint.logs ? { logs: hint.logs } : {}),
      };
      if (!isAlone) {
        for (const id of local.sessions) sessions.add(id);
        for (const id of local.cancelled) cancelled.add(id);
        isQueued ||= local.isQueued;
      }
      if (!isAlone || isCountDue()) {
        flight ??= flush().finally(() => {
          flight = null;
        });
      }
      tell(local);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

const isGreeting = (hint: Hint) =>
  hint.sessions.length === 0 && hint.cancelled.length === 0 && !hint.isQueued && !hint.isEverything;

function encode(from: string, sessions: string[], cancelled: string[], isQueued: boolean): string[] {
  const payloads: string[] = [];
  let rest = { s: sessions, c: cancelled };
  let queued = isQueued;
  do {
    const s = rest.s.slice(0, IDS_PER_NOTIFICATION);
    const c = rest.c.slice(0, IDS_PER_NOTIFICATION - s.length);
    payloads.push(JSON.stringify({ p: from, s, c, q: queued }));
    rest = { s: rest.s.slice(s.length), c: rest.c.slice(c.length) };
    queued = false;
  } while (rest.s.length > 0 || rest.c.length > 0);
  return payloads;
}

/** null for our own notice: our listeners have been told already. Anything unreadable means "everything". */
function decode(self: string, payload: string): Hint | null {
  try {
    const { p, s, c, q } = JSON.parse(payload) as { p: string; s: string[]; c: string[]; q: boolean };
    if (p === self) return null;
    if (!Array.isArray(s) || !Array.isArray(c)) throw new Error("not a hint of ours");
    return { sessions: s, cancelled: c, isQueued: q, isEverything: false };
  } catch {
    return { sessions: [], cancelled: [], isQueued: true, isEverything: true };
  }
}
