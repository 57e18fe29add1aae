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
  pace?: Pace | undefined;
}

/**
 * Reads a request's body as JSON. NUL and lone surrogates, which PostgreSQL cannot store, come out as U+FFFD.
 *
 * @returns undefined when there is no body
 * @throws UserError unsupported_media_type, payload_too_large, invalid_json
 */
export async function readJson(
  request: Request,
  { bytesMax, keepsNul, pace }: JsonOptions = {},
): Promise<unknown> {
  const bytes = await readBytes(request, bytesMax ?? limits.requestBytesMax, pace);
  if (bytes.byteLength === 0) return undefined;
  const contentType = contentTypeOf(request.headers.get("content-type") ?? "");
  if (!/^application\/[\w.-]+\+json$/.test(contentType)) requireContentType(request, ["application/json"]);
  return clean(await parse(bytes), 0, keepsNul ? (text) => text.toWellFormed() : wellFormed);
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
  const declared = Number(request.headers.get("content-length") ?? Number.NaN);
  if (declared > bytesMax) throw tooLarge();
  if (request.body === null) return new Uint8Array();
  // Into one place when it is known how much comes: a large body must not be there twice.
  const place = declared > SHORT_BYTES ? new Uint8Array(declared) : null;
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = request.body.getReader();
  const begunMs = performance.now();
  let isLate = false;
  // One that fits into a packet or two holds nobody up.
  const watch =
    declared <= SHORT_BYTES
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
      if (place === null) chunks.push(value);
      else place.set(value, length - value.byteLength);
    }
  } finally {
    clearInterval(watch);
  }
  if (place !== null) return place.subarray(0, length);
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks, length);
}

/** What a body of more than `limits.requestBytesMax` may be made of: it is large because of a file in it. */
const HUGE_BODY_VALUES_MAX = 10_000;

/**
 * PURE: whether JSON has more values than so many, told without parsing it: two bytes can become a value of 50, so that
 * a huge body of nothing but brackets would take all memory.
 */
export function hasMoreValues(bytes: Uint8Array, valuesMax: number): boolean {
  let values = 0;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      for (at += 1; at < bytes.length && bytes[at] !== QUOTE; at += 1) if (bytes[at] === BACKSLASH) at += 1;
    } else if (byte === COMMA || byte === BRACKET || byte === BRACE) {
      values += 1;
      if (values > valuesMax) return true;
    }
  }
  return false;
}
const [QUOTE, BACKSLASH, COMMA, BRACKET, BRACE] = Buffer.from('"\\,[{');

async function parse(bytes: Uint8Array): Promise<unknown> {
  const isHuge = bytes.length > limits.requestBytesMax;
  if (isHuge && hasMoreValues(bytes, HUGE_BODY_VALUES_MAX)) {
    throw new UserError(
      "payload_too_large",
      `A body of more than ${limits.requestBytesMax} bytes may have ${HUGE_BODY_VALUES_MAX} values at most.`,
    );
  }
  // Each step of a huge one takes a few tenths of a second: others get their turn in between.
  const rest = () => (isHuge ? new Promise((resolve) => setImmediate(resolve)) : undefined);
  try {
    await rest();
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    await rest();
    return JSON.parse(text);
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

/** Fields whose texts become files: better refused than changed. */
const EXACT: ReadonlySet<string> = new Set(["initial_files", "initialFiles"]);

/** @throws UserError invalid_request */
function exactText(text: string): string {
  if (!text.includes("\0")) return text.toWellFormed();
  throw new UserError(
    "invalid_request",
    "initial_files: a text with a NUL cannot be kept; send it as base64",
  );
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
    entries.map(([name, item]) => [
      wellFormed(name),
      clean(item, depth + 1, EXACT.has(name) ? exactText : cleanText),
    ]),
  );
}
