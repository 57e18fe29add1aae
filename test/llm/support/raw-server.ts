/**
 * A vendor by hand: answers each request with bytes that a test wrote down, then ends, breaks or hangs. For what
 * the model server cannot do: silence, odd imitations, exact wire shapes.
 */
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface RawReply {
  status?: number;
  headers?: Record<string, string>;
  /** Written one by one, as they are. */
  body?: readonly string[];
  /** `end` closes well (default), `hang` leaves the connection open and silent. */
  ending?: "end" | "hang";
}

export interface RawRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever shape it expects of a vendor's request
  body: any;
  /** Resolves when the connection of this request is gone, whoever closed it. */
  closed: Promise<void>;
  /** Cuts the connection in the middle of the answer. */
  cut(): void;
}

export interface RawServer {
  url: string;
  requests: RawRequest[];
  /** Resolves with the n-th request (from 0) once it is there. */
  request(index: number): Promise<RawRequest>;
  stop(): Promise<void>;
}

/** Plays the replies in order, the last one again and again. */
export async function startRawServer(replies: readonly RawReply[]): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const waiting: { index: number; resolve: (request: RawRequest) => void }[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const closed = new Promise<void>((resolve) => outgoing.once("close", resolve));
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const text = Buffer.concat(pieces).toString("utf8");
    const request: RawRequest = {
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: incoming.headers,
      body: text === "" ? null : JSON.parse(text),
      closed,
      cut: () => outgoing.destroy(),
    };
    const reply = replies[Math.min(requests.length, replies.length - 1)] ?? {};
    requests.push(request);
    outgoing.writeHead(reply.status ?? 200, { "content-type": "text/event-stream", ...reply.headers });
    outgoing.flushHeaders();
    for (const piece of reply.body ?? []) outgoing.write(piece);
    if (reply.ending !== "hang") outgoing.end();
    for (const waiter of waiting) if (waiter.index === requests.length - 1) waiter.resolve(request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    request: (index) =>
      requests[index]
        ? Promise.resolve(requests[index])
        : new Promise((resolve) => waiting.push({ index, resolve })),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** One `data:` frame. */
export function data(value: unknown): string {
  return `data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`;
}

/** One named frame, as OpenAI Responses and Anthropic send them; the name is the value's own type. */
export function event(value: { type: string } & Record<string, unknown>): string {
  return `event: ${value.type}\n${data(value)}`;
}

/** A vendor's error body. */
export function jsonReply(status: number, body: unknown, headers: Record<string, string> = {}): RawReply {
  return {
    status,
    headers: { "content-type": "application/json", ...headers },
    body: [JSON.stringify(body)],
  };
}
