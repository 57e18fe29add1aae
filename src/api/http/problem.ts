/**
 * From any error to an answer: the only place that knows HTTP statuses. What the caller can fix is said in full;
 * what broke on our side goes to the log with the request's id, and the caller gets a generic text.
 */
import { RetryableError, UserError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { isProblemCode, type Problem, type ProblemCode, problems } from "../../contract/problem.ts";
import { asRetryable } from "../../db/sqlstate.ts";

export interface ProblemContext {
  request: Request;
  requestId: string;
  log: Log;
}

/** The answer to an error: an `application/problem+json` body that all official clients can read. */
export function problemResponse(thrown: unknown, context: ProblemContext): Response {
  const error = asRetryable(unwrap(thrown));
  if (error instanceof UserError && isProblemCode(error.code)) {
    return respond(error.code, error.message, error.fields ?? {}, context);
  }
  if (error instanceof RetryableError) {
    const code = isProblemCode(error.code) ? error.code : "unavailable";
    context.log.warn("a request could not be served for now", { ...about(context), error });
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 1_000) / 1_000));
    return respond(code, problems[code].summary, { retry_after_seconds: seconds }, context);
  }
  context.log.error("a request failed", { ...about(context), error });
  return respond("internal_error", problems.internal_error.summary, {}, context);
}

function respond(
  code: ProblemCode,
  detail: string,
  fields: Readonly<Record<string, unknown>>,
  { request, requestId }: ProblemContext,
): Response {
  const { status, title } = problems[code];
  const { allow, challenge, ...members } = fields;
  const body: Problem = {
    type: null,
    title,
    status,
    detail,
    code,
    instance: pathOf(request),
    allowed_actions: [],
    retry_after_seconds: null,
    ...members,
    error: { code, message: detail },
  };
  const headers = new Headers({ "content-type": "application/problem+json", "x-request-id": requestId });
  if (body.retry_after_seconds) headers.set("retry-after", String(body.retry_after_seconds));
  if (status === 401)
    headers.set("www-authenticate", `Bearer realm="everruns"${challenge ? `, ${challenge}` : ""}`);
  if (typeof allow === "string") headers.set("allow", allow);
  return new Response(JSON.stringify(body), { status, headers });
}

/** Elysia wraps what a hook throws while it reads the body; its own errors carry a code in words. */
function unwrap(thrown: unknown): unknown {
  if (!(thrown instanceof Error)) return thrown;
  const code = (thrown as { code?: unknown }).code;
  if (code === "PARSE" && thrown.cause !== undefined) return unwrap(thrown.cause);
  if (code === "PARSE") return new UserError("invalid_json", "The body is not valid JSON.");
  if (code === "NOT_FOUND") return new UserError("not_found", "There is nothing at this path.");
  return thrown;
}

const about = ({ request, requestId }: ProblemContext) => ({
  request_id: requestId,
  method: request.method,
  path: pathOf(request),
});

function pathOf(request: Request): string {
  const start = request.url.indexOf("/", request.url.indexOf("//") + 2);
  if (start < 0) return "/";
  const end = request.url.search(/[?#]/);
  return request.url.slice(start, end < 0 ? undefined : end);
}

const VISIBLE_ASCII = /^[\x21-\x7e]{1,128}$/;

/** The caller's own X-Request-Id when it is sane, else a new one. */
export function requestIdOf(request: Request): string {
  const inbound = request.headers.get("x-request-id");
  return inbound !== null && VISIBLE_ASCII.test(inbound)
    ? inbound
    : `req_${crypto.randomUUID().replaceAll("-", "")}`;
}
