/**
 * The MCP servers of a turn: those that it refers to, looked up, and those that its layers bring along (`mcpServers`).
 * They are asked for their tools, which are remembered for some minutes. A server that does not answer costs the turn
 * its tools and never the turn.
 */
import { createHash } from "node:crypto";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Sealer } from "../base/seal.ts";
import type { McpClients, McpEndpoint } from "../capabilities/mcp.ts";
import type { Tool, ToolContext } from "../capabilities/tool.ts";
import type { McpServers } from "../contract/common.ts";
import { readStoredReference } from "../contract/stored-reference.ts";
import {
  type McpEndpointRow,
  mcpHeaderPlace,
  mcpKeyPlace,
  readMcpEndpoints,
} from "../db/integrations/mcp-servers.ts";
import type { Db } from "../db/pool.ts";
import type { OfferedTool } from "./scope.ts";

export interface McpTools {
  tools: OfferedTool[];
  /** For the prompt: which servers are missing. */
  notes: string[];
}

export type FindMcpTools = (
  turn: { organizationId: string; refs: readonly { ref: string }[]; inline: McpServers } & Pick<
    ToolContext,
    "network" | "signal"
  >,
) => Promise<McpTools>;

const REMEMBERED_MS = 5 * 60_000;
const REMEMBERED_MAX = 500;
/** Of one turn. */
const SERVERS_MAX = 20;

export function createMcpTools(deps: {
  db: Db;
  sealer: Pick<Sealer, "open">;
  clients: McpClients;
  clock: Clock;
  log: Log;
}): FindMcpTools {
  const { db, clients, clock, log } = deps;
  /** By server and its last change. */
  const known = new Map<string, { untilMs: number; tools: Tool[] }>();

  const toolsOf = async (server: Server, call: Pick<ToolContext, "network" | "signal">): Promise<Tool[]> => {
    const remembered = known.get(server.key);
    if (remembered && remembered.untilMs > clock.monotonicMs()) return remembered.tools;
    const tools = await clients.tools(server.endpoint(), call);
    if (known.size >= REMEMBERED_MAX) known.clear();
    known.set(server.key, { untilMs: clock.monotonicMs() + REMEMBERED_MS, tools });
    return tools;
  };

  return async ({ organizationId, refs, inline, ...call }) => {
    const ids = mcpIds(refs);
    const rows = ids.length === 0 ? [] : await readMcpEndpoints(db, organizationId, ids);
    const all = [
      ...rows.map((row) => storedServer(row, organizationId, deps.sealer)),
      ...inlineServers(inline, organizationId),
    ];
    const servers = all.slice(0, SERVERS_MAX);
    const found: McpTools = { tools: [], notes: [] };
    const asked = await Promise.allSettled(servers.map((server) => toolsOf(server, call)));
    call.signal.throwIfAborted();
    for (const [index, { name, capabilityId }] of all.entries()) {
      const answer = asked[index];
      if (answer?.status !== "fulfilled") {
        const error = answer?.reason ?? `more than ${SERVERS_MAX} servers`;
        log.warn("an MCP server gives no tools; the turn goes on without", {
          server: capabilityId,
          name,
          error,
        });
        found.notes.push(`The tools of the MCP server ${name} cannot be had right now.`);
        continue;
      }
      for (const tool of answer.value) found.tools.push({ tool, capabilityId, capabilityName: name });
    }
    return found;
  };
}

interface Server {
  name: string;
  capabilityId: string;
  /** Names what the tools are remembered by; changes with the server. */
  key: string;
  /** @throws UserError encryption_key_wrong; TerminalError: its secrets cannot be opened */
  endpoint(): McpEndpoint;
}

function storedServer(row: McpEndpointRow, organizationId: string, sealer: Pick<Sealer, "open">): Server {
  return {
    name: row.name,
    capabilityId: `mcp:${row.id}`,
    key: `${row.id} ${row.updated_at.getTime()}`,
    endpoint: () => openEndpoint(row, organizationId, sealer),
  };
}

/** Those over HTTP; a program of this machine is never started for a turn. */
function inlineServers(servers: McpServers, organizationId: string): Server[] {
  return Object.entries(servers).flatMap(([name, { type, url, headers, tool_discovery }]) => {
    if (type === "stdio" || url === undefined || tool_discovery === false) return [];
    const endpoint = { name, url, headers: headers ?? {} };
    const digest = createHash("sha256").update(JSON.stringify(endpoint)).digest("hex");
    return [
      { name, capabilityId: "mcpServers", key: `${organizationId} ${digest}`, endpoint: () => endpoint },
    ];
  });
}

function mcpIds(refs: readonly { ref: string }[]): string[] {
  return refs.flatMap(({ ref }) => {
    const reference = readStoredReference(ref);
    return reference === null || reference === "malformed" || reference.kind !== "mcp" ? [] : [reference.id];
  });
}

/** @throws UserError encryption_key_wrong; TerminalError: they cannot be opened */
function openEndpoint(
  row: McpEndpointRow,
  organizationId: string,
  sealer: Pick<Sealer, "open">,
): McpEndpoint {
  const headers = Object.fromEntries(
    Object.entries(row.headers_sealed).map(([name, sealed]) => [
      name,
      sealer.open(sealed, mcpHeaderPlace(organizationId, row.id, name)),
    ]),
  );
  if (row.auth_mode === "api_key" && row.api_key_sealed !== null) {
    headers.Authorization = `Bearer ${sealer.open(row.api_key_sealed, mcpKeyPlace(organizationId, row.id))}`;
  }
  return { name: row.name, url: row.url, headers };
}
