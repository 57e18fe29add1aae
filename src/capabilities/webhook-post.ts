/** One POST to a webhook, to where requests of ours may go. */
import { type SafeFetchPolicy, safeFetch } from "./_safe-fetch.ts";
import { type OutboundOptions, outboundPolicy } from "./outbound.ts";
import { ToolError } from "./tool.ts";

const TIMEOUT_MS = 15_000;
const BYTES_MAX = 64 * 1024;

/** The status that the receiver answered with, or why there is none. Never rejects, but when the signal fires. */
export type PostWebhook = (
  request: { url: string; body: string; headers: Readonly<Record<string, string>> },
  signal: AbortSignal,
) => Promise<{ status: number } | { error: string }>;

export function createWebhookPost(options: OutboundOptions & { timeoutMs?: number } = {}): PostWebhook {
  const policy: SafeFetchPolicy = {
    ...outboundPolicy(options),
    network: { allowed: [], blocked: [] },
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    bytesMax: BYTES_MAX,
    // What is told is for whoever was named, not for where an answer points.
    redirectsMax: 0,
  };
  return async ({ url, body, headers }, signal) => {
    const request = {
      ...policy,
      headers: { "user-agent": "everruns (webhook)", "content-type": "application/json", ...headers },
      postBody: body,
    };
    try {
      const { status } = await safeFetch(url, request, signal, () => null);
      return { status };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ToolError) return { error: error.message };
      throw error;
    }
  };
}
