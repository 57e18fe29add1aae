/**
 * The MCP servers that a turn refers to: looked up, asked for their tools, and remembered for some minutes. A server
 * that does not answer costs the turn its tools and never the turn.
 */
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Sealer } from "../base/seal.ts";
import type { McpClients, McpEndpoint } from "../capabilities/mcp.ts";
import type { Tool, ToolContext } from "../capabilities/tool.ts";
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
  turn: { organizationId: string; refs: readonly { ref: string }[] } & Pick<
    ToolContext,
    "network" | "signal"
  >,
) => Promise<McpTools>;

const REMEMBERED_MS = 5 * 60_000;
const REMEMBERED_MAX = 500;

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

  const toolsOf = async (
    row: McpEndpointRow,
    organizationId: string,
    call: Pick<ToolContext, "network" | "signal">,
  ): Promise<Tool[]> => {
    const key = `${row.id} ${row.updated_at.getTime()}`;
    const remembered = known.get(key);
    if (remembered && remembered.untilMs > clock.monotonicMs()) return remembered.tools;
    const tools = await clients.tools(openEndpoint(row, organizationId, deps.sealer), call);
    if (known.size >= REMEMBERED_MAX) known.clear();
    known.set(key, { untilMs: clock.monotonicMs() + REMEMBERED_MS, tools });
    return tools;
  };

  return async ({ organizationId, refs, ...call }) => {
    const ids = mcpIds(refs);
    if (ids.length === 0) return { tools: [], notes: [] };
    const rows = await readMcpEndpoints(db, organizationId, ids);
    const found: McpTools = { tools: [], notes: [] };
    const asked = await Promise.allSettled(rows.map((row) => toolsOf(row, organizationId, call)));
    call.signal.throwIfAborted();
    for (const [index, row] of rows.entries()) {
      const answer = asked[index];
      if (answer?.status !== "fulfilled") {
        log.warn("an MCP server gives no tools; the turn goes on without", {
          server: row.id,
          error: answer?.reason,
        });
        found.notes.push(`The tools of the MCP server ${row.name} cannot be had right now.`);
        continue;
      }
      for (const tool of answer.value)
        found.tools.push({ tool, capabilityId: `mcp:${row.id}`, capabilityName: row.name });
    }
    return found;
  };
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
