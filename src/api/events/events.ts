/** The event log on the wire: pages of it, and the stream. */
import { Elysia } from "elysia";
import type { Clock } from "../../base/clock.ts";
import { UserError } from "../../base/errors.ts";
import type { Event } from "../../contract/event.ts";
import { EventSchema } from "../../contract/event-schema.ts";
import { limits } from "../../contract/limits.ts";
import { List } from "../../contract/schema.ts";
import {
  countEvents,
  type EventFilter,
  headAndCursor,
  listEvents,
  resolveCursor,
  sessionHead,
  turnStartAtOrBefore,
} from "../../db/events.ts";
import type { SessionLog } from "../../db/lineage.ts";
import type { Db } from "../../db/pool.ts";
import { credentialCheck } from "../http/credential-check.ts";
import type { Identify } from "../http/identify.ts";
import { operationOf } from "../http/operation.ts";
import { pathId } from "../http/path-id.ts";
import { accumulatePage, createAccumulator } from "./accumulate.ts";
import {
  boolean,
  EventsQuery,
  eventFilter,
  integer,
  StreamQuery,
  text,
  typeSelection,
} from "./event-query.ts";
import type { Feed } from "./feed.ts";
import { requireReader } from "./reader.ts";
import { createStreamEncoder, streamEvents } from "./sse.ts";
import type { StreamLimits } from "./stream-limits.ts";

export interface EventsDeps {
  db: Db;
  feed: Feed;
  clock: Clock;
  streams: StreamLimits;
  /** Fires when the server goes down. */
  shutdown: AbortSignal;
  identify: Identify;
}

/** For the path parameter in the documentation. */
const PATH = "{session_id}";
const PROBLEMS = ["invalid_id", "invalid_cursor", "unknown_event_type", "not_found"] as const;
const WINDOW_DEFAULT = 50;
const WINDOW_MAX = 500;

export function eventsRoutes(deps: EventsDeps) {
  const encode = createStreamEncoder();
  deps.shutdown.addEventListener("abort", () => deps.feed.closeAll(), { once: true });
  const readerOf = async (request: Request, params: { session_id: string }) => {
    const caller = await deps.identify(request);
    requireReader(caller, params);
    return caller;
  };
  return new Elysia()
    .get(
      "/sessions/:session_id/events",
      async ({ params, request, set }) => {
        const { organizationId } = await readerOf(request, params);
        const sessionId = pathId("session", params.session_id);
        const head = await sessionHead(deps.db, organizationId, sessionId);
        if (!head) throw noSession();
        const query = new URL(request.url).searchParams;
        const filter = eventFilter(query);
        const page = await readPage(deps.db, head.log, filter, query);
        const events = await accumulatePage(deps.db, head.log, page.events);
        const counted = page.limit === null ? null : await countEvents(deps.db, head.log, filter);
        if (counted !== null) set.headers["x-total-count"] = String(counted);
        if (boolean(query, "order_desc")) events.reverse();
        return {
          data: events,
          total: counted ?? events.length,
          offset: 0,
          limit: page.limit ?? events.length,
        };
      },
      {
        detail: operationOf({
          path: PATH,
          operationId: "list_events",
          tag: "events",
          summary: "The session's events, oldest first",
          description:
            "Without `limit`: all of them. With `limit` (1 to 1000): the last ones, or the last before " +
            "`before_sequence`, starting at a turn's start; forward from `after_sequence` or `since_id`. " +
            "`around=<event id>&window=50` shows the neighbours of one event.",
          query: EventsQuery,
          responses: { 200: List(EventSchema) },
          problems: [...PROBLEMS, "limit_exceeded"],
        }),
      },
    )
    .get(
      "/sessions/:session_id/sse",
      async ({ params, request }) => {
        const caller = await readerOf(request, params);
        const { organizationId } = caller;
        const sessionId = pathId("session", params.session_id);
        const query = new URL(request.url).searchParams;
        const filter = typeSelection(query);
        const since = text(query, "since_id") ?? request.headers.get("last-event-id");
        const { log, cursor } = await streamStart(deps.db, organizationId, sessionId, since);
        const release = deps.streams.take(organizationId, sessionId);
        return streamEvents(
          (onReady) => deps.feed.subscribe(sessionId, cursor, onReady, log.lineage),
          query.get("deltas") === "plain" ? null : createAccumulator(deps.db, log),
          {
            filter,
            encode,
            tellsCaughtUp: boolean(query, "caught_up"),
            shutdown: deps.shutdown,
            clock: deps.clock,
            onClose: release,
            mayGoOn: credentialCheck(deps.identify, request, caller, (one) => requireReader(one, params)),
          },
        );
      },
      {
        detail: operationOf({
          path: PATH,
          operationId: "stream_sse",
          tag: "events",
          summary: "The session's events as Server-Sent Events",
          description:
            "Replays from the first event, or after `since_id` (an event id, or `latest`), then stays open. " +
            "`types` narrows, `exclude` removes; `input.queued`, `input.promoted` and `input.withdrawn` are sent only to " +
            "who names them in `types`. `deltas=plain` leaves `accumulated` out of deltas. `caught_up=true` asks for one " +
            "frame `stream.caught_up` with `{sequence}` between what was there and what comes. A stream is closed after " +
            "some five minutes, or when the server goes down, with a frame `disconnecting`: connect again.",
          query: StreamQuery,
          contentType: "text/event-stream",
          responses: { 200: EventSchema },
          problems: [...PROBLEMS, "limit_exceeded"],
        }),
      },
    );
}

