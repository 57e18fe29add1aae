/**
 * Errors, named by what the caller should do next, not by where they arose.
 *
 *   UserError        the caller can fix it          API: status of its code    engine: the turn fails with that code
 *   RetryableError   try again later                API: 503                   engine: reschedule with backoff
 *   TerminalError    trying again cannot help       API: 500                   engine: the turn fails
 *   LeaseLostError   someone else owns this now     –                          engine: stop, write nothing
 *   anything else    a bug                          API: 500, generic text     engine: counts as an attempt
 *
 * `code` is a stable word of `contract/problem.ts` or a turn error code; `message` is for people and never
 * carries a secret. Names are set by hand because minified builds rename classes.
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly code: string;
  /** Extra fields for the wire (retry_after_seconds, allowed_actions …); null when there are none. */
  readonly fields: Readonly<Record<string, unknown>> | null;
  constructor(
    code: string,
    message: string,
    options: { cause?: unknown; fields?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fields = options.fields ?? null;
  }
}

export class RetryableError extends Error {
  override readonly name = "RetryableError";
  readonly code: string;
  /** Milliseconds the other side asked us to wait, or null when it did not say. */
  readonly retryAfterMs: number | null;
  /** False when nothing was tried, only waited for: then it is no attempt that has failed. */
  readonly countsAsAttempt: boolean;
  constructor(
    code: string,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | null; countsAsAttempt?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? null;
    this.countsAsAttempt = options.countsAsAttempt ?? true;
  }
}

export class TerminalError extends Error {
  override readonly name = "TerminalError";
  readonly code: string;
  constructor(code: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  constructor(runId: string) {
    super(`the lease on ${runId} belongs to someone else now`);
  }
}

/** One line for people: the message of an error and of what caused it, without stacks. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : ` (${describeError(error.cause)})`;
  return (error.message || error.name) + cause;
}
