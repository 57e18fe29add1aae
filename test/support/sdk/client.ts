/**
 * A client written from the wire contract alone, in the manner of the official TypeScript SDK: the token goes raw
 * into Authorization, lists are read under their own keys, fields go out in the spelling that its types have, and
 * every success other than 204 must be JSON. It shares no line with the server or with our own client.
 */

export interface SdkOptions {
  /** With the API's prefix: `http://127.0.0.1:9000/api`. */
  baseUrl: string;
  token: string;
  organizationId?: string;
}

/** Every status that the SDK has no class of its own for. */
export class ApiError extends Error {
  readonly status: number;
  /** As it came; HTML is dropped. */
  readonly body: string;
  constructor(status: number, message: string, body: string) {
    super(message);
    this.status = status;
    this.body = /^\s*</.test(body) ? "" : body;
  }
}
export class AuthenticationError extends ApiError {}
export class NotFoundError extends ApiError {}
export class RateLimitError extends ApiError {
  readonly retryAfter: number;
  constructor(status: number, message: string, body: string, retryAfter: number) {
    super(status, message, body);
    this.retryAfter = retryAfter;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the SDK trusts what it reads
type Json = any;

export interface AgentRequest {
  name: string;
  systemPrompt: string;
  id?: string;
  displayName?: string;
  /** The SDK's name for `default_model_id`. */
  model?: string;
  capabilities?: { ref: string; config?: unknown }[];
  tools?: object[];
  initialFiles?: object[];
  harnessId?: string;
  harnessName?: string;
  parallelToolCalls?: boolean;
}

export interface SessionRequest {
  harnessId?: string;
  harnessName?: string;
  agentId?: string;
  agentName?: string;
  title?: string;
  locale?: string;
  modelId?: string;
  tags?: string[];
  capabilities?: { ref: string; config?: unknown }[];
  tools?: object[];
  initialFiles?: object[];
  parallelToolCalls?: boolean;
}

/** Tries of a tool result that comes before its session waits; the pause doubles from this. */
const TOOL_RESULT_TRIES = 5;
const TOOL_RESULT_PAUSE_MS = 100;

export type Sdk = ReturnType<typeof createSdk>;

export function createSdk(options: SdkOptions) {
  const base = `${options.baseUrl.replace(/\/+$/, "")}/v1`;
  const headers: Record<string, string> = {
    authorization: options.token,
    ...(options.organizationId === undefined ? {} : { "x-org-id": options.organizationId }),
  };

  const request = async (method: string, path: string, body?: unknown): Promise<Json> => {
    const response = await send(
      method,
      path,
      {
        "content-type": "application/json",
      },
      body === undefined ? undefined : JSON.stringify(body),
    );
    return response.status === 204 ? undefined : response.json();
  };
  const send = async (
    method: string,
    path: string,
    more: Record<string, string>,
    body?: string | FormData,
  ): Promise<Response> => {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { ...headers, ...more },
      ...(body === undefined ? {} : { body }),
    });
    if (!response.ok) throw await errorOf(response);
    return response;
  };
  const agentBody = (agent: AgentRequest) =>
    withoutUndefined({
      name: agent.name,
      system_prompt: agent.systemPrompt,
      model: agent.model,
      id: agent.id,
      display_name: agent.displayName,
      capabilities: agent.capabilities,
      tools: agent.tools,
      initial_files: agent.initialFiles,
      harness_id: agent.harnessId,
      harness_name: agent.harnessName,
      parallel_tool_calls: agent.parallelToolCalls,
    });

