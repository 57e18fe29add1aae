/**
 * The client room: what a program outside would write to work with an Everruns server, and nothing that such a
 * program could not do. The terminal apps and the command line stand on it, so they can do nothing that the public
 * API does not offer.
 *
 *   client.ts       typed calls over fetch
 *   stream.ts       the event stream of a session, across reconnects
 *   engine-feed.ts  that something durable has changed, across reconnects
 *   transcript.ts   PURE: events folded into what a person reads
 *   answer.ts       PURE: events folded into what a script reads
 *
 * It never reads the environment, never writes to a terminal and never keeps state beside what it returns.
 */
import type { Agent } from "../contract/agent.ts";
import type { Approval, ClientToolResult, DecideApprovalRequest } from "../contract/approval.ts";
import type { Budget } from "../contract/budget.ts";
import type { CapabilityInfo } from "../contract/capability.ts";
import type { Event, EventType } from "../contract/event.ts";
import type { Health } from "../contract/health.ts";
import type { ImageUploadResponse } from "../contract/image.ts";
import type { CreateMessageRequest, CreateMessageResponse, Message } from "../contract/message.ts";
import type { ModelWithProvider, Provider } from "../contract/provider.ts";
import type { Run, WorkersListResponse } from "../contract/run.ts";
import type { CreateSessionRequest, ForkSessionRequest, Session, SessionDiff } from "../contract/session.ts";
import { ClientError, errorFromResponse } from "./errors.ts";
import type { EventSource, StreamQuery } from "./stream.ts";

export interface ClientOptions {
  /** `http://host:port`, with or without `/api`, `/v1` and trailing slashes. */
  baseUrl: string;
  /** Sent as it is in `Authorization`; none when null. */
  apiKey: string | null;
  /** Sent as `X-Org-Id`, for keys of several organizations. */
  organizationId?: string | null | undefined;
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
}

/** A page of a list, newest or first by name first, as the route says. */
export interface Page<T> {
  data: T[];
  total: number;
  offset: number;
  limit: number;
}

export interface PageQuery {
  offset?: number | undefined;
  /** 1 to 100; the server's default is 20. */
  limit?: number | undefined;
  search?: string | undefined;
}

/** Every call throws ClientError: with the server's status and code, or status 0 when no answer came. */
export interface Client extends EventSource {
  /** Origin and path prefix without `/api`, for messages. */
  readonly baseUrl: string;

  health(signal?: AbortSignal): Promise<Health>;
  /** Null when the server can serve requests, otherwise what keeps it from doing so. */
  notReady(signal?: AbortSignal): Promise<string | null>;

  listAgents(query?: PageQuery): Promise<Page<Agent>>;
  getAgent(idOrName: string): Promise<Agent>;

  listSessions(query?: PageQuery & { agent_id?: string | undefined }): Promise<Page<Session>>;
  getSession(id: string): Promise<Session>;
  createSession(request: Partial<CreateSessionRequest>): Promise<Session>;

  /** A session that goes on from an event of another one. */
  forkSession(id: string, request: Partial<ForkSessionRequest>): Promise<Session>;
  /** What two sessions did after the last event that they share. */
  diffSessions(a: string, b: string): Promise<SessionDiff>;

  listMessages(sessionId: string): Promise<Message[]>;
  createMessage(sessionId: string, request: CreateMessageRequest): Promise<CreateMessageResponse>;
  /** Ends the turn under way; `no_op` when there is none. */
  cancelTurn(sessionId: string): Promise<{ status: "cancelled" | "no_op"; message: string }>;
  /**
   * Oldest first: all of them, or with `limit` (1 to 1000) the last ones, or the first after `afterSequence`.
   *
   * @param query.fromTs  RFC 3339
   */
  listEvents(sessionId: string, query?: EventsQuery): Promise<Event[]>;
  /**
   * Id of the newest event of these types (all of the contract's by default), or null when there is none: where a
   * stream begins that replays nothing.
   */
  lastEventId(sessionId: string, types?: readonly EventType[]): Promise<string | null>;

  /** Takes a message back that waits for its turn. @throws ClientError message_promoted when its turn has begun */
  withdrawMessage(sessionId: string, messageId: string): Promise<void>;
  /** Answers calls of client-side tools that a session waits for. */
  submitToolResults(sessionId: string, results: readonly ClientToolResult[]): Promise<void>;
  /** What a session may still spend, by its own budgets and those of its agent and its organization. */
  listSessionBudgets(sessionId: string): Promise<Budget[]>;
  /** @param query.session_id  the image is removed with this session; without, it stays until it is deleted */
  uploadImage(image: File, query?: { session_id?: string }): Promise<ImageUploadResponse>;

  listRuns(
    query?: PageQuery & { session_id?: string; agent_id?: string; status?: string },
  ): Promise<Page<Run>>;
  getRun(turnId: string): Promise<Run>;
  /** Ends a run that has not ended. */
  cancelRun(turnId: string): Promise<{ status: "cancelled"; message: string }>;
  /** Takes a failed or sealed run up from its last checkpoint. @returns the new run */
  retryRun(turnId: string): Promise<Run>;
  listWorkers(): Promise<WorkersListResponse>;

