import { UserError } from "../../base/errors.ts";
import { isId } from "../../base/id.ts";
import { wellFormed } from "../../base/json.ts";
import { limits } from "../../contract/limits.ts";

/** A field of a free-form input that must name something. @throws UserError invalid_request */
export function idField(input: Record<string, unknown>, name: string, prefix: string): string {
  const value = input[name];
  if (typeof value === "string" && isId(prefix, value)) return value;
  throw new UserError("invalid_request", `input.${name}: ${prefix}_<32 hex digits> is expected`);
}

/** The message of a turn that is asked for without a conversation. @throws UserError invalid_request, limit_exceeded */
export function messageField(input: Record<string, unknown>, fallback: string | null): string {
  const value = input.message ?? fallback;
  if (typeof value !== "string" || value.trim() === "") {
    throw new UserError("invalid_request", "input.message: what the agent is told, as text, is expected");
  }
  if (Buffer.byteLength(value) > limits.messageTextBytesMax) {
    throw new UserError("limit_exceeded", `input.message: at most ${limits.messageTextBytesMax} bytes`);
  }
  return wellFormed(value);
}

/** @throws UserError invalid_request */
export function objectInput(input: unknown): Record<string, unknown> {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    throw new UserError("invalid_request", "input: an object is expected");
  }
  return input as Record<string, unknown>;
}