/** Where a stream begins. Few statements: clients that hear nothing for 45 s connect again, for ever. */
async function streamStart(
  db: Db,
  organizationId: string,
  sessionId: string,
  since: string | null,
): Promise<{ log: SessionLog; cursor: number }> {
  if (since === null || since === "" || since === "latest") {
    const head = await sessionHead(db, organizationId, sessionId);
    if (!head) throw noSession();
    return { log: head.log, cursor: since === "latest" ? head.lastSequence : 0 };
  }
  const found = await headAndCursor(db, organizationId, sessionId, pathId("event", since));
  if (!found) throw noSession();
  if (found.cursor === null) throw foreignCursor("since_id", since);
  return { log: found.log, cursor: found.cursor };
}

async function cursorOf(db: Db, log: SessionLog, name: string, eventId: string): Promise<number> {
  const sequence = await resolveCursor(db, log, pathId("event", eventId));
  if (sequence === null) throw foreignCursor(name, eventId);
  return sequence;
}

function foreignCursor(name: string, eventId: string): UserError {
  return new UserError("invalid_cursor", `${name}: ${eventId} is no event of this session`);
}

async function readPage(
  db: Db,
  log: SessionLog,
  filter: EventFilter,
  query: URLSearchParams,
): Promise<{ events: Event[]; limit: number | null }> {
  const limit = integer(query, "limit", 1, limits.eventsPageMax);
  const around = text(query, "around");
  const since = text(query, "since_id");
  const size = integer(query, "window", 1, WINDOW_MAX) ?? WINDOW_DEFAULT;
  if (around !== null) {
    if (since !== null || filter.afterSequence !== null || filter.beforeSequence !== null) {
      throw new UserError(
        "invalid_request",
        "around goes without since_id, after_sequence and before_sequence",
      );
    }
    return { events: await readAround(db, log, filter, around, size), limit: null };
  }
  if (since !== null) {
    const cursor = await cursorOf(db, log, "since_id", since);
    filter.afterSequence = Math.max(filter.afterSequence ?? 0, cursor);
  }
  if (limit === null || filter.afterSequence !== null) {
    return { events: await listEvents(db, log, filter, { limit, from: "start" }), limit };
  }
  const events = await listEvents(db, log, filter, { limit, from: "end" });
  return { events: [...(await headOfTurn(db, log, filter, events)), ...events], limit };
}

/** What lies between the start of the turn that the page begins in and the page itself. */
async function headOfTurn(db: Db, log: SessionLog, filter: EventFilter, page: Event[]): Promise<Event[]> {
  const first = page[0]?.sequence;
  if (first === undefined) return [];
  const start = await turnStartAtOrBefore(db, log, first);
  if (start === null || start === first) return [];
  const between = { ...filter, afterSequence: start - 1, beforeSequence: first };
  return listEvents(db, log, between, { limit: limits.eventsPageMax, from: "end" });
}

async function readAround(
  db: Db,
  log: SessionLog,
  filter: EventFilter,
  eventId: string,
  size: number,
): Promise<Event[]> {
  const at = await cursorOf(db, log, "around", eventId);
  const [before, after] = await Promise.all([
    listEvents(db, log, { ...filter, beforeSequence: at }, { limit: size, from: "end" }),
    listEvents(db, log, { ...filter, afterSequence: at - 1 }, { limit: size + 1, from: "start" }),
  ]);
  return [...before, ...after];
}

function noSession(): UserError {
  return new UserError("not_found", "Session not found");
}