  /** Calls that wait for a person, newest first. */
  listApprovals(query: { session_id?: string; status?: string; limit?: number }): Promise<Page<Approval>>;
  decideApproval(id: string, decision: DecideApprovalRequest): Promise<Approval>;

  listModels(): Promise<Page<ModelWithProvider>>;
  getModel(id: string): Promise<ModelWithProvider>;
  listProviders(): Promise<Page<Provider>>;
  listCapabilities(query?: PageQuery): Promise<Page<CapabilityInfo>>;

  /** One connection of the engine's stream of snapshots, for operators. */
  openEngineStream(signal: AbortSignal): Promise<Response>;

  /** Any other call. @param path below `/v1`. @returns the JSON of the answer, undefined when it has none */
  request<T>(method: string, path: string, options?: RequestOptions): Promise<T>;
  /** A call whose answer is text: an export. */
  requestText(method: string, path: string, options?: RequestOptions): Promise<string>;
  /** A call whose answer is a file. */
  requestBytes(method: string, path: string, options?: RequestOptions): Promise<Uint8Array>;
}

export interface EventsQuery extends StreamQuery {
  limit?: number | undefined;
  afterSequence?: number | undefined;
  fromTs?: string | undefined;
}

export interface RequestOptions {
  query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  /** Sent as JSON, unless `contentType` says otherwise: then it is text. A FormData goes as it is. */
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
}

/** A request that has no answer after this long is given up; streams have their own rule. */
const REQUEST_TIMEOUT_MS = 30_000;
/** The same of one whose answer or body is a file: it may be large, and the line slow. */
const TRANSFER_TIMEOUT_MS = 600_000;

export function createClient(options: ClientOptions): Client {
  const baseUrl = normalizeBaseUrl(options.baseUrl);
  const doFetch = options.fetch ?? ((url, init) => fetch(url, init));
  const headers: Record<string, string> = { accept: "application/json" };
  if (options.apiKey !== null) headers.authorization = options.apiKey;
  if (options.organizationId) headers["x-org-id"] = options.organizationId;

  const send = async (url: string, init: RequestInit): Promise<Response> => {
    try {
      return await doFetch(url, init);
    } catch (error) {
      throw unreachable(baseUrl, error);
    }
  };

  const ask = async (
    method: string,
    path: string,
    options: RequestOptions & { isFile?: boolean } = {},
  ): Promise<Response> => {
    const { body, contentType, signal, query = {} } = options;
    const isForm = body instanceof FormData;
    const timeout = AbortSignal.timeout(options.isFile || isForm ? TRANSFER_TIMEOUT_MS : REQUEST_TIMEOUT_MS);
    const isJson = body !== undefined && !isForm && contentType === undefined;
    const response = await send(`${baseUrl}${path}${queryText(query)}`, {
      method,
      // A form's own type names what stands between its parts.
      headers:
        body === undefined || isForm
          ? headers
          : { ...headers, "content-type": contentType ?? "application/json" },
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      ...(body === undefined ? {} : { body: isForm ? body : isJson ? JSON.stringify(body) : String(body) }),
    });
    if (!response.ok) throw await errorFromResponse(response);
    return response;
  };
  const call = async <T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> => {
    const response = await ask(method, path, { body, ...(signal ? { signal } : {}) });
    return (await readJson(response, baseUrl)) as T;
  };
  const get = <T>(path: string, query: QueryValues = {}) =>
    call<T>("GET", `/api/v1${path}${queryText(query)}`);
  const post = <T>(path: string, body: unknown) => call<T>("POST", `/api/v1${path}`, body);

  const openStream = async (path: string, signal: AbortSignal): Promise<Response> => {
    const response = await send(`${baseUrl}/api/v1${path}`, {
      headers: { ...headers, accept: "text/event-stream", "cache-control": "no-cache" },
      signal,
    });
    if (!response.ok) throw await errorFromResponse(response);
    if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
      throw notEverruns(baseUrl, response.status);
    }
    return response;
  };

  const listEvents: Client["listEvents"] = async (sessionId, query = {}) => {
    const { data } = await get<{ data: Event[] }>(`/sessions/${enc(sessionId)}/events`, {
      ...eventQuery(query),
      limit: query.limit,
      after_sequence: query.afterSequence,
      from_ts: query.fromTs,
    });
    return data;
  };

  return {
    baseUrl,
    health: (signal) => call("GET", "/health", undefined, signal),
    async notReady(signal) {
      try {
        await call("GET", "/ready", undefined, signal);
        return null;
      } catch (error) {
        if (error instanceof ClientError && error.status === 503) return error.detail;
        throw error;
      }
    },
    listAgents: (query) => get("/agents", { ...query }),
    getAgent: (idOrName) => get(`/agents/${enc(idOrName)}`),
    listSessions: (query) => get("/sessions", { ...query }),
    getSession: (id) => get(`/sessions/${enc(id)}`),
    createSession: (request) => post("/sessions", request),
    forkSession: (id, request) => post(`/sessions/${enc(id)}/fork`, request),
    diffSessions: (a, b) => get(`/sessions/${enc(a)}/diff/${enc(b)}`),
    listMessages: async (sessionId) =>
      (await get<{ data: Message[] }>(`/sessions/${enc(sessionId)}/messages`)).data,
    createMessage: (sessionId, request) => post(`/sessions/${enc(sessionId)}/messages`, request),
    cancelTurn: (sessionId) => post(`/sessions/${enc(sessionId)}/cancel`, {}),
    listEvents,
    // A limited list begins at a turn's start and may be longer than its limit: the last of it is the newest.
    lastEventId: async (sessionId, types) =>
      (await listEvents(sessionId, { limit: 1, types })).at(-1)?.id ?? null,
    withdrawMessage: (sessionId, messageId) =>
      call("DELETE", `/api/v1/sessions/${enc(sessionId)}/queue/${enc(messageId)}`),
    submitToolResults: async (sessionId, results) => {
      await post(`/sessions/${enc(sessionId)}/tool-results`, { tool_results: results });
    },
    listSessionBudgets: (sessionId) => get(`/sessions/${enc(sessionId)}/budgets`),
    uploadImage: (image, query = {}) => {
      const form = new FormData();
      form.set("file", image);
      return call("POST", `/api/v1/images${queryText(query)}`, form);
    },
    listRuns: (query) => get("/runs", { ...query }),
    getRun: (turnId) => get(`/runs/${enc(turnId)}`),
    cancelRun: (turnId) => post(`/runs/${enc(turnId)}/cancel`, {}),
    retryRun: (turnId) => post(`/runs/${enc(turnId)}/retry`, {}),
    listWorkers: () => get("/durable/workers"),
    listApprovals: (query) => get("/approvals", { ...query }),
    decideApproval: (id, decision) => post(`/approvals/${enc(id)}`, decision),
    listModels: () => get("/models"),
    getModel: (id) => get(`/models/${enc(id)}`),
    listProviders: () => get("/providers"),
    listCapabilities: (query) => get("/capabilities", { ...query }),
    request: async <T>(method: string, path: string, options?: RequestOptions) => {
      const response = await ask(method, `/api/v1${path}`, options);
      // What is done may have nothing to say; what is read has.
      const isSilent = method !== "GET" && response.headers.get("content-length") === "0";
      return (isSilent ? undefined : await readJson(response, baseUrl)) as T;
    },
    requestText: async (method, path, options) =>
      (await ask(method, `/api/v1${path}`, { ...options, isFile: true })).text(),
    requestBytes: async (method, path, options) =>
      new Uint8Array(await (await ask(method, `/api/v1${path}`, { ...options, isFile: true })).arrayBuffer()),
    openEventStream: (sessionId, query, signal) =>
      openStream(`/sessions/${enc(sessionId)}/sse${queryText(eventQuery(query))}`, signal),
    openEngineStream: (signal) => openStream("/durable/sse", signal),
  };
}

