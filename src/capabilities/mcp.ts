/**
 * Tools of MCP servers (`mcp:<uuid>`), over streamable HTTP with the official client. What a server says is a
 * stranger's word: its hints are shown and never believed, its schemas are handed to the model and never compiled
 * here, its names get a prefix, and everything has a bound. Each call is a connection of its own, so that any worker
 * can make it; connections go where `_safe-fetch.ts` lets them, to the very host that is stored: redirects are refused.
 */
import { Client, type ClientOptions } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { z } from "zod";
import { guardedFetch } from "./_safe-fetch.ts";
import { type OutboundOptions, outboundPolicy, refuseServerUrl } from "./outbound.ts";
import { type Tool, type ToolContext, ToolError } from "./tool.ts";

/** Where a server is and what goes along with each request: its key and headers, in clear. Never logged. */
export interface McpEndpoint {
  name: string;
  url: string;
  headers: Readonly<Record<string, string>>;
}

export interface McpClients {
  /**
   * The tools of a server, named `mcp_<server>__<tool>`.
   *
   * @throws ToolError it cannot be reached, or does not speak the protocol; the message has no secret
   */
  tools(endpoint: McpEndpoint, call: Pick<ToolContext, "network" | "signal">): Promise<Tool[]>;
}

const TOOLS_MAX = 128;
const PAGES_MAX = 10;
const DESCRIPTION_CHARS_MAX = 4_000;
const SCHEMA_BYTES_MAX = 32 * 1024;
/** Of everything that a server answers to one call. */
const BYTES_MAX = 10 * 1024 * 1024;
const DISCOVERY_MS = 10_000;
const CALL_MS = 120_000;
const NAME_CHARS_MAX = 64;
/** Shorter values are words that stand in any text. */
const SECRET_CHARS_MIN = 6;

export function createMcpClients(options: OutboundOptions & { version: string }): McpClients {
  const policy = { ...outboundPolicy(options), bytesMax: BYTES_MAX };

  const connected = async <T>(
    endpoint: McpEndpoint,
    { network, signal }: Pick<ToolContext, "network" | "signal">,
    timeoutMs: number,
    use: (client: Client, signal: AbortSignal) => Promise<T>,
  ): Promise<T> => {
    const refusal = refuseServerUrl(endpoint.url, policy.allowPrivateHosts);
    if (refusal !== null) throw new ToolError(`The address of the MCP server ${endpoint.name} ${refusal}.`);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const transport = new StreamableHTTPClientTransport(new URL(endpoint.url), {
      fetch: guardedFetch({ ...policy, network }, limit),
      requestInit: { headers: { ...endpoint.headers } },
      reconnectionOptions: {
        maxRetries: 0,
        initialReconnectionDelay: 1,
        maxReconnectionDelay: 1,
        reconnectionDelayGrowFactor: 1,
      },
    });
    const client = new Client(
      { name: "everruns", version: options.version },
      { capabilities: {}, jsonSchemaValidator: TRUSTING },
    );
    try {
      await client.connect(transport as never, { signal: limit, timeout: timeoutMs });
      return await use(client, limit);
    } catch (error) {
      signal.throwIfAborted();
      const message = error instanceof ToolError ? error.message : messageOf(error, limit, timeoutMs);
      const text = hideSecrets(message, endpoint);
      throw new ToolError(
        error instanceof ToolError ? text : `The MCP server ${endpoint.name} failed: ${text}`,
      );
    } finally {
      await client.close().catch(() => {});
    }
  };

  return {
    async tools(endpoint, call) {
      const found = await connected(endpoint, call, DISCOVERY_MS, async (client, signal) => {
        const listed: Listed[] = [];
        let cursor: string | undefined;
        for (let page = 0; page < PAGES_MAX && listed.length < TOOLS_MAX; page += 1) {
          const answer = await client.listTools(cursor === undefined ? {} : { cursor }, { signal });
          listed.push(...(answer.tools as Listed[]));
          cursor = answer.nextCursor;
          if (cursor === undefined) break;
        }
        return listed.slice(0, TOOLS_MAX);
      });
      return found.flatMap((listed) => {
        const name = toolName(endpoint.name, listed.name);
        return JSON.stringify(listed.inputSchema).length > SCHEMA_BYTES_MAX
          ? []
          : [
              toTool(name, listed, endpoint.name, async (input, context) =>
                connected(endpoint, context, CALL_MS, async (client, signal) =>
                  hideSecrets(
                    resultOf(
                      await client.callTool({ name: listed.name, arguments: input }, undefined, {
                        signal,
                        timeout: CALL_MS,
                      }),
                    ),
                    endpoint,
                  ),
                ),
              ),
            ];
      });
    },
  };
}

