/**
 * Turns whatever a vendor, its package or the network threw into a `DriverError`: what the engine should do, and a
 * sentence that a person can act on. Nothing that looks like a key passes through here.
 */
import { RetryableError, UserError } from "../base/errors.ts";
import type { TurnErrorCode } from "../contract/event.ts";
import type { DriverError } from "./driver.ts";

/** What is known about a failure, whichever package reported it. */
export interface Failure {
  /** HTTP status, null when no answer came or the error arrived inside a stream. */
  status: number | null;
  /** The vendor's words for it: `error.code` and `error.type`, lower case, empty when absent. */
  code: string;
  type: string;
  message: string;
  headers: Headers | null;
}

/** Reads an error of either vendor's package. Both carry status, headers and the vendor's error body. */
export function readFailure(thrown: unknown): Failure {
  const error = record(thrown);
  const body = record(error.error);
  // Anthropic wraps its error in { type: "error", error: {…} }, OpenAI hands over the inner object.
  const inner = Object.keys(record(body.error)).length > 0 ? record(body.error) : body;
  const message = text(inner.message) || text(body.message) || text(error.message) || String(thrown);
  return {
    status: typeof error.status === "number" ? error.status : null,
    code: word(inner.code) || word(error.code),
    type: word(inner.type) || word(error.type),
    message: withCause(message, error.cause),
    headers: error.headers instanceof Headers ? error.headers : null,
  };
}

export interface ClassifyOptions {
  /** The key that was sent: removed from the message wherever the vendor echoes it. */
  apiKey: string | null;
  /** "OpenAI", "Anthropic", or the host of a custom address. */
  provider: string;
  now: Date;
}

/** The policy: one failure, one decision. */
export function classify(failure: Failure, options: ClassifyOptions): DriverError {
  const { code, retryable } = decide(failure);
  const asked = failure.headers?.get("x-should-retry");
  return {
    code,
    message: `${options.provider}: ${redact(explain(failure, code), options.apiKey)}`,
    // The vendor knows better than the status whether asking again can help, but never about a bad key.
    retryable:
      asked === "false" ? false : retryable || (asked === "true" && code !== "provider_misconfigured"),
    retryAfterMs: retryAfterMs(failure.headers, options.now),
    status: failure.status,
  };
}

function decide(failure: Failure): { code: TurnErrorCode; retryable: boolean } {
  const { status, code, type, message } = failure;
  const says = (pattern: RegExp) => pattern.test(message);
  const fatal = (turnError: TurnErrorCode) => ({ code: turnError, retryable: false });
  const again = (turnError: TurnErrorCode) => ({ code: turnError, retryable: true });

  if (TOO_LARGE.test(code) || type === "request_too_large" || status === 413 || says(TOO_LARGE_TEXT)) {
    return fatal("request_too_large");
  }
  if (QUOTA.test(code) || QUOTA.test(type) || status === 402 || says(QUOTA_TEXT)) {
    return fatal("provider_quota_exhausted");
  }
  if (code === "usage_limit_reached" || type === "usage_limit_reached")
    return fatal("provider_usage_limit_reached");
  if (code === "model_not_found" || (status === 404 && hasVendorBody(failure)))
    return fatal("model_unavailable");
  const isRedirect = status !== null && status >= 300 && status < 400;
  if (status === 401 || status === 403 || status === 404 || isRedirect)
    return fatal("provider_misconfigured");
  if (/^(authentication|permission)_error$|^invalid_api_key$/.test(code || type))
    return fatal("provider_misconfigured");
  if (status === 429 || /^rate_limit/.test(code) || /^rate_limit/.test(type))
    return again("provider_rate_limited");
  if (status === 408 || status === 409 || (status !== null && status >= 500))
    return again("provider_unavailable");
  if (status === null) {
    // Inside a stream, or no answer at all. What the vendor calls the caller's fault stays the caller's fault.
    return /^invalid_(request|prompt|image)/.test(code || type)
      ? fatal("processing_error")
      : again("provider_unavailable");
  }
  if (code === "invalid_function_parameters" || says(TOOL_SCHEMA_TEXT)) return fatal("invalid_tool_schema");
  return fatal("processing_error");
}

