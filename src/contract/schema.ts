/**
 * The contract room: the published shapes and nothing else.
 *
 * A shape that we promise to a client (an event, a request, a response, an error) is written here once, in
 * TypeBox, and is used six times: types, request checks, OpenAPI, SSE, the clients of the house and the tests.
 * No I/O, no clock, nothing that a browser could not load. What people or models tell us (environment, flags,
 * tool inputs, vendor replies) is zod's work elsewhere; a shape never lives in both.
 *
 * This file and check.ts are the only ones that import TypeBox. It must be the package `@sinclair/typebox` 0.34: Elysia accepts
 * schemas of its successor `typebox` 1.x, prints them into OpenAPI, and then answers every request with 500.
 */
import { type Static, type TObject, type TSchema, Type } from "@sinclair/typebox";

export { type Static, type TObject, type TSchema, Type };

/** An id of one kind: `prefix_` and 32 lowercase hex digits. */
export const Id = (prefix: string) =>
  Type.String({
    pattern: `^${prefix}_[0-9a-f]{32}$`,
    examples: [`${prefix}_0198c0de4f2a7c3e9b1a5d6e7f8091a2`],
  });

/** RFC 3339 in UTC with milliseconds, `2026-05-26T00:00:00.123Z`. */
export const Timestamp = Type.String({ format: "date-time" });

/** A field that may be absent or null on the way in. */
export const Maybe = <T extends TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

/**
 * A string from a closed set. The pattern is what TypeBox checks (it ignores `enum`); OpenAPI shows the `enum`.
 */
export const OneOf = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>(
    Type.String({
      enum: [...values],
      pattern: `^(?:${values.map((value) => value.replaceAll(".", "\\.")).join("|")})$`,
    }),
  );

/**
 * A map of anything to `value`. `Type.Record(Type.String(), …)` is not it: its pattern for keys is `.*`, which a line
 * break ends, so that the value of a key with one would pass unchecked.
 */
export const MapOf = <T extends TSchema>(value: T, options: { maxProperties?: number } = {}) =>
  Type.Record(Type.String({ pattern: "^[\\s\\S]*$" }), value, options);

/** A free-form JSON object. */
export const JsonObject = MapOf(Type.Unknown());

/**
 * The list envelope. Every list carries `data`; pages also carry `total`, `offset`, `limit`. `alias` repeats the
 * rows under the name that the TypeScript SDK reads (`agents`, `sessions`, `messages`).
 */
export const List = <T extends TSchema>(item: T) =>
  Type.Object({
    data: Type.Array(item),
    total: Type.Integer(),
    offset: Type.Integer(),
    limit: Type.Integer(),
    next_url: Type.Optional(Type.String()),
    prev_url: Type.Optional(Type.String()),
  });
