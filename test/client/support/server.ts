/**
 * A small HTTP server that speaks the contract from scripted events, for tests of everything that stands on the
 * client: it can drop, stall and end its streams on command, which the real one does only when it must.
 */
import { encodeSseFrame } from "../../../src/base/sse.ts";
import type { Event, NewEvent } from "../../../src/contract/event.ts";
import { hex, sessionIdOf, stamp, turnIdOf } from "./events.ts";

export interface ContractServer {
  url: string;
  /** Every request so far: method and path with query. */
  requests: string[];
  authorizations: (string | null)[];
  /** Bodies of the sessions that were created. */
  created: unknown[];
  /** What doctor asks about. */
  installation: { workers: number; providers: unknown[] };
  /** Waits until a request whose `METHOD path` contains the text has come. */
  requested(text: string): Promise<string>;
  createSession(): string;
  log(sessionId: string): readonly Event[];
  append(sessionId: string, events: readonly NewEvent[]): Event[];
  /** Called with every accepted message; appends what the turn does. */
  onMessage(play: (turn: { sessionId: string; turnId: string; text: string }) => void): void;
  onCancel(play: (sessionId: string) => void): void;
  /** Answers requests itself while it returns a response. */
  intercept(answer: ((request: Request) => Response | null) | null): void;
  /** Cuts every open stream in the middle, as a dying proxy would. */
  dropStreams(): void;
  /** Says goodbye on every open stream, as a server does every five minutes. */
  disconnectStreams(retryMs: number): void;
  openStreams(): number;
  stop(): Promise<void>;
}

interface Stream {
  sessionId: string;
  sent: number;
  controller: ReadableStreamDefaultController<Uint8Array>;
}