/** A server that echoes a request must not show the model what we sent along. */
function hideSecrets(text: string, { headers }: McpEndpoint): string {
  return Object.values(headers)
    .flatMap((value) => [value, value.replace(/^Bearer /, "")])
    .filter((value) => value.length >= SECRET_CHARS_MIN)
    .reduce((shown, value) => shown.replaceAll(value, "[secret]"), text);
}

interface Listed {
  name: string;
  title?: string;
  description?: string;
  inputSchema: Record<string, unknown>;
  annotations?: { title?: string };
}

/** Compiling a stranger's schema would run what it says; whether a structured result fits is the server's affair. */
const TRUSTING = {
  getValidator: () => (input: unknown) => ({ valid: true, data: input, errorMessage: undefined }),
} as unknown as NonNullable<ClientOptions["jsonSchemaValidator"]>;

function toTool(
  name: string,
  { title, description, annotations, name: own, inputSchema }: Listed,
  server: string,
  run: (input: Record<string, unknown>, context: ToolContext) => Promise<string>,
): Tool {
  return {
    name,
    displayName: (title ?? annotations?.title ?? own).slice(0, 200),
    description:
      `${(description ?? "").slice(0, DESCRIPTION_CHARS_MAX)}\n(Tool of the MCP server ${server}.)`.trim(),
    // Whether it may run twice is for nobody to promise.
    effect: "at_most_once",
    hints: { open_world: true },
    input: z.record(z.string(), z.unknown()),
    parameters: () => ({ type: "object", ...inputSchema }),
    run: run as unknown as Tool["run"],
  };
}

/** Of two servers or tools whose names come out the same, the first stands. */
function toolName(server: string, tool: string): string {
  const plain = (text: string) => text.replace(/[^A-Za-z0-9_-]+/g, "_").replace(/^_+|_+$/g, "");
  return `mcp_${plain(server).toLowerCase().slice(0, 24)}__${plain(tool)}`.slice(0, NAME_CHARS_MAX);
}

/** Text as it is; of anything else, that it is there. @throws ToolError the tool says that it failed */
function resultOf(answer: unknown): string {
  const { content, structuredContent, isError } = answer as {
    content?: Part[];
    structuredContent?: unknown;
    isError?: boolean;
  };
  const parts = (content ?? []).map(partText);
  const text =
    parts.length === 0 && structuredContent !== undefined
      ? JSON.stringify(structuredContent)
      : parts.join("\n");
  if (isError === true) throw new ToolError(text === "" ? "The tool failed and does not say why." : text);
  return text;
}

interface Part {
  type: string;
  text?: string;
  mimeType?: string;
  uri?: string;
  resource?: { uri?: string; text?: string };
}

function partText({ type, text, mimeType, uri, resource }: Part): string {
  if (type === "text") return text ?? "";
  if (type === "resource" && resource?.text !== undefined) return resource.text;
  const where = resource?.uri ?? uri;
  return `[${type}${mimeType ? ` ${mimeType}` : ""}${where ? ` ${where}` : ""}, not shown]`;
}

function messageOf(error: unknown, limit: AbortSignal, timeoutMs: number): string {
  if (limit.aborted) return `no answer within ${timeoutMs / 1000} s.`;
  // A status's text is the server's own page: enough of it to see what is wrong.
  return error instanceof Error ? error.message.slice(0, 500) : "it does not speak the protocol.";
}
