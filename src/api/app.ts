/**
 * The api room: HTTP in front of the database, and nothing more.
 *
 * It checks requests against the contract, says who is calling, reads and writes rows through db, and publishes
 * hints. It never runs an agent, never calls a model and never waits for a turn: a slow model cannot slow it down.
 *
 *   app.ts        the whole app; what happens around every request
 *   routes.ts     which routes there are
 *   http/         a route as data and how it is served (route.ts), who is calling (identify.ts), any error → status
 *                 and body (problem.ts, the only place that knows HTTP statuses), OpenAPI
 *   reference/    the API reference as a page
 *   events/       the event log as pages and as streams
 *   <family>/     resources: one file each, its routes and its way from rows to the wire
 *
 * Invariants. Every query names the caller's organization; a row of another one is 404. A body is refused with
 * the name of the field before anything is written. A secret goes in and never comes out.
 */
import { Elysia } from "elysia";
import { UserError } from "../base/errors.ts";
import type { ApiDeps } from "./deps.ts";
import { eventsRoutes } from "./events/events.ts";
import { type MountedRoute, openApiDocument } from "./http/openapi.ts";
import { problemResponse, requestIdOf } from "./http/problem.ts";
import { mountRoutes } from "./http/route.ts";
import { healthRoutes } from "./operations/health.ts";
import { createRequestCounts, metricsRoute } from "./operations/metrics.ts";
import { referenceRoute } from "./reference/reference.ts";
import { apiRoutes } from "./routes.ts";

/** Where the versioned routes stand. */
const PREFIXES = ["/v1", "/api/v1"] as const;

interface Seen {
  id: string;
  atMs: number;
  /** null until the request was answered with a problem. */
  problemStatus: number | null;
}

/** The app, not listening. `app.fetch(request)` answers a request, `app.handle(request)` does in tests. */
export function buildApp(deps: ApiDeps) {
  const app = new Elysia({ serve: { idleTimeout: 0 } });
  const seen = new WeakMap<Request, Seen>();
  const about = (request: Request) => {
    const known = seen.get(request) ?? {
      id: requestIdOf(request),
      atMs: deps.clock.monotonicMs(),
      problemStatus: null,
    };
    seen.set(request, known);
    return known;
  };
  const requests = createRequestCounts();
  let allowed: ((path: string) => string[]) | null = null;

  app
    .onRequest(({ request, set }) => {
      set.headers["x-request-id"] = about(request).id;
      Object.assign(set.headers, deps.cors.headersFor(request));
      const preflight = deps.cors.preflight(request);
      if (preflight) return preflight;
      Object.assign(set.headers, admit(deps, request));
      return undefined;
    })
    .onError(({ code, error, request }) => {
      const known = about(request);
      const context = { request, requestId: known.id, log: deps.log };
      allowed ??= allowedMethods(app.routes);
      const answer = problemResponse(
        code === "NOT_FOUND" ? noRoute(request, allowed(new URL(request.url).pathname)) : error,
        context,
      );
      for (const [name, value] of Object.entries(deps.cors.headersFor(request)))
        answer.headers.set(name, value);
      known.problemStatus = answer.status;
      return answer;
    })
    .onAfterResponse(({ request, responseValue, set }) => {
      const { id, atMs, problemStatus } = about(request);
      const status =
        problemStatus ?? (responseValue instanceof Response ? responseValue.status : Number(set.status));
      const durationMs = deps.clock.monotonicMs() - atMs;
      requests.count(request.method, status, durationMs / 1_000);
      deps.log.debug("answered", {
        request_id: id,
        method: request.method,
        path: new URL(request.url).pathname,
        status,
        duration_ms: Math.round(durationMs),
      });
    })
    .use(healthRoutes(deps))
    .use(metricsRoute(deps, requests))
    .use(referenceRoute())
    .get("/api-doc/openapi.json", () => Response.json(openApiDocument(app.routes, deps.version)));

  const routes = apiRoutes(deps);
  for (const prefix of PREFIXES) {
    app.group(prefix, (group) => group.use(eventsRoutes(deps)).use(mountRoutes(routes, deps)));
  }
  return app;
}

/**
 * Counts a request to the versioned routes against its address; probes and documents are free.
 *
 * @returns the headers that tell a client what is left
 * @throws UserError rate_limited
 */
function admit({ rateLimit, addresses }: ApiDeps, request: Request): Record<string, string> {
  const address = rateLimit === null ? null : addresses.of(request);
  if (rateLimit === null || address === null) return {};
  if (!PREFIXES.some((prefix) => new URL(request.url).pathname.startsWith(`${prefix}/`))) return {};
  const { waitSeconds, remaining } = rateLimit.take(address);
  if (waitSeconds === null) {
    const policy = `"address";q=${rateLimit.perMinute};w=60`;
    return { "ratelimit-policy": policy, ratelimit: `"address";r=${remaining}` };
  }
  throw new UserError(
    "rate_limited",
    `more than ${rateLimit.perMinute} requests a minute came from your address; wait ${waitSeconds} s`,
    { fields: { retry_after_seconds: waitSeconds } },
  );
}

/** The methods under which a path exists, from the routes themselves. */
function allowedMethods(routes: readonly MountedRoute[]): (path: string) => string[] {
  const patterns = routes.map(({ method, path }) => ({
    method,
    pattern: new RegExp(
      `^${path
        .replace(/[.*+?^$()|[\]\\]/g, "\\$&")
        .replace(/:\w+/g, "[^/]+")
        .replace(/\\\*$/, ".+")}/?$`,
    ),
  }));
  return (path) =>
    [...new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method))].sort();
}

function noRoute(request: Request, methods: string[]): UserError {
  if (methods.length === 0) return new UserError("not_found", "There is nothing at this path.");
  return new UserError(
    "method_not_allowed",
    `${request.method} does not exist here; ${methods.join(", ")} does.`,
    {
      fields: { allow: methods.join(", ") },
    },
  );
}
