/**
 * Reads what agents and sessions have in common from a request: capabilities, client tools, starter files, MCP
 * servers, network rules. Says what is wrong before anything is stored.
 */
import { UserError } from "../../base/errors.ts";
import type {
  CapabilityConfig,
  CapabilityConfigInput,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
} from "../../contract/common.ts";
import { SLUG } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import type { Delivery } from "../../contract/message.ts";
import { initialFileProblems } from "../../db/files/files.ts";
import type { Db } from "../../db/pool.ts";
import { modelExists } from "../../db/providers/model-exists.ts";
import type { CapabilityCatalog } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import { requireMemories } from "./memory-mounts.ts";
import { isStored, requireStored } from "./references.ts";

export interface LayerInput {
  capabilities?: CapabilityConfigInput[] | null;
  tools?: ToolDefinition[] | null;
  initial_files?: InitialFile[] | null;
  mcpServers?: McpServers | null;
  network_access?: NetworkAccessList | null;
  parallel_tool_calls?: boolean | null;
  default_delivery?: Delivery | null;
  max_iterations?: number | null;
  tags?: string[] | null;
}

export interface Layer {
  capabilities: CapabilityConfig[];
  tools: ToolDefinition[];
  initial_files: InitialFile[];
  mcp_servers: McpServers;
  network_access: NetworkAccessList | null;
  parallel_tool_calls: boolean | null;
  default_delivery: Delivery | null;
  max_iterations: number | null;
  tags: string[];
}

/**
 * Only the fields that the request has; null puts a field back to its empty value.
 *
 * @throws UserError invalid_request, limit_exceeded
 */
export async function readLayer(
  input: LayerInput,
  { db, capabilities }: { db: Db; capabilities: CapabilityCatalog },
  organizationId: string,
): Promise<Partial<Layer>> {
  const layer: Partial<Layer> = {};
  if (input.capabilities !== undefined) {
    layer.capabilities = readCapabilities(input.capabilities ?? [], capabilities);
    await requireStored(db, organizationId, layer.capabilities);
    await requireMemories(db, organizationId, layer.capabilities);
  }
  if (input.tools !== undefined) layer.tools = readTools(input.tools ?? []);
  if (input.initial_files !== undefined) layer.initial_files = readFiles(input.initial_files ?? []);
  if (input.mcpServers !== undefined) {
    requireJsonBytes("mcpServers", input.mcpServers, limits.mcpServersBytesMax);
    layer.mcp_servers = input.mcpServers ?? {};
  }
  if (input.network_access !== undefined) layer.network_access = input.network_access;
  if (input.parallel_tool_calls !== undefined) layer.parallel_tool_calls = input.parallel_tool_calls;
  if (input.default_delivery !== undefined) layer.default_delivery = input.default_delivery;
  if (input.max_iterations !== undefined) layer.max_iterations = input.max_iterations;
  if (input.tags !== undefined) layer.tags = [...new Set(input.tags ?? [])];
  return layer;
}

export const EMPTY_LAYER: Readonly<Layer> = {
  capabilities: [],
  tools: [],
  initial_files: [],
  mcp_servers: {},
  network_access: null,
  parallel_tool_calls: null,
  default_delivery: null,
  max_iterations: null,
  tags: [],
};

function readCapabilities(
  input: readonly CapabilityConfigInput[],
  catalog: CapabilityCatalog,
): CapabilityConfig[] {
  requireJsonBytes("capabilities", input, limits.capabilityConfigBytesMax);
  return input.map((item, index) => {
    const { ref, config } = typeof item === "string" ? { ref: item, config: undefined } : item;
    const problem = isStored(ref) ? null : catalog.validate(ref, config);
    if (problem !== null) throw new UserError("invalid_request", `capabilities.${index}: ${problem}`);
    return config === undefined || config === null ? { ref } : { ref, config };
  });
}

/** What can do great harm is an admin's to hand out. @throws UserError forbidden */
export function requireCapabilityRights(
  catalog: Pick<CapabilityCatalog, "find">,
  caller: Pick<Caller, "isAdmin">,
  capabilities: readonly CapabilityConfigInput[] | null | undefined,
): void {
  if (caller.isAdmin) return;
  for (const item of capabilities ?? []) {
    const ref = typeof item === "string" ? item : item.ref;
    if (catalog.find(ref)?.risk_level === "high") {
      throw new UserError("forbidden", `the capability ${ref} is of high risk: only an admin hands it out`);
    }
  }
}

/** Server tools cannot be brought along; they are dropped, as the contract says. */
function readTools(input: readonly ToolDefinition[]): ToolDefinition[] {
  const tools = input.filter((tool) => tool.type === "client_side");
  const names = new Set<string>();
  for (const tool of tools) {
    const { name, parameters } = tool;
    requireJsonBytes(`tools: ${name}`, tool, limits.toolDefinitionBytesMax);
    if (names.has(name)) throw new UserError("invalid_request", `tools: there are two of the name ${name}`);
    names.add(name);
    if (typeof parameters !== "object" || parameters === null || Array.isArray(parameters)) {
      throw new UserError("invalid_request", `tools: parameters of ${name} must be a JSON Schema object`);
    }
  }
  return tools;
}

function readFiles(files: InitialFile[]): InitialFile[] {
  const [problem] = initialFileProblems(files);
  if (problem !== undefined) throw new UserError("invalid_request", `initial_files: ${problem}`);
  return files;
}

/** @throws UserError limit_exceeded */
export function requireBytes(field: string, text: string | null | undefined, bytesMax: number): void {
  if (typeof text !== "string" || text.length * 3 <= bytesMax) return;
  const bytes = Buffer.byteLength(text);
  if (bytes <= bytesMax) return;
  throw new UserError("limit_exceeded", `${field}: at most ${bytesMax} bytes, these are ${bytes}`);
}

/** Of free-form fields, as JSON. @throws UserError limit_exceeded */
export function requireJsonBytes(field: string, value: unknown, bytesMax: number): void {
  if (value !== undefined && value !== null) requireBytes(field, JSON.stringify(value), bytesMax);
}

/** @throws UserError invalid_name */
export function requireName(name: string): string {
  if (name.length <= limits.nameCharsMax && SLUG.test(name)) return name;
  throw new UserError(
    "invalid_name",
    `the name ${JSON.stringify(name.slice(0, 80))} is not made of lowercase words and hyphens, at most ${limits.nameCharsMax} characters ("my-agent")`,
  );
}

/**
 * Checks that a model can be used before something is stored that names it.
 *
 * @throws UserError invalid_id; `code` when the organization has no such model, or it is switched off
 */
export async function requireModel(
  db: Db,
  organizationId: string,
  input: { field: string; id: string; code: "invalid_request" | "not_found" },
): Promise<string> {
  const id = pathId("model", input.id);
  if (await modelExists(db, organizationId, id)) return id;
  throw new UserError(input.code, `${input.field}: there is no enabled model ${id}`);
}
