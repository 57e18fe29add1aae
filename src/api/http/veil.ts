/**
 * What only those may read who may also change it: the values of headers and variables of MCP servers that are
 * written into an agent, a harness or a session. They often are keys. One place for all answers, so that no route can
 * forget it.
 */
import { HIDDEN_VALUE } from "../../contract/mcp-server.ts";
import type { Caller } from "./identify.ts";

/** PURE: the body of an answer as this caller may read it. Content that is not JSON stays as it is. */
export function veiledFor({ canWrite, credential }: Caller, body: unknown): unknown {
  // A token of one session is in a browser, whatever it may do there.
  return canWrite && credential.kind !== "session" ? body : veiled(body);
}

const SERVERS: ReadonlySet<string> = new Set(["mcpServers", "mcp_servers"]);
const SECRET: ReadonlySet<string> = new Set(["headers", "env"]);

function veiled(value: unknown, isServers = false): unknown {
  if (Array.isArray(value)) return value.map((each) => veiled(each));
  if (!isPlain(value)) return value;
  const entries = Object.entries(value).map(([name, each]) => {
    if (isServers) return [name, veiledServer(each)];
    return [name, veiled(each, SERVERS.has(name))];
  });
  return Object.fromEntries(entries);
}

function veiledServer(server: unknown): unknown {
  if (!isPlain(server)) return server;
  const entries = Object.entries(server).map(([name, value]) => {
    if (!SECRET.has(name) || !isPlain(value)) return [name, value];
    return [name, Object.fromEntries(Object.keys(value).map((key) => [key, HIDDEN_VALUE]))];
  });
  return Object.fromEntries(entries);
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
