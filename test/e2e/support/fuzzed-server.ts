/** A server that random requests are sent to: how they reach it, what it takes, and whether it still does its work. */
import { readFileSync } from "node:fs";
import type { Caller } from "../../support/api/world.ts";
import { apiOf, isTerminal, simScript } from "./api.ts";

/** The API at an address, called as the tests call it within their own process. */
export function callerOf(url: string): Caller {
  const call: Caller["call"] = async (method, path, body, headers = {}) => {
    const response = await fetch(path.startsWith("//") ? `${url}${path.slice(1)}` : `${url}/v1${path}`, {
      method,
      redirect: "manual",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      headers: {
        ...(body === undefined || body instanceof FormData ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined || method === "GET"
        ? {}
        : { body: typeof body === "string" || body instanceof FormData ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "json");
    return {
      status: response.status,
      headers: response.headers,
      body: text === "" ? null : isJson && !isLines(response) ? JSON.parse(text) : text,
    };
  };
  return { call, get: (path) => call("GET", path) };
}

/** A request that takes longer hangs. */
const ANSWER_MS_MAX = 30_000;

const isLines = (response: Response) => /ndjson/.test(response.headers.get("content-type") ?? "");

/** Memory of a process that is in RAM. */
export function residentBytes(pid: number): number {
  const kilobytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kilobytes) * 1024;
}

/**
 * A conversation with a simulated model of its own, whatever became of the others.
 *
 * @returns the answer's text
 */
export async function conversationWorks(url: string): Promise<string> {
  const api = apiOf(() => url);
  const provider = await api.post("/providers", { name: "After", provider_type: "llmsim" });
  const model = await api.post(`/providers/${provider.id}/models`, {
    model_id: "llmsim",
    display_name: "After",
  });
  const { sessionId } = await api.begin(simScript({ steps: [{ text: "Still here." }] }), {
    model_id: model.id,
  });
  while (!(await api.events(sessionId)).some(isTerminal)) await Bun.sleep(20);
  const { data } = await api.get(`/sessions/${sessionId}/messages`);
  return data.at(-1).content[0].text;
}