export function startContractServer(): ContractServer {
  const logs = new Map<string, Event[]>();
  const streams = new Set<Stream>();
  const requests: string[] = [];
  const authorizations: (string | null)[] = [];
  const created: unknown[] = [];
  const installation: ContractServer["installation"] = { workers: 1, providers: [] };
  let waiting: { text: string; resolve(found: string): void }[] = [];
  let turnCount = 0;
  let onMessage: Parameters<ContractServer["onMessage"]>[0] = () => {};
  let onCancel: Parameters<ContractServer["onCancel"]>[0] = () => {};
  let intercept: Parameters<ContractServer["intercept"]>[0] = null;

  const logOf = (sessionId: string): Event[] => {
    const log = logs.get(sessionId);
    if (!log) throw problem(404, "not_found", "Session not found");
    return log;
  };
  const flush = (stream: Stream) => {
    const log = logOf(stream.sessionId);
    for (const event of log.slice(stream.sent)) write(stream, event.type, event, event.id);
    stream.sent = log.length;
  };
  const write = (stream: Stream, name: string, data: unknown, id?: string) =>
    stream.controller.enqueue(
      new TextEncoder().encode(
        encodeSseFrame({ event: name, data: JSON.stringify(data), ...(id ? { id, retry: 1 } : {}) }),
      ),
    );
  const append = (sessionId: string, events: readonly NewEvent[]): Event[] => {
    const log = logOf(sessionId);
    const added = stamp(events, sessionId, log.length);
    log.push(...added);
    for (const stream of streams) if (stream.sessionId === sessionId) flush(stream);
    return added;
  };
  const createSession = () => {
    const id = sessionIdOf(logs.size + 1);
    logs.set(id, []);
    append(id, [{ type: "session.started", data: { harness_id: `harness_${hex(1)}` } }]);
    return id;
  };

  const openStream = (sessionId: string, sinceId: string | null): Response => {
    const log = logOf(sessionId);
    const at = sinceId === null ? 0 : log.findIndex(({ id }) => id === sinceId) + 1;
    if (sinceId !== null && at === 0)
      throw problem(400, "invalid_cursor", "The cursor is not of this session.");
    let stream: Stream;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        stream = { sessionId, sent: at, controller };
        streams.add(stream);
        write(stream, "connected", { status: "connected" });
        flush(stream);
      },
      cancel() {
        streams.delete(stream);
      },
    });
    return new Response(body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-cache" },
    });
  };

  const accept = async (request: Request, sessionId: string): Promise<Response> => {
    const log = logOf(sessionId);
    const body = (await request.json()) as { message: { content: { text: string }[] } };
    const text = body.message.content.map((part) => part.text).join("");
    turnCount += 1;
    const turnId = turnIdOf(turnCount);
    const sequence = log.length + 1;
    onMessage({ sessionId, turnId, text });
    return Response.json(
      {
        id: `message_${hex(turnCount)}`,
        role: "user",
        content: body.message.content,
        created_at: "2026-08-01T10:00:00.000Z",
        session_id: sessionId,
        sequence,
        turn_id: turnId,
        delivery: "started",
      },
      { status: 201 },
    );
  };

  const route = (request: Request): Response | Promise<Response> => {
    const url = new URL(request.url);
    const path = url.pathname.replace(/^\/api/, "");
    const session = /^\/v1\/sessions\/([^/]+)(\/.*)?$/.exec(path);
    const id = session?.[1] ?? "";
    if (path === "/health") return Response.json({ status: "ok", version: "0.1.0", auth_mode: "None" });
    if (path === "/ready") return Response.json({ status: "ready" });
    if (path === "/v1/durable/workers") {
      const { workers } = installation;
      const summary = {
        active: workers,
        draining: 0,
        stopped: 0,
        total_capacity: workers * 50,
        total_load: 0,
      };
      return Response.json({ data: [], total: workers, summary });
    }
    if (path === "/v1/runs") return page([]);
    if (path === "/v1/providers") return page(installation.providers);
    if (path === "/v1/agents" || path === "/v1/models") return page([]);
    if (path === "/v1/agents/time-agent") return Response.json({ id: `agent_${hex(7)}`, name: "time-agent" });
    if (path === "/v1/sessions" && request.method === "POST") {
      return request.json().then((body) => {
        created.push(body);
        return Response.json(sessionBody(createSession()), { status: 201 });
      });
    }
    if (path === "/v1/sessions") return page([...logs.keys()].map(sessionBody));
    if (!session) throw problem(404, "not_found", `There is no ${path}`);
    if (session[2] === undefined) {
      logOf(id);
      return Response.json(sessionBody(id));
    }
    if (session[2] === "/messages" && request.method === "POST") return accept(request, id);
    if (session[2] === "/events") {
      const limit = Number(url.searchParams.get("limit") ?? logOf(id).length);
      return page(logOf(id).slice(-limit));
    }
    if (session[2] === "/sse") return openStream(id, url.searchParams.get("since_id"));
    if (session[2] === "/cancel") {
      onCancel(id);
      return Response.json({ status: "cancelled", message: "The turn was cancelled." });
    }
    throw problem(404, "not_found", `There is no ${path}`);
  };

  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    development: false,
    error: () => new Response(null, { status: 500 }),
    async fetch(request) {
      const url = new URL(request.url);
      const line = `${request.method} ${url.pathname}${url.search}`;
      requests.push(line);
      authorizations.push(request.headers.get("authorization"));
      try {
        return intercept?.(request) ?? (await route(request));
      } catch (error) {
        if (error instanceof Response) return error;
        throw error;
      } finally {
        // After the answer is on its way: whoever waits may cut it off.
        setImmediate(() => {
          for (const each of waiting) if (line.includes(each.text)) each.resolve(line);
          waiting = waiting.filter((each) => !line.includes(each.text));
        });
      }
    },
  });

  return {
    url: `http://127.0.0.1:${server.port}`,
    requests,
    authorizations,
    created,
    installation,
    requested(text) {
      const found = requests.find((line) => line.includes(text));
      return found ? Promise.resolve(found) : new Promise((resolve) => waiting.push({ text, resolve }));
    },
    createSession,
    log: logOf,
    append,
    onMessage: (play) => {
      onMessage = play;
    },
    onCancel: (play) => {
      onCancel = play;
    },
    intercept: (answer) => {
      intercept = answer;
    },
    dropStreams() {
      for (const stream of streams) stream.controller.error(new Error("dropped by the test"));
      streams.clear();
    },
    disconnectStreams(retryMs) {
      for (const stream of streams) {
        write(stream, "disconnecting", { reason: "connection_cycle", retry_ms: retryMs });
        stream.controller.close();
      }
      streams.clear();
    },
    openStreams: () => streams.size,
    stop: () => server.stop(true),
  };
}

export function problem(status: number, code: string, detail: string, headers: Record<string, string> = {}) {
  return Response.json(
    { type: null, title: "Error", status, detail, code, error: { code, message: detail } },
    { status, headers: { "content-type": "application/problem+json", "x-request-id": "req-1", ...headers } },
  );
}

function page(data: unknown[]): Response {
  return Response.json({ data, total: data.length, offset: 0, limit: 20 });
}

function sessionBody(id: string) {
  return {
    id,
    organization_id: `org_${hex(1)}`,
    harness_id: `harness_${hex(1)}`,
    status: "idle",
    title: null,
    created_at: "2026-08-01T10:00:00.000Z",
    updated_at: "2026-08-01T10:00:00.000Z",
  };
}
