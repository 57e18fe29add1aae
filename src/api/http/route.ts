/**
 * A route of the API as data: what it takes, what it answers, which errors it can give, and the function that
 * does it. `mountRoutes` puts it on an Elysia instance; the same data becomes OpenAPI and the contract test.
 *
 * Order of a request: who is calling, then the query, then the body, then the function. Bodies and queries are
 * checked here and not by Elysia (see validate.ts); answers are typed by their schemas and checked in the tests.
 */
import { Elysia } from "elysia";
import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import type { SessionRight } from "../../contract/access.ts";
import { limits } from "../../contract/limits.ts";
import type { ProblemCode } from "../../contract/problem.ts";
import type { Static, TObject, TSchema } from "../../contract/schema.ts";
import { type Access, authorize } from "./authorize.ts";
import type { Pace } from "./body.ts";
import type { Caller, Identify } from "./identify.ts";
import { createLargeBodies, type LargeBodies } from "./large-bodies.ts";
import { mediaOf, type RawBody, readBody, respondWith } from "./media.ts";
import { operationOf } from "./operation.ts";
import { applyAliases, createValidator, readQuery } from "./validate.ts";
import { veiledFor } from "./veil.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Status → schema of its body, JSON unless the schema is `Raw`; null: the answer has no body. */
export type Responses = Readonly<Record<number, TSchema | null>>;

type ParamNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? (Name extends `${infer Whole}+` ? Whole : Name) | ParamNames<Rest>
  : never;

/** One of the declared statuses with the body that belongs to it. */
export type Reply<R extends Responses> = {
  [S in keyof R]: {
    status: S;
    body: R[S] extends TSchema ? Static<R[S]> | RawBody : null;
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
  /** As in OpenAPI, below the version prefix: `/agents/{agent_id}`. A last `{path+}` takes the rest, slashes too. */
  path: Path;
  operationId: string;
  tag: string;
  summary: string;
  description?: string;
  query?: Q;
  body?: B;
  /** The body may be left out; the function gets undefined. */
  isBodyOptional?: boolean;
  /** Of a JSON body, when it is not `limits.requestBytesMax`. */
  bodyBytesMax?: number;
  /** Texts of a JSON body keep their NULs: what is made of them goes to the database as bytes. */
  keepsNul?: boolean;
  responses: R;
  /** Content types, beside JSON, in which a status may come (as a `RawBody`). */
  otherContentTypes?: Readonly<Record<number, readonly string[]>>;
  /** Who may use it (authorize.ts); by default who may read for GET, else who may write. */
  access?: Access | "public";
  /** A token of one session opens this route of that session, when it has this right. */
  sessionRight?: SessionRight;
  /** Codes beyond those that every route can give. */
  problems?: readonly ProblemCode[];
  /** A `Response` is passed on as it is: streams are made by hand. */
  run(input: RouteInput<Path, Static<Q>, Static<B>>): Promise<Reply<R> | Response>;
}

/** A route whose types have served their purpose. */
export type Route = Omit<RouteSpec, "run"> & { run(input: never): Promise<Reply<Responses> | Response> };

/** Ties the function to the schemas beside it. */
export function defineRoute<
  const Path extends string,
  R extends Responses,
  Q extends TObject = TObject,
  B extends TSchema = TSchema,
>(spec: RouteSpec<Path, Q, B, R>): Route {
  return spec as unknown as Route;
}

/** A route for everybody, whoever they are: signing in. Its function has no caller. */
export function definePublicRoute<
  const Path extends string,
  R extends Responses,
  Q extends TObject = TObject,
  B extends TSchema = TSchema,
>(
  spec: Omit<RouteSpec<Path, Q, B, R>, "access" | "sessionRight" | "run"> & {
    run(input: Omit<RouteInput<Path, Static<Q>, Static<B>>, "caller">): Promise<Reply<R> | Response>;
  },
): Route {
  return { bodyBytesMax: limits.publicRequestBytesMax, ...spec, access: "public" } as unknown as Route;
}

/** The routes as an Elysia plugin. */
export function mountRoutes(routes: readonly Route[], deps: { identify: Identify }) {
  const app = new Elysia();
  const largeBodies = createLargeBodies();
  for (const route of routes) {
    const serve = createHandler(route, deps.identify, largeBodies);
    app.route(route.method, elysiaPath(route.path), ({ request, params }) => serve(request, params), {
      // The body is read by the handler: Elysia must not touch it.
      parse: "none",
      detail: operationOf(route),
    });
  }
  return app;
}

/** `/a/{id}/fs/{path+}` → `/a/:id/fs/*` */
function elysiaPath(path: string): string {
  return path.replace(/\{\w+\+\}$/, "*").replace(/\{(\w+)\}/g, ":$1");
}

/**
 * Elysia gives null for a segment that is not valid percent-encoding, and the rest of a path as it came. What no
 * database can store becomes U+FFFD.
 */
function readParams(raw: Record<string, string | null>, rest: string | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(raw).map(([name, value]) =>
      name === "*" && rest !== undefined ? [rest, decode(value ?? "%")] : [name, wellFormed(value ?? "%")],
    ),
  );
}

/** @throws UserError invalid_request */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UserError("invalid_request", "The path is not valid percent-encoded UTF-8.");
  }
}

function createHandler(route: Route, identify: Identify, largeBodies: LargeBodies) {
  const checkQuery = route.query ? createValidator(route.query, "query") : null;
  const checkBody = route.body && mediaOf(route.body) === null ? createValidator(route.body, "body") : null;
  const rest = /\{(\w+)\+\}$/.exec(route.path)?.[1];
  const run = route.run as (
    input: Omit<RouteInput<string, unknown, unknown>, "caller"> & { caller: Caller | undefined },
  ) => Promise<Reply<Responses> | Response>;

  const takesBody = route.body !== undefined;
  const bytesMax =
    (route.body && mediaOf(route.body)?.bytesMax) ?? route.bodyBytesMax ?? limits.requestBytesMax;
  const takeBody = async (request: Request, pace: Pace | undefined): Promise<unknown> => {
    if (!route.body) return undefined;
    const body = await readBody(request, route.body, { bytesMax, keepsNul: route.keepsNul, pace });
    if (checkBody === null && body === undefined && !route.isBodyOptional) {
      throw new UserError("invalid_request", "The body is missing.");
    }
    const isChecked = checkBody !== null && (body !== undefined || !route.isBodyOptional);
    return isChecked ? checkBody(applyAliases(route.body, body)) : body;
  };

  return async (
    request: Request,
    rawParams: Record<string, string | null> | undefined,
  ): Promise<Response> => {
    const params = readParams(rawParams ?? {}, rest);
    const caller = route.access === "public" ? undefined : await identify(request);
    if (caller) authorize(route, caller, params);
    const query = route.query && checkQuery?.(readQuery(route.query, new URL(request.url).searchParams));
    // Who comes without a credential sends little, and waits for nobody.
    const turn = takesBody && caller ? await largeBodies(request, { ...caller, bytesMax }) : null;
    try {
      const body = await takeBody(request, turn?.pace);
      if (!turn?.isHuge) turn?.release();
      const reply = await run({ params, query, body, caller, request });
      if (reply instanceof Response) return reply;
      const shown = caller ? { ...reply, body: veiledFor(caller, reply.body) } : reply;
      return respondWith(route.responses[reply.status], shown);
    } finally {
      turn?.release();
    }
  };
}
