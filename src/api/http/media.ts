/**
 * Bodies and answers that are not JSON, as schemas, so that a route stays data: text, bytes and forms on the way
 * in, anything with a content type on the way out. `readBody` reads what a route declares, bounded.
 */
import { UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { type Static, type TSchema, Type } from "../../contract/schema.ts";
import { contentTypeOf, type JsonOptions, readBytes, readJson, requireContentType } from "./body.ts";

/** Under which a schema keeps how its body is read; a symbol, so that it is never printed into OpenAPI. */
const MEDIA = Symbol("media");

interface Media {
  kind: "text" | "bytes" | "form" | "raw";
  contentTypes: readonly string[];
  bytesMax: number;
}

export interface BodyOptions {
  /** Of the body as it is sent. */
  bytesMax: number;
  /** Accepted content types without parameters; the first stands for a body that came without any. */
  contentTypes: readonly string[];
}

/** A form as the platform reads it; its files are `File`. */
export type Form = Awaited<ReturnType<Response["formData"]>>;

/** UTF-8 text. NUL and lone surrogates come out as U+FFFD. */
export const TextBody = ({ bytesMax, contentTypes }: BodyOptions) =>
  withMedia(Type.Unsafe<string>({ type: "string" }), { kind: "text", contentTypes, bytesMax });

/** Bytes as they came. */
export const BytesBody = ({ bytesMax, contentTypes }: BodyOptions) =>
  withMedia(Type.Unsafe<Uint8Array>({ type: "string", format: "binary" }), {
    kind: "bytes",
    contentTypes,
    bytesMax,
  });

/**
 * `multipart/form-data`.
 *
 * @param fields  what OpenAPI says of each field; a file is `{type: "string", format: "binary"}`. The route checks them.
 */
export const FormBody = (options: { bytesMax: number; fields: Readonly<Record<string, object>> }) =>
  withMedia(Type.Unsafe<Form>({ type: "object", properties: options.fields }), {
    kind: "form",
    contentTypes: ["multipart/form-data"],
    bytesMax: options.bytesMax,
  });

/** What an answer with a content type of its own may consist of. */
export type RawContent = string | Uint8Array | ReadableStream<Uint8Array>;

/** An answer that is not JSON. A `content-type` among the reply's headers wins over this one. */
export const Raw = (contentType: string) =>
  withMedia(Type.Unsafe<RawContent>({ type: "string", format: "binary" }), {
    kind: "raw",
    contentTypes: [contentType],
    bytesMax: 0,
  });

/** Wrapped around the content when the declared answer is JSON and the caller asked for something else. */
export class RawBody {
  readonly content: RawContent;
  readonly contentType: string;

  constructor(content: RawContent, contentType: string) {
    this.content = content;
    this.contentType = contentType;
  }
}

function withMedia<T extends TSchema>(schema: T, media: Media): T {
  return Object.assign(schema, { [MEDIA]: media });
}

/** null: JSON. */
export function mediaOf(schema: TSchema): Media | null {
  return (schema as { [MEDIA]?: Media })[MEDIA] ?? null;
}

/**
 * The body that a route declares. Text, bytes and forms are complete here; JSON still wants its schema checked.
 *
 * @returns undefined when there is none
 * @throws UserError unsupported_media_type, payload_too_large, invalid_json, invalid_request
 */
export async function readBody(
  request: Request,
  schema: TSchema,
  options: JsonOptions = {},
): Promise<unknown> {
  const media = mediaOf(schema);
  if (media === null) return readJson(request, options);
  const bytes = await readBytes(request, media.bytesMax, options.pace);
  if (bytes.byteLength === 0) return undefined;
  requireContentType(request, media.contentTypes);
  if (media.kind === "bytes") return bytes;
  return media.kind === "form" ? readForm(request, bytes) : readText(bytes);
}

function readText(bytes: Uint8Array): string {
  try {
    return wellFormed(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new UserError("invalid_request", "The body is not UTF-8.", { cause: error });
  }
}

async function readForm(request: Request, bytes: Uint8Array): Promise<Form> {
  try {
    const type = request.headers.get("content-type") ?? "";
    return await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch (error) {
    throw new UserError("invalid_request", "The body is not valid multipart/form-data.", { cause: error });
  }
}

/** The HTTP response of a route's reply. */
export function respondWith(
  schema: TSchema | null | undefined,
  reply: { status: number; body: unknown; headers?: Record<string, string> },
): Response {
  const { status, body } = reply;
  const headers = new Headers(reply.headers ?? {});
  if (body === null) return new Response(null, { status, headers });
  const media = schema ? mediaOf(schema) : null;
  if (!(body instanceof RawBody) && media?.kind !== "raw") return Response.json(body, { status, headers });
  const { content, contentType } =
    body instanceof RawBody
      ? body
      : { content: body as Static<ReturnType<typeof Raw>>, contentType: media?.contentTypes[0] ?? "" };
  if (!headers.has("content-type")) headers.set("content-type", contentType);
  // What a model wrote must never be taken for a page of ours.
  headers.set("x-content-type-options", "nosniff");
  return new Response(content, { status, headers });
}

/** What OpenAPI says of a body: content type → schema. */
export function contentOf(
  schema: TSchema,
  more: readonly string[] = [],
): Record<string, { schema: unknown }> {
  const types = mediaOf(schema)?.contentTypes ?? ["application/json"];
  const other = { schema: { type: "string", format: "binary" } };
  return Object.fromEntries([
    ...types.map((type) => [contentTypeOf(type), { schema }]),
    ...more.map((type) => [contentTypeOf(type), other]),
  ]);
}
