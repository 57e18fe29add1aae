/** The public API as a client without our client would call it. */
import type { Event } from "../../../src/contract/event.ts";
import type { Run } from "../../../src/contract/run.ts";

export interface Api {
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects of an answer
  get(path: string): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  post(path: string, body: unknown): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  patch(path: string, body: unknown): Promise<any>;
  events(sessionId: string): Promise<Event[]>;
  /** The newest run of a session, with its steps. */
  lastRun(sessionId: string): Promise<Run>;
  /** Makes a session and sends it one message. @returns the session's id and the turn's */
  begin(text: string, session?: object): Promise<{ sessionId: string; turnId: string }>;
}

/** @param url  of the server at the moment: one that starts again may listen elsewhere */
export function apiOf(url: () => string): Api {
  const call = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${url()}/v1${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  };
  const api: Api = {
    get: (path) => call("GET", path),
    post: (path, body) => call("POST", path, body),
    patch: (path, body) => call("PATCH", path, body),
    events: async (sessionId) => (await api.get(`/sessions/${sessionId}/events`)).data,
    async lastRun(sessionId) {
      const { data } = await api.get(`/sessions/${sessionId}/runs?limit=1`);
      return api.get(`/runs/${data[0].id}`);
    },
    async begin(text, session = {}) {
      const { id } = await api.post("/sessions", session);
      const sent = await api.post(`/sessions/${id}/messages`, message(text));
      return { sessionId: id, turnId: sent.turn_id };
    },
  };
  return api;
}

export function message(text: string): object {
  return { message: { role: "user", content: [{ type: "text", text }] } };
}

export function isTerminal(event: Event): boolean {
  return /^turn\.(completed|failed|cancelled|sealed)$/.test(event.type);
}

/** A scripted answer of the simulated model, as the text of a message. */
export function simScript(script: object): string {
  return `Play this.\n\`\`\`llmsim\n${JSON.stringify(script)}\n\`\`\``;
}
