/**
 * GET for tools, where the URL comes from a model that may have it from anybody.
 *
 * The host is resolved once, every address is judged, and the connection goes to the very address that was judged:
 * a name that resolves differently the second time (DNS rebinding) gains nothing. The request names the host in
 * `Host` and in TLS (`serverName`, against which the certificate is checked). Each redirect is a new request with
 * all checks. Time, redirects and size are bounded; size is counted after decompression, which happens here, piece
 * by piece, so that a bomb is put down after its first megabytes.
 */
import { lookup } from "node:dns/promises";
import { Readable, type Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { HostRule } from "../base/host-rule.ts";
import { refuseAddress } from "./_address-guard.ts";
import { hostOf, type NetworkRules, portOf, refuseUrl } from "./_network-rules.ts";
import { ToolError } from "./tool.ts";

/** All addresses of a host. Rejects when there are none. */
export type Resolve = (host: string) => Promise<string[]>;

export interface SafeFetchPolicy {
  network: NetworkRules;
  allowPrivateHosts: readonly HostRule[];
  resolve: Resolve;
  timeoutMs: number;
  /** Of the decompressed body; what comes after is not read. */
  bytesMax: number;
  redirectsMax: number;
  /** Beside or instead of our own. They go along at a redirect, too: who sends a secret allows none. */
  headers?: Readonly<Record<string, string>>;
  /** Makes it a POST with this body; it allows no redirect, as the body would not go along. */
  postBody?: string;
  /** More authorities, PEM; for servers with a private one. */
  extraCa?: string;
}

export interface Fetched {
  /** After redirects. */
  url: URL;
  status: number;
  statusText: string;
  headers: Headers;
  body: Uint8Array;
  /** The body is longer than `bytesMax`. */
  isCut: boolean;
}

/** Addresses of one host that are tried when connecting fails. */
const ADDRESSES_TRIED_MAX = 3;
const URL_CHARS_MAX = 8_192;
const OWN_HEADERS = {
  "user-agent": "everruns (web_fetch)",
  accept: "text/html,text/markdown,text/plain,application/json,application/xml;q=0.9,*/*;q=0.1",
  "accept-encoding": "gzip, deflate, br",
};
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: false })).map((entry) => entry.address);

/**
 * @param accepts  judges the head before the body is read: why it is not wanted, or null
 * @throws ToolError   everything that can go wrong out there, for the model
 */
export async function safeFetch(
  start: string,
  policy: SafeFetchPolicy,
  signal: AbortSignal,
  accepts: (status: number, headers: Headers) => string | null,
): Promise<Fetched> {
  const end = new AbortController();
  const timer = setTimeout(
    () => end.abort(new ToolError(`No complete answer within ${policy.timeoutMs / 1000} s.`)),
    policy.timeoutMs,
  );
  const cancel = () => end.abort(signal.reason);
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  try {
    let url = parseUrl(start, null);
    for (let redirects = 0; ; redirects += 1) {
      const response = await request(url, policy, end.signal);
      const location = response.headers.get("location");
      if (!REDIRECTS.has(response.status) || location === null) {
        return await receive(url, response, policy, end.signal, accepts);
      }
      await response.body?.cancel();
      if (redirects === policy.redirectsMax) {
        throw new ToolError(
          `More than ${policy.redirectsMax} redirects; the last to ${location.slice(0, 200)}.`,
        );
      }
      url = parseUrl(location, url);
    }
  } catch (error) {
    // An aborted request fails with all sorts of errors; why it was aborted is what counts.
    if (end.signal.aborted) throw end.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
  }
}

function parseUrl(text: string, base: URL | null): URL {
  const from = base ? `The redirect of ${base.host}` : "The URL";
  const url = text.length > URL_CHARS_MAX ? null : URL.parse(text, base?.href);
  if (!url)
    throw new ToolError(`${from} is not a URL; write it whole, for example https://example.com/page.`);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new ToolError(`${from} begins with ${url.protocol}//; only https and http can be fetched.`);
  }
  if (url.username !== "" || url.password !== "") {
    throw new ToolError(`${from} carries a user name or password, which is not allowed.`);
  }
  url.hash = "";
  return url;
}

/**
 * `fetch` for a client that speaks a protocol of its own: the same judgement of addresses, no redirects, no GET (nobody
 * listens to a server's own messages), a bound on each answer's bytes.
 *
 * @param limit  ends every request
 */
export function guardedFetch(
  policy: Omit<RequestPolicy, "headers" | "postBody"> & { bytesMax: number },
  limit: AbortSignal,
): (input: string | URL, init?: RequestInit) => Promise<Response> {
  return async (input, init = {}) => {
    if ((init.method ?? "GET") === "GET") return new Response(null, { status: 405 });
    const signal = init.signal ? AbortSignal.any([limit, init.signal]) : limit;
    const url = parseUrl(String(input), null);
    const response = await request(url, policy, signal, { ...init, method: init.method ?? "POST" });
    if (response.status >= 300 && response.status < 400) {
      await response.body?.cancel();
      throw new ToolError(
        `${url.host} redirects, which is not followed here; store the address that it names.`,
      );
    }
    if ((response.headers.get("content-encoding") ?? "identity") !== "identity") {
      await response.body?.cancel();
      throw new ToolError(`${url.host} answers in an encoding that it was not asked for.`);
    }
    return new Response(response.body?.pipeThrough(boundedBytes(url, policy.bytesMax)) ?? null, {
      status: response.status,
      statusText: response.statusText,
      headers: response.headers,
    });
  };
}

