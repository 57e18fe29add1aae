/** The API on a real socket, with feed and hints on connections of their own, as another process would have. */

import { openAccess } from "../../src/api/access/access.ts";
import { buildApp } from "../../src/api/app.ts";
import { createFeed, type Feed } from "../../src/api/events/feed.ts";
import { createStreamLimits, type StreamLimits } from "../../src/api/events/stream-limits.ts";
import { createClientAddresses } from "../../src/api/http/client-address.ts";
import { createCors } from "../../src/api/http/cors.ts";
import { type Identify, identifyAnonymous } from "../../src/api/http/identify.ts";
import { createOrganizationCaps, NO_CAPS } from "../../src/api/http/organization-caps.ts";
import { createFiguresHistory } from "../../src/api/operations/figures-history.ts";
import { type Clock, systemClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createSseDecoder, type SseFrame } from "../../src/base/sse.ts";
import { createCapabilities } from "../../src/capabilities/registry.ts";
import type { Event } from "../../src/contract/event.ts";
import { createHints, type Hints } from "../../src/db/hints.ts";
import { type Db, openDb } from "../../src/db/pool.ts";
import { reportContext } from "../../src/engine/context-report.ts";
import { OBSERVER, type TestDatabase } from "./postgres.ts";

export interface LiveServer {
  /** `http://127.0.0.1:<port>` */
  url: string;
  feed: Feed;
  hints: Hints;
  streams: StreamLimits;
  /** How many statements it has sent. */
  statements(): number;
  /** What the server does first when it goes down: it tells its streams. */
  shutDown(): void;
  stop(): Promise<void>;
}

/**
 * @param options.clock     moves streams and feed; the system's by default
 * @param options.identify  who is calling; everybody is the anonymous admin by default
 * @param options.port      where it listens, for one that comes back; any free one by default
 * @param options.streams   how many streams it allows; as the real one by default
 */
export async function startServer(
  database: Pick<TestDatabase, "address">,
  options: { clock?: Clock; identify?: (db: Db) => Identify; port?: number; streams?: StreamLimits } = {},
): Promise<LiveServer> {
  const clock = options.clock ?? systemClock;
  const db = openDb(database.address);
  let statements = 0;
  db.sql.options.debug = () => {
    statements += 1;
  };
  const hints = createHints({ db, log: silentLog });
  const feed = createFeed({ db, hints, log: silentLog, clock });
  const streams = options.streams ?? createStreamLimits();
  const shutdown = new AbortController();
  const capabilities = createCapabilities();
  const app = buildApp({
    db,
    log: silentLog,
    clock,
    identify: options.identify?.(db) ?? identifyAnonymous({ allowedHosts: [] }),
    access: openAccess({ jwtKey: new Uint8Array(32), clock: clock }),
    addresses: createClientAddresses([]),
    cors: createCors([]),
    rateLimit: null,
    caps: createOrganizationCaps(db, systemClock, NO_CAPS),
    capabilities,
    reportContext: (session) =>
      reportContext({ db, resolveCapabilities: (refs) => capabilities.resolve(refs) }, session),
    seal: (plaintext) => plaintext,
    reviewAgent: async () => [],
    listModels: async () => null,
    checkConnection: async () => ({ valid: false, error: "nobody was asked", username: null, scopes: null }),
    hints,
    feed,
    streams,
    figures: createFiguresHistory({ db, log: silentLog, clock }),
    shutdown: shutdown.signal,
    version: "0.0.0-test",
    isReady: async () => null,
  });
  await hints.start();
  await feed.start();
  const server = Bun.serve({
    port: options.port ?? 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) => app.fetch(request),
  });
  let stopped: Promise<void> | null = null;
  const stop = async () => {
    shutdown.abort();
    await server.stop(true);
    await feed.stop();
    await hints.stop();
    await db.close();
  };
  return {
    url: `http://127.0.0.1:${server.port}`,
    feed,
    hints,
    streams,
    statements: () => statements,
    shutDown: () => shutdown.abort(),
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

export interface OpenStream {
  status: number;
  headers: Headers;
  /** Every chunk so far, as the network delivered it. */
  chunks: readonly string[];
  /** The next frame; null at the end of the stream. */
  next(): Promise<SseFrame | null>;
  /** The next real event; null at the end. */
  nextEvent(): Promise<Event | null>;
  /** Events up to and with the first that passes, or to the end of the stream. */
  eventsUntil(isLast: (event: Event) => boolean): Promise<Event[]>;
  /** The body of an answer that is no stream. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of it
  json(): Promise<any>;
  close(): void;
}

export async function openStream(
  url: string,
  options: { headers?: Record<string, string>; method?: string; body?: string } = {},
): Promise<OpenStream> {
  const abort = new AbortController();
  const response = await fetch(url, { ...options, signal: abort.signal });
  const reader = response.body?.getReader();
  const decoder = createSseDecoder();
  const text = new TextDecoder();
  const chunks: string[] = [];
  const frames: SseFrame[] = [];

  const next = async (): Promise<SseFrame | null> => {
    for (;;) {
      const frame = frames.shift();
      if (frame) return frame;
      const read = await reader?.read();
      if (!read || read.done) return null;
      const chunk = text.decode(read.value, { stream: true });
      chunks.push(chunk);
      frames.push(...decoder.feed(chunk));
    }
  };
  const nextEvent = async (): Promise<Event | null> => {
    for (;;) {
      const frame = await next();
      if (frame === null) return null;
      if (frame.id !== null) return JSON.parse(frame.data) as Event;
    }
  };
  return {
    status: response.status,
    headers: response.headers,
    chunks,
    next,
    nextEvent,
    async eventsUntil(isLast) {
      const events: Event[] = [];
      for (;;) {
        const event = await nextEvent();
        if (event === null) return events;
        events.push(event);
        if (isLast(event)) return events;
      }
    },
    async json() {
      let body = "";
      for (;;) {
        const read = await reader?.read();
        if (!read || read.done) return JSON.parse(body);
        body += text.decode(read.value, { stream: true });
      }
    },
    close: () => abort.abort(),
  };
}

/** Looks again until the condition holds; the test's time limit is the bound. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await Bun.sleep(5);
}

/** Appends events to a session as the writer does, without a run: sequence and rows in one statement. */
export async function append({ sql }: Db, sessionId: string, count: number): Promise<number> {
  const rows = await sql<{ last_sequence: number }[]>`
    with grown as (
      update sessions set last_sequence = last_sequence + ${count} where id = ${sessionId} returning last_sequence
    ), logged as (
      insert into events (session_id, sequence, id, type, data)
      select ${sessionId}, n, 'event_' || replace(left(gen_random_uuid()::text, 26), '-', '') || lpad(to_hex(n), 10, '0'),
             'tool.progress', jsonb_build_object('tool_call_id', 'c', 'tool_name', 't', 'message', n::text)
        from grown, generate_series(grown.last_sequence - ${count} + 1, grown.last_sequence) n
    )
    select last_sequence from grown`;
  return rows[0]?.last_sequence ?? 0;
}

/** Ends the connections of the servers and workers, as an administrator or a failing network would. @returns how many */
export async function cutConnections(
  { sql }: Db,
  options: { applicationName?: string } = {},
): Promise<number> {
  const name = options.applicationName ?? null;
  const rows = await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend'
       and application_name <> ${OBSERVER} and (${name}::text is null or application_name = ${name} or starts_with(application_name, ${name} || ' '))`;
  return rows.length;
}
