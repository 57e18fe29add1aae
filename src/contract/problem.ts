/**
 * Error codes: one table for the API, OpenAPI, the documentation and the tests. The body is RFC 9457
 * (`application/problem+json`) plus the `error` object that the official clients read.
 */
import { JsonObject, Maybe, type Static, Type } from "./schema.ts";

const code = (status: number, title: string, summary: string) => ({ status, title, summary });

export const problems = {
  invalid_request: code(400, "Bad Request", "The request does not have the documented shape."),
  invalid_id: code(400, "Bad Request", "The id is not of the form prefix_<32 hex digits>."),
  invalid_json: code(400, "Bad Request", "The body is not valid JSON."),
  invalid_name: code(400, "Bad Request", "The name is not a lowercase slug of at most 64 characters."),
  unknown_event_type: code(400, "Bad Request", "A filter names an event type that does not exist."),
  invalid_cursor: code(400, "Bad Request", "The cursor is not an event of this session."),
  limit_exceeded: code(400, "Bad Request", "Input exceeds allowed limits."),
  unauthorized: code(401, "Unauthorized", "No credential, or one that is not valid."),
  forbidden: code(403, "Forbidden", "The caller's role does not allow this."),
  forbidden_host: code(403, "Forbidden", "Without authentication only this machine may be named in Host."),
  not_found: code(404, "Not Found", "There is no such resource for this caller."),
  method_not_allowed: code(405, "Method Not Allowed", "The path exists, but not with this method."),
  conflict: code(409, "Conflict", "The resource's state does not allow this."),
  file_readonly: code(409, "Conflict", "The file or directory is read-only."),
  directory_not_empty: code(400, "Bad Request", "The directory has entries; delete it with recursive=true."),
  archived: code(409, "Conflict", "The resource is archived and read-only; take it back to change it."),
  name_taken: code(409, "Conflict", "The name belongs to another resource."),
  session_busy: code(409, "Conflict", "The session is working on a turn."),
  queue_full: code(409, "Conflict", "As many messages as allowed wait in this session already."),
  message_promoted: code(409, "Conflict", "The message waits no more: its turn has begun."),
  not_waiting: code(409, "Conflict", "The session is not waiting for this."),
  approval_decided: code(409, "Conflict", "The approval has been decided already."),
  approval_expired: code(409, "Conflict", "Nobody decided in time; the call was given up."),
  approval_cancelled: code(
    409,
    "Conflict",
    "The call does not wait any more: its turn went on or has ended.",
  ),
  approval_changed: code(409, "Conflict", "The decision was made for other arguments."),
  unrelated_sessions: code(409, "Conflict", "The sessions have no event in common."),
  provider_misconfigured: code(
    400,
    "Bad Request",
    "The provider refuses the key or the address that is stored.",
  ),
  provider_unavailable: code(
    502,
    "Bad Gateway",
    "The provider does not answer, or not as its protocol says.",
  ),
  database_limit: code(
    422,
    "Unprocessable Content",
    "The session has as many databases as allowed, or one is as large as allowed.",
  ),
  invalid_archive: code(
    422,
    "Unprocessable Content",
    "The archive is damaged, or of a kind that is not read.",
  ),
  invalid_skill: code(
    422,
    "Unprocessable Content",
    "The document is no skill; the message says what is wrong.",
  ),
  payload_too_large: code(413, "Payload Too Large", "The body is larger than allowed."),
  export_too_large: code(
    413,
    "Payload Too Large",
    "The export is too large for one document; ask for segments.",
  ),
  unsupported_media_type: code(415, "Unsupported Media Type", "The body must be application/json."),
  rate_limited: code(429, "Too Many Requests", "Too many requests or streams; try again later."),
  internal_error: code(500, "Internal Server Error", "Something broke on our side; the log has the details."),
  unavailable: code(503, "Service Unavailable", "The database cannot be reached right now; try again."),
} as const;

export type ProblemCode = keyof typeof problems;

export function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(problems, text);
}

export const Problem = Type.Object({
  type: Type.Union([Type.String(), Type.Null()]),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  code: Type.String(),
  instance: Type.String(),
  allowed_actions: Type.Array(JsonObject),
  retry_after_seconds: Maybe(Type.Integer()),
  error: Type.Object({ code: Type.String(), message: Type.String() }),
});
export type Problem = Static<typeof Problem>;