function boundedBytes(url: URL, bytesMax: number): TransformStream<Uint8Array, Uint8Array> {
  let bytes = 0;
  return new TransformStream({
    transform(piece, controller) {
      bytes += piece.length;
      if (bytes > bytesMax) controller.error(new ToolError(`The answer of ${url.host} is too large.`));
      else controller.enqueue(piece);
    },
  });
}

type RequestPolicy = Pick<
  SafeFetchPolicy,
  "network" | "allowPrivateHosts" | "resolve" | "extraCa" | "headers" | "postBody"
>;

/** @param send  another request than a GET: it is sent once, as it may have done something before it failed */
async function request(
  url: URL,
  policy: RequestPolicy,
  signal: AbortSignal,
  send?: RequestInit,
): Promise<Response> {
  const refusal = refuseUrl(url, policy.network);
  if (refusal) throw new ToolError(`${refusal}.`);
  const host = hostOf(url);
  const addresses = await resolveHost(host, policy, signal);
  for (const address of addresses) {
    const why = refuseAddress({ host, port: portOf(url), address }, policy.allowPrivateHosts);
    if (why) throw new ToolError(`${why}.`);
  }
  let failure: unknown;
  for (const address of addresses.slice(0, send === undefined ? ADDRESSES_TRIED_MAX : 1)) {
    try {
      return await connect(url, host, address, policy, signal, send);
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
    }
  }
  throw new ToolError(`${url.host} could not be reached: ${reasonOf(failure)}.`);
}

async function resolveHost(host: string, policy: RequestPolicy, signal: AbortSignal): Promise<string[]> {
  if (/^[0-9.]+$/.test(host) || host.includes(":")) return [host];
  let addresses: string[];
  try {
    addresses = await orAborted(signal, policy.resolve(host));
  } catch {
    signal.throwIfAborted();
    throw new ToolError(`The host ${host} is not known (its name has no address).`);
  }
  if (addresses.length === 0) throw new ToolError(`The host ${host} has no address.`);
  // IPv4 first: many networks have names for IPv6 and no way there.
  return addresses.toSorted((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
}

function connect(
  url: URL,
  host: string,
  address: string,
  policy: RequestPolicy,
  signal: AbortSignal,
  send?: RequestInit,
): Promise<Response> {
  const pinned = new URL(url);
  pinned.hostname = address.includes(":") ? `[${address}]` : address;
  const headers = new Headers(send?.headers ?? OWN_HEADERS);
  for (const [name, value] of Object.entries(policy.headers ?? {})) headers.set(name, value);
  headers.set("host", url.host);
  if (send !== undefined) headers.set("accept-encoding", "identity");
  return fetch(pinned, {
    ...(policy.postBody === undefined ? {} : { method: "POST", body: policy.postBody }),
    ...(send === undefined ? {} : { method: send.method ?? "POST", body: send.body ?? null }),
    headers,
    redirect: "manual",
    keepalive: false,
    decompress: false,
    // A certificate for an address names the address itself; SNI knows names only (RFC 6066).
    tls: {
      ...(host === address ? {} : { serverName: host }),
      ...(policy.extraCa ? { ca: policy.extraCa } : {}),
    },
    signal,
  });
}

async function receive(
  url: URL,
  response: Response,
  policy: SafeFetchPolicy,
  signal: AbortSignal,
  accepts: (status: number, headers: Headers) => string | null,
): Promise<Fetched> {
  const { status, statusText, headers } = response;
  const refusal = accepts(status, headers);
  if (refusal) {
    await response.body?.cancel();
    throw new ToolError(refusal);
  }
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  const decoder = DECODERS.get(encoding);
  if (decoder === undefined) {
    await response.body?.cancel();
    throw new ToolError(
      `${url.host} answered in the encoding ${encoding.slice(0, 40)}, which is not understood.`,
    );
  }
  const { body, isCut } = await readBody(url, response, decoder?.() ?? null, policy.bytesMax, signal);
  return { url, status, statusText, headers, body, isCut };
}

const DECODERS: ReadonlyMap<string, (() => Transform) | null> = new Map([
  ["identity", null],
  ["", null],
  ["gzip", () => createGunzip()],
  ["x-gzip", () => createGunzip()],
  ["deflate", () => createInflate()],
  ["br", () => createBrotliDecompress()],
]);

async function readBody(
  url: URL,
  response: Response,
  decoder: Transform | null,
  bytesMax: number,
  signal: AbortSignal,
): Promise<{ body: Uint8Array; isCut: boolean }> {
  if (!response.body) return { body: new Uint8Array(0), isCut: false };
  const raw = Readable.fromWeb(response.body as never);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  const source = decoder ? raw.pipe(decoder) : raw;
  // `pipe` hands on data, not errors: a broken connection must end the decoder, too.
  raw.on("error", (error) => source.destroy(error));
  const abort = () => source.destroy(new Error("aborted"));
  signal.addEventListener("abort", abort, { once: true });
  try {
    for await (const piece of source as AsyncIterable<Uint8Array>) {
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > bytesMax) break;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw new ToolError(`The answer of ${url.host} broke off or is damaged: ${reasonOf(error)}.`);
  } finally {
    signal.removeEventListener("abort", abort);
    raw.destroy();
    decoder?.destroy();
  }
  signal.throwIfAborted();
  return { body: Buffer.concat(pieces).subarray(0, bytesMax), isCut: bytes > bytesMax };
}

async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  // When the signal wins, nobody is left to hear how the work ended.
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Codes such as ECONNREFUSED and CERT_HAS_EXPIRED say more than Bun's messages, which name the pinned address. */
function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "the connection failed";
}
