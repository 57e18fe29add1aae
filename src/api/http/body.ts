import { RetryableError, UserError } from "../../base/errors.ts";
import { wellFormed } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";

/** Deeper JSON than this is no configuration of anybody; walking it by recursion must not end the process. */
const DEPTH_MAX = 64;

export interface JsonOptions {
  /** `limits.requestBytesMax` by default. */
  bytesMax?: number | undefined;
  /** A NUL stays as it is: for texts that become bytes, such as the content of a file. */
  keepsNul?: boolean | undefined;
}

/**
 * Reads a request's body as JSON. NUL and lone surrogates, which PostgreSQL cannot store, come out as U+FFFD.
 *
 * @returns undefined when there is no body
 * @throws UserError unsupported_media_type, payload_too_large, invalid_json
 */
export async function readJson(request: Request, { bytesMax, keepsNul }: JsonOptions = {}): Promise<unknown> {
  const bytes = await readBytes(request, bytesMax ?? limits.requestBytesMax);
  if (bytes.byteLength === 0) return undefined;
  const contentType = contentTypeOf(request.headers.get("content-type") ?? "");
  if (!/^application\/[\w.-]+\+json$/.test(contentType)) requireContentType(request, ["application/json"]);
  return clean(parse(bytes), 0, keepsNul ? (text) => text.toWellFormed() : wellFormed);
}

/** Without its parameters, in lower case; "" when there is none. */
export function contentTypeOf(header: string): string {
  return header.split(";")[0]?.trim().toLowerCase() ?? "";
}

/** @throws UserError unsupported_media_type */
export function requireContentType(request: Request, accepted: readonly string[]): void {
  const contentType = contentTypeOf(request.headers.get("content-type") ?? "");
  if (accepted.includes(contentType)) return;
  throw new UserError(
    "unsupported_media_type",
    `The body must be ${accepted.join(" or ")}, not ${contentType === "" ? "without a Content-Type" : JSON.stringify(contentType)}.`,
  );
}

/** How slowly a body may arrive. */
export interface Pace {
  bytesPerSecondMin: number;
  /** For so long nothing is asked. */
  graceMs: number;
}
const SHORT_BYTES = 64 * 1024;
const PACE: Pace = { bytesPerSecondMin: limits.bodyBytesPerSecondMin, graceMs: limits.bodyGraceMs };

/**
 * The bytes of a body; what comes after `bytesMax` is not read.
 *
 * @throws UserError payload_too_large
 * @throws RetryableError  it arrives too slowly
 */
export async function readBytes(
  request: Request,
  bytesMax: number,
  { bytesPerSecondMin, graceMs }: Pace = PACE,
): Promise<Uint8Array> {
  const tooLarge = () => new UserError("payload_too_large", `The body is larger than ${bytesMax} bytes.`, {});
  if (Number(request.headers.get("content-length") ?? 0) > bytesMax) throw tooLarge();
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  const begunMs = performance.now();
  let isLate = false;
  // One that fits into a packet or two holds nobody up.
  const isShort = Number(request.headers.get("content-length") ?? Number.MAX_VALUE) <= SHORT_BYTES;
  const watch = isShort
    ? undefined
    : setInterval(() => {
        const seconds = (performance.now() - begunMs) / 1_000;
        if (length >= seconds * bytesPerSecondMin) return;
        isLate = true;
        void reader.cancel();
      }, graceMs);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isLate) throw new RetryableError("unavailable", "the body took too long to arrive");
      if (done) break;
      length += value.byteLength;
      if (length > bytesMax) {
        await reader.cancel();
        throw tooLarge();
      }
      chunks.push(value);
    }
  } finally {
    clearInterval(watch);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : "it is not UTF-8";
    throw new UserError("invalid_json", `The body is not valid JSON: ${reason}`, { cause: error });
  }
}

/**
 * JSON as it may be stored: NUL and lone surrogates come out as U+FFFD, `__proto__` is left out.
 *
 * @throws UserError invalid_json: nested too deep
 */
export function cleanJson(value: unknown): unknown {
  return clean(value, 0, wellFormed);
}

/** Copies objects: a key `__proto__` in JSON is an own property and must not become a prototype. */
function clean(value: unknown, depth: number, cleanText: (text: string) => string): unknown {
  if (typeof value === "string") return cleanText(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= DEPTH_MAX) {
    throw new UserError("invalid_json", `The body is nested more than ${DEPTH_MAX} levels deep.`);
  }
  if (Array.isArray(value)) return value.map((item) => clean(item, depth + 1, cleanText));
  const entries = Object.entries(value).filter(([name]) => name !== "__proto__");
  return Object.fromEntries(
    entries.map(([name, item]) => [wellFormed(name), clean(item, depth + 1, cleanText)]),
  );
}
