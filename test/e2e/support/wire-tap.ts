/**
 * A tap on the line between the executable and a model server: keeps every request as it was sent, headers and
 * all, and can spoil single answers, which the model server alone cannot do for all three protocols.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface TappedRequest {
  path: string;
  headers: IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads whatever shape it expects of a protocol
  body: any;
}

/**
 * An answer of our own; or the server's, cut off after the frame in which the text occurs and once the promise has
 * resolved (a connection that breaks can take bytes along that its reader has not read yet); or with a text replaced.
 */
export type Spoil =
  | { status: number; headers?: Record<string, string>; body: unknown }
  | { cutAfter: string; once: () => Promise<void> }
  | { replace: readonly [from: string, to: string] };

export interface WireTap {
  /** `http://127.0.0.1:<port>` */
  url: string;
  requests: TappedRequest[];
  /** Spoils the next request that no other spoil is waiting for. */
  spoilNext(spoil: Spoil): void;
  stop(): Promise<void>;
}

export async function startWireTap(target: string): Promise<WireTap> {
  const requests: TappedRequest[] = [];
  const spoils: Spoil[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const pieces: Buffer[] = [];
    for await (const piece of incoming) pieces.push(piece as Buffer);
    const sent = Buffer.concat(pieces);
    const path = incoming.url ?? "";
    const body = sent.length === 0 ? null : JSON.parse(sent.toString("utf8"));
    requests.push({ path, headers: incoming.headers, body });
    const spoil = spoils.shift();
    if (spoil && "status" in spoil) {
      outgoing.writeHead(spoil.status, { "content-type": "application/json", ...spoil.headers });
      outgoing.end(JSON.stringify(spoil.body));
      return;
    }
    const headers = new Headers();
    for (const [name, value] of Object.entries(incoming.headers)) {
      if (typeof value === "string" && !HOP_BY_HOP.has(name)) headers.set(name, value);
    }
    const answer = await fetch(`${target}${path}`, {
      method: incoming.method ?? "GET",
      headers,
      ...(sent.length === 0 ? {} : { body: sent }),
    });
    outgoing.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
    if (spoil && "replace" in spoil) outgoing.end((await answer.text()).replaceAll(...spoil.replace));
    else await forward(answer, outgoing, spoil ?? null);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    spoilNext: (spoil) => void spoils.push(spoil),
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

const HOP_BY_HOP = new Set(["host", "connection", "content-length", "transfer-encoding", "accept-encoding"]);

async function forward(
  answer: Response,
  outgoing: ServerResponse,
  cut: { cutAfter: string; once: () => Promise<void> } | null,
): Promise<void> {
  let seen = "";
  const decoder = new TextDecoder();
  for await (const bytes of answer.body ?? []) {
    if (cut === null) {
      outgoing.write(bytes);
      continue;
    }
    const before = seen.length;
    seen += decoder.decode(bytes, { stream: true });
    const marker = seen.indexOf(cut.cutAfter);
    const end = marker < 0 ? -1 : seen.indexOf("\n\n", marker);
    if (end < 0) {
      outgoing.write(seen.slice(before));
      continue;
    }
    outgoing.write(seen.slice(before, end + 2));
    await cut.once();
    outgoing.destroy();
    return;
  }
  outgoing.end();
}