/**
 * `http://127.0.0.1:9000/api/v1/` and every shorter spelling → `http://127.0.0.1:9000`.
 *
 * @throws ClientError invalid_url
 */
export function normalizeBaseUrl(text: string): string {
  const spelled = /^https?:\/\//i.test(text) ? text : `http://${text}`;
  let url: URL;
  try {
    url = new URL(spelled);
  } catch {
    throw new ClientError(`not a server address: ${text}`, { status: 0, code: "invalid_url" });
  }
  const path = url.pathname
    .replace(/\/+$/, "")
    .replace(/\/v1$/, "")
    .replace(/\/api$/, "");
  return url.origin + path;
}

type QueryValues = Record<string, string | number | readonly string[] | undefined>;

function queryText(values: QueryValues): string {
  const pairs = Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const list = Array.isArray(value) ? (value as readonly string[]) : [String(value)];
    return list.map((item) => `${enc(name)}=${enc(item)}`);
  });
  return pairs.length === 0 ? "" : `?${pairs.join("&")}`;
}

function eventQuery(query: StreamQuery): QueryValues {
  const names = (types: readonly EventType[] | undefined) => types as readonly string[] | undefined;
  return {
    since_id: query.sinceId,
    types: names(query.types),
    exclude: names(query.exclude),
    deltas: query.deltas,
  };
}

const enc = encodeURIComponent;

async function readJson(response: Response, baseUrl: string): Promise<unknown> {
  if (response.status === 204) return undefined;
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    throw notEverruns(baseUrl, response.status);
  }
}

function notEverruns(baseUrl: string, status: number): ClientError {
  return new ClientError(`what answers at ${baseUrl} is not an everruns server`, {
    status,
    code: "not_everruns",
  });
}

function unreachable(baseUrl: string, error: unknown): ClientError {
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new ClientError(`${baseUrl} did not answer in time`, {
      status: 0,
      code: "timeout",
    });
  }
  const isRefused = code === "ConnectionRefused" || code === "ECONNREFUSED";
  const message = isRefused
    ? `no server at ${baseUrl}; start one with \`everruns serve\``
    : `cannot reach ${baseUrl}`;
  return new ClientError(message, { status: 0, code: "unreachable", cause: isRefused ? undefined : error });
}
