/**
 * A route of the API as data: what it takes, what it answers, which errors it can give, and the function that
 * does it. `mountRoutes` puts it on an Elysia instance; the same data becomes OpenAPI and the contract test.
 *
 * Order of a request: who is calling, then the query, then the body, then the function. Bodies and queries are
 * checked here and not by Elysia (see validate.ts); answers are typed by their schemas and checked in the tests.
 */
import { Elysia } from "elysia";
import type { ProblemCode } from "../../contract/problem.ts";
import type { Static, TObject, TSchema } from "../../contract/schema.ts";
import { readJson } from "./body.ts";
import type { Caller, Identify } from "./identify.ts";
import { operationOf } from "./operation.ts";
import { applyAliases, createValidator, readQuery } from "./validate.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Status → schema of its JSON body; null: the answer has no body. */
export type Responses = Readonly<Record<number, TSchema | null>>;

type ParamNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParamNames<Rest>
  : never;

/** One of the declared statuses with the body that belongs to it. */
export type Reply<R extends Responses> = {
  [S in keyof R]: {
    status: S;
    body: R[S] extends TSchema ? Static<R[S]> : null;
    headers?: Record<string, string>;
  };
}[keyof R];

export interface RouteInput<Path extends string, Q, B> {
  params: Record<ParamNames<Path>, string>;
  query: Q;
  body: B;
  caller: Caller;
  request: Request;
}

export interface RouteSpec<
  Path extends string = string,
  Q extends TObject = TObject,
  B extends TSchema = TSchema,
  R extends Responses = Responses,
> {
  method: Method;
  /** As in OpenAPI, below the version prefix: `/agents/{agent_id}`. */
  path: Path;
  operationId: string;
  tag: string;
  summary: string;
  description?: string;
  query?: Q;
  body?: B;
  /** The body may be left out; the function gets undefined. */
  isBodyOptional?: boolean;
  responses: R;
  /** Codes beyond those that every route can give. */
  problems?: readonly ProblemCode[];
  run(input: RouteInput<Path, Static<Q>, Static<B>>): Promise<Reply<R>>;
}

/** A route whose types have served their purpose. */
export type Route = Omit<RouteSpec, "run"> & { run(input: never): Promise<Reply<Responses>> };

/** Ties the function to the schemas beside it. */
export function defineRoute<
  const Path extends string,
  R extends Responses,
  Q extends TObject = TObject,
  B extends TSchema = TSchema,
>(spec: RouteSpec<Path, Q, B, R>): Route {
  return spec as unknown as Route;
}

/** The routes as an Elysia plugin. */
export function mountRoutes(routes: readonly Route[], deps: { identify: Identify }) {
  const app = new Elysia();
  for (const route of routes) {
    const serve = createHandler(route, deps.identify);
    app.route(
      route.method,
      route.path.replace(/\{(\w+)\}/g, ":$1"),
      ({ request, params }) => serve(request, params),
      {
        // The body is read by the handler: Elysia must not touch it.
        parse: "none",
        detail: operationOf(route),
      },
    );
  }
  return app;
}

function createHandler(route: Route, identify: Identify) {
  const checkQuery = route.query ? createValidator(route.query, "query") : null;
  const checkBody = route.body ? createValidator(route.body, "body") : null;
  const run = route.run as (input: RouteInput<string, unknown, unknown>) => Promise<Reply<Responses>>;

  return async (
    request: Request,
    rawParams: Record<string, string | null> | undefined,
  ): Promise<Response> => {
    const caller = identify(request);
    // Elysia gives null for a segment that is not valid percent-encoding.
    const params = Object.fromEntries(
      Object.entries(rawParams ?? {}).map(([name, value]) => [name, value ?? "%"]),
    );
    const query = route.query && checkQuery?.(readQuery(route.query, new URL(request.url).searchParams));
    let body: unknown;
    if (route.body && checkBody) {
      const sent = await readJson(request);
      if (sent !== undefined || !route.isBodyOptional) body = checkBody(applyAliases(route.body, sent));
    }
    const reply = await run({ params, query, body, caller, request });
    if (reply.body === null)
      return new Response(null, { status: reply.status, headers: reply.headers ?? {} });
    return Response.json(reply.body, { status: reply.status, headers: reply.headers ?? {} });
  };
}