const TOO_LARGE = /^(context_length_exceeded|string_above_max_length|request_too_large)$/;
const TOO_LARGE_TEXT =
  /prompt is too long|maximum context length|context (window|length)( is)? exceed|exceeds? (the )?(model's )?context|input length and `?max_tokens`? exceed|^(\d+ )?request too large/i;
const QUOTA =
  /^(insufficient_quota|billing_hard_limit_reached|billing_not_active|billing_error|insufficient_credits)$/;
const QUOTA_TEXT =
  /credit balance is too low|exceeded your current quota|insufficient (credits|balance|funds)/i;
const TOOL_SCHEMA_TEXT =
  /invalid schema for function|invalid 'tools|tools\.\d+\.(custom\.)?(input_schema|name)|input_schema.*(invalid|required)|tool .*schema/i;

/** A 404 that the vendor's API itself gave names the model; one without its error body means a wrong address. */
function hasVendorBody({ code, type, message }: Failure): boolean {
  return code !== "" || type !== "" || /model/i.test(message);
}

function explain(failure: Failure, code: TurnErrorCode): string {
  const said = oneLine(failure.message).replace(/^\d{3} /, "");
  const status = failure.status === null ? "" : ` (HTTP ${failure.status})`;
  if (failure.status === 404 && code === "provider_misconfigured") {
    return `nothing answers at this address${status}; check base_url. ${said}`;
  }
  if (failure.status !== null && failure.status >= 300 && failure.status < 400) {
    return `this address leads to another one${status}, where the key is not sent; set base_url to that one`;
  }
  return `${said || "no explanation"}${status}`;
}

/** What the engine and the API throw for an operation that is not a stream. */
export function toThrown(error: DriverError): UserError | RetryableError {
  return error.retryable
    ? new RetryableError(error.code, error.message, { retryAfterMs: error.retryAfterMs })
    : new UserError(error.code, error.message);
}

const RETRY_AFTER_MAX_MS = 24 * 60 * 60 * 1000;

/** `retry-after-ms`, or `retry-after` as seconds or as an HTTP date. Null when absent or not understood. */
export function retryAfterMs(headers: Headers | null, now: Date): number | null {
  const milliseconds = headers?.get("retry-after-ms");
  if (milliseconds) return bounded(Number(milliseconds));
  const value = headers?.get("retry-after");
  if (!value) return null;
  const seconds = Number(value);
  return bounded(Number.isNaN(seconds) ? Date.parse(value) - now.getTime() : seconds * 1000);
}

function bounded(ms: number): number | null {
  return Number.isFinite(ms) ? Math.min(Math.max(0, Math.ceil(ms)), RETRY_AFTER_MAX_MS) : null;
}

const MESSAGE_CHARS_MAX = 600;

/** Removes the key that was sent and everything that is shaped like one, then cuts to a readable length. */
export function redact(message: string, apiKey: string | null): string {
  let clean = message;
  if (apiKey && apiKey.length >= 4) clean = clean.replaceAll(apiKey, HIDDEN);
  for (const shape of KEY_SHAPES) clean = clean.replace(shape, HIDDEN);
  clean = clean.replace(/(\/\/)[^/\s@]+@/g, `$1${HIDDEN}@`);
  return clean.length > MESSAGE_CHARS_MAX ? `${clean.slice(0, MESSAGE_CHARS_MAX)}…` : clean;
}

const HIDDEN = "[hidden]";
const KEY_SHAPES = [
  // sk-…, sk-ant-…, gsk_…, also half masked by the vendor (sk-proj-****abcd).
  /\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|pplx|sess)[-_][\w*.-]{6,}/g,
  /\bAIza[\w*-]{10,}/g,
  /(?<=key provided:?\s)\S+/gi,
  /\bBearer\s+\S+/gi,
  /\b(x-api-key|api[_-]key)(["']?\s*[:=]\s*["']?)[^\s"',}]+/gi,
] as const;

function withCause(message: string, cause: unknown): string {
  if (!(cause instanceof Error)) return message;
  const code = text(record(cause).code);
  const said = [code, cause.message].filter((part) => part && !message.includes(part)).join(": ");
  return said ? `${message} (${said})` : message;
}

/** An HTML error page becomes its words. */
function oneLine(message: string): string {
  return message
    .replace(/<(script|style)[\s\S]*?<\/\1>/gi, " ")
    .replace(/<[^>]+>/g, " ")
    .replace(/\s+/g, " ")
    .trim();
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function word(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value).toLowerCase() : "";
}
