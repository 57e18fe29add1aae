/**
 * Which pages of other sites may use the API: those that the operator named, letter by letter, and no others. There
 * is no wildcard: with cookies allowed it would hand every visitor's session to every site.
 */
export interface Cors {
  /** The answer to a preflight from an allowed page; null: this is none, or not from an allowed page. */
  preflight(request: Request): Response | null;
  /** What every answer to the page carries; empty for others. */
  headersFor(request: Request): Readonly<Record<string, string>>;
}

const METHODS = "GET, POST, PUT, PATCH, DELETE";
const REQUEST_HEADERS =
  "authorization, content-type, x-org-id, x-request-id, idempotency-key, last-event-id, cache-control";
const ANSWER_HEADERS =
  "x-request-id, x-total-count, retry-after, location, ratelimit, ratelimit-policy, x-atif-next-cursor, x-atif-segment-index, x-atif-images-omitted";
/** How long a browser may remember the answer to a preflight. */
const MAX_AGE_SECONDS = "600";

/** @param origins  `https://app.example.com`, without path */
export function createCors(origins: readonly string[]): Cors {
  const allowed = new Set(origins);
  // Answers differ by page: a cache must not give one page's to another.
  const vary = allowed.size === 0 ? {} : { vary: "Origin" };
  const headersFor = (request: Request) => {
    const origin = request.headers.get("origin");
    if (origin === null || !allowed.has(origin)) return vary;
    return {
      ...vary,
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      "access-control-expose-headers": ANSWER_HEADERS,
    };
  };
  return {
    headersFor,
    preflight(request) {
      if (request.method !== "OPTIONS" || !request.headers.has("access-control-request-method")) return null;
      if (!allowed.has(request.headers.get("origin") ?? "")) return null;
      return new Response(null, {
        status: 204,
        headers: {
          ...headersFor(request),
          "access-control-allow-methods": METHODS,
          "access-control-allow-headers": REQUEST_HEADERS,
          "access-control-max-age": MAX_AGE_SECONDS,
        },
      });
    },
  };
}
