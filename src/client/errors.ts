/** What a server answered when it did not do what it was asked, or that there was no server at all. */
export class ClientError extends Error {
  override readonly name = "ClientError";
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** A code of `contract/problem.ts`, or `unreachable`, `timeout`, `not_everruns`. */
  readonly code: string;
  /** The server's own sentence; the same as `message` when there was no answer. */
  readonly detail: string;
  readonly requestId: string | null;
  /** Seconds the server asked us to wait, or null. */
  readonly retryAfterSeconds: number | null;
  /** What the server sent, when that is JSON; null when there was no answer, or another one. */
  readonly body: string | null;

  constructor(
    message: string,
    fields: {
      status: number;
      code: string;
      detail?: string;
      requestId?: string | null;
      retryAfterSeconds?: number | null;
      body?: string | null;
      cause?: unknown;
    },
  ) {
    super(message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.status = fields.status;
    this.code = fields.code;
    this.detail = fields.detail ?? message;
    this.requestId = fields.requestId ?? null;
    this.retryAfterSeconds = fields.retryAfterSeconds ?? null;
    this.body = fields.body ?? null;
  }

  /** Nobody answers, or not to us: whatever else one wants to ask, it will be the same. */
  get isAboutServer(): boolean {
    return this.status === 0 || this.status === 401;
  }

  /** Whether the same request may succeed later: no answer, too many requests, or trouble on the server's side. */
  get isRetryable(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Reads an error answer: problem+json, its `error` object, the older `{"error": "text"}`, or anything else. */
export async function errorFromResponse(response: Response): Promise<ClientError> {
  const text = await response.text().catch(() => "");
  const body = parseObject(text);
  const nested = parseObject(body.error);
  const said =
    stringOr(body.detail) ?? stringOr(nested.message) ?? stringOr(body.error) ?? stringOr(body.title);
  const where = URL.parse(response.url)?.origin ?? "the server";
  const status = `${response.status} ${response.statusText}`.trim();
  const detail = said ?? `${where} answered ${status}; is it an everruns server?`;
  const code = stringOr(body.code) ?? stringOr(nested.code) ?? (said ? "unknown" : "not_everruns");
  return new ClientError(detail, {
    status: response.status,
    code,
    body: Object.keys(body).length > 0 ? text : null,
    requestId: response.headers.get("x-request-id"),
    retryAfterSeconds: secondsOf(response.headers.get("retry-after")) ?? numberOr(body.retry_after_seconds),
  });
}

function parseObject(value: unknown): Record<string, unknown> {
  if (typeof value === "string") {
    try {
      return parseObject(JSON.parse(value) as object);
    } catch {
      return {};
    }
  }
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

const stringOr = (value: unknown): string | null =>
  typeof value === "string" && value !== "" ? value : null;
const numberOr = (value: unknown): number | null => (typeof value === "number" ? value : null);

function secondsOf(header: string | null): number | null {
  return header !== null && /^[0-9]+$/.test(header) ? Number(header) : null;
}