  return {
    base,
    headers,
    request,
    agents: {
      list: async (): Promise<Json[]> => (await request("GET", "/agents")).agents,
      create: (agent: AgentRequest) => request("POST", "/agents", agentBody(agent)),
      apply: (agent: AgentRequest) => request("PUT", `/agents/${agent.id ?? agent.name}`, agentBody(agent)),
      get: (idOrName: string) => request("GET", `/agents/${idOrName}`),
      update: (id: string, fields: object) => request("PATCH", `/agents/${id}`, fields),
      copy: (id: string) => request("POST", `/agents/${id}/copy`),
      delete: (id: string) => request("DELETE", `/agents/${id}`),
      stats: (id: string) => request("GET", `/agents/${id}/stats`),
      importText: async (text: string): Promise<Json> =>
        (await send("POST", "/agents/import", { "content-type": "text/plain" }, text)).json(),
      exportText: async (id: string): Promise<{ text: string; headers: Headers }> => {
        const response = await send("GET", `/agents/${id}/export`, {});
        return { text: await response.text(), headers: response.headers };
      },
    },
    sessions: {
      list: async (query = ""): Promise<Json[]> => (await request("GET", `/sessions${query}`)).sessions,
      create: (session: SessionRequest = {}) =>
        request(
          "POST",
          "/sessions",
          withoutUndefined({
            harness_id: session.harnessId,
            harness_name: session.harnessName,
            agent_id: session.agentId,
            agent_name: session.agentName,
            title: session.title,
            locale: session.locale,
            model_id: session.modelId,
            tags: session.tags,
            capabilities: session.capabilities,
            tools: session.tools,
            initial_files: session.initialFiles,
            parallel_tool_calls: session.parallelToolCalls,
          }),
        ),
      get: (id: string) => request("GET", `/sessions/${id}`),
      update: (id: string, fields: object) => request("PATCH", `/sessions/${id}`, fields),
      delete: (id: string) => request("DELETE", `/sessions/${id}`),
      pin: (id: string) => request("PUT", `/sessions/${id}/pin`),
      unpin: (id: string) => request("DELETE", `/sessions/${id}/pin`),
      cancel: (id: string) => request("POST", `/sessions/${id}/cancel`),
      events: async (id: string, query = ""): Promise<Json[]> =>
        (await request("GET", `/sessions/${id}/events${query}`)).data,
    },
    messages: {
      list: async (sessionId: string): Promise<Json[]> =>
        (await request("GET", `/sessions/${sessionId}/messages`)).messages,
      /** The request goes out as it is: what its types call `externalActor` arrives so. */
      create: (sessionId: string, message: object) =>
        request("POST", `/sessions/${sessionId}/messages`, message),
      say: (sessionId: string, text: string, more: object = {}) =>
        request("POST", `/sessions/${sessionId}/messages`, {
          message: { role: "user", content: [{ type: "text", text }] },
          ...more,
        }),
      /** Tried again while the session does not wait yet. */
      async submitToolResults(sessionId: string, results: object[]): Promise<Json> {
        for (let tries = 1; ; tries += 1) {
          try {
            return await request("POST", `/sessions/${sessionId}/tool-results`, { tool_results: results });
          } catch (error) {
            const isEarly =
              error instanceof ApiError &&
              error.status === 409 &&
              error.body.toLowerCase().includes("not waiting for tool results");
            if (!isEarly || tries === TOOL_RESULT_TRIES) throw error;
            await Bun.sleep(TOOL_RESULT_PAUSE_MS * 2 ** (tries - 1));
          }
        }
      },
    },
    budgets: {
      create: (budget: object) => request("POST", "/budgets", budget),
      list: (subjectType: string, subjectId: string): Promise<Json[]> =>
        request("GET", `/budgets?subject_type=${subjectType}&subject_id=${subjectId}`),
      get: (id: string) => request("GET", `/budgets/${id}`),
      update: (id: string, fields: object) => request("PATCH", `/budgets/${id}`, fields),
      delete: (id: string) => request("DELETE", `/budgets/${id}`),
      topUp: (id: string, amount: number, description?: string) =>
        request("POST", `/budgets/${id}/top-up`, withoutUndefined({ amount, description })),
      ledger: (id: string): Promise<Json[]> => request("GET", `/budgets/${id}/ledger?limit=50&offset=0`),
      check: (id: string) => request("GET", `/budgets/${id}/check`),
      ofSession: (sessionId: string): Promise<Json[]> => request("GET", `/sessions/${sessionId}/budgets`),
      checkSession: (sessionId: string) => request("GET", `/sessions/${sessionId}/budget-check`),
      resume: (sessionId: string) => request("POST", `/sessions/${sessionId}/resume`),
    },
    versions: (agentId: string) => ({
      /** A raw array, without an envelope. */
      list: (): Promise<Json[]> => request("GET", `/agents/${agentId}/versions`),
      create: (fields: object = {}) => request("POST", `/agents/${agentId}/versions`, fields),
      setDefault: (versionId: string | null) =>
        request("POST", `/agents/${agentId}/versions/default`, { version_id: versionId }),
      diff: (from: string, to: string) => request("GET", `/agents/${agentId}/versions/${from}/diff/${to}`),
      fork: (versionId: string, name: string) =>
        request("POST", `/agents/${agentId}/versions/${versionId}/fork`, { name }),
      rollback: (versionId: string) =>
        request("POST", `/agents/${agentId}/versions/${versionId}/rollback`, {}),
    }),
    images: {
      async upload(bytes: Uint8Array, filename: string, type: string): Promise<Json> {
        const form = new FormData();
        form.set("file", new File([new Uint8Array(bytes)], filename, { type }));
        return (await send("POST", "/images", {}, form)).json();
      },
      read: async (id: string): Promise<{ bytes: Uint8Array; type: string | null }> => {
        const response = await send("GET", `/images/${id}`, {});
        return { bytes: await response.bytes(), type: response.headers.get("content-type") };
      },
    },
    text: async (path: string): Promise<{ text: string; type: string | null }> => {
      const response = await send("GET", path, {});
      return { text: await response.text(), type: response.headers.get("content-type") };
    },
    /** Files of a workspace, or of a session by its old address. */
    files: (of: `workspaces/${string}` | `sessions/${string}` | `memories/${string}`) => ({
      list: async (path = ""): Promise<Json[]> => (await request("GET", `/${of}/fs${path}`)).data,
      read: (path: string) => request("GET", `/${of}/fs${path}`),
      create: (path: string, file: object) => request("POST", `/${of}/fs${path}`, file),
      write: (path: string, file: object) => request("PUT", `/${of}/fs${path}`, file),
      delete: (path: string, isRecursive = false) =>
        request("DELETE", `/${of}/fs${path}${isRecursive ? "?recursive=true" : ""}`),
      move: (from: string, to: string) =>
        request("POST", `/${of}/fs/_/move`, { src_path: from, dst_path: to }),
      copy: (from: string, to: string) =>
        request("POST", `/${of}/fs/_/copy`, { src_path: from, dst_path: to }),
      stat: (path: string) => request("POST", `/${of}/fs/_/stat`, { path }),
      grep: async (pattern: string, pathPattern?: string): Promise<Json[]> =>
        (await request("POST", `/${of}/fs/_/grep`, withoutUndefined({ pattern, path_pattern: pathPattern })))
          .data,
    }),
  };
}

async function errorOf(response: Response): Promise<ApiError> {
  const body = await response.text();
  const message = `API error: ${response.statusText}`;
  if (response.status === 401) return new AuthenticationError(401, message, body);
  if (response.status === 404) return new NotFoundError(404, message, body);
  if (response.status === 429) {
    const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10);
    return new RateLimitError(429, message, body, seconds);
  }
  return new ApiError(response.status, message, body);
}

const withoutUndefined = (fields: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
