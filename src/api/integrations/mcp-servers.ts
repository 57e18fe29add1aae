/** MCP servers that the organization knows. Key and headers go in and never come out. */
import { UserError } from "../../base/errors.ts";
import { newId } from "../../base/id.ts";
import { ResourceConfigResponse } from "../../contract/common.ts";
import { limits } from "../../contract/limits.ts";
import {
  CreateMcpServerRequest,
  HIDDEN_VALUE,
  McpServerWithUrls,
  UpdateMcpServerRequest,
} from "../../contract/mcp-server.ts";
import { List } from "../../contract/schema.ts";
import {
  findMcpServer,
  insertMcpServer,
  listMcpServers,
  type McpServerFields,
  type McpServerRow,
  mcpHeaderPlace,
  mcpHeaders,
  mcpKeyPlace,
  mcpServerIdOfName,
  updateMcpServer,
} from "../../db/integrations/mcp-servers.ts";
import type { ApiDeps } from "../deps.ts";
import { requireDescription, requireTreeName } from "../files/tree-fields.ts";
import { policiesFor } from "../http/authorize.ts";
import { pathId } from "../http/path-id.ts";
import {
  ArchivableListQuery,
  type ArchivableSlice,
  action,
  archivablePage,
  created,
  iso,
  isoOrNull,
  nameTaken,
  notArchived,
  present,
  reply,
  urlsOf,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

type Deps = Pick<ApiDeps, "db" | "seal" | "capabilities">;

const USED =
  "Agents refer to a server by `mcp:<uuid>` in `capabilities`; their turns are then offered its tools as " +
  "`mcp_<server>__<tool>`, over streamable HTTP. ";
/** What a request sets for itself. */
const OWN_HEADERS = new Set([
  ...[
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "content-type",
  ],
  ...[
    "accept",
    "accept-encoding",
    "mcp-session-id",
    "mcp-protocol-version",
    "keep-alive",
    "proxy-authorization",
  ],
]);

export function mcpServerRoutes(deps: Deps): Route[] {
  const { db } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/mcp-servers",
      operationId: "list_mcp_servers",
      tag: "mcp-servers",
      summary: "List MCP servers, newest first",
      description: `${USED}\`search\` looks at name, description and address.`,
      query: ArchivableListQuery,
      responses: { 200: List(McpServerWithUrls) },
      async run({ query, caller: { organizationId }, request }) {
        const list = (slice: ArchivableSlice) => listMcpServers(db, { organizationId, ...slice });
        return reply(200, await archivablePage(request, query, list, toWire));
      },
    }),
    defineRoute({
      method: "POST",
      access: "admin",
      path: "/mcp-servers",
      operationId: "create_mcp_server",
      tag: "mcp-servers",
      summary: "Add an MCP server",
      description:
        `${USED}The address must be https and public, unless the operator allows the host ` +
        "(`EVERRUNS_ALLOW_PRIVATE_HOSTS`). `stdio` is refused: it would run a program on this machine. `api_key` and " +
        "the values of `headers` are encrypted and never shown; the key goes along as `Authorization: Bearer`. `auth_mode` " +
        "`o_auth` and `protocol_mode` are kept and change nothing yet.",
      body: CreateMcpServerRequest,
      responses: { 201: McpServerWithUrls },
      problems: ["limit_exceeded", "name_taken"],
      async run({ body, caller: { organizationId } }) {
        const id = newId("mcp");
        const name = requireTreeName(body.name);
        const changes = await readChanges(deps, organizationId, id, body);
        const row = await insertMcpServer(db, {
          organizationId,
          id,
          serversMax: limits.mcpServersMax,
          fields: {
            description: null,
            auth_mode: changes.api_key_sealed == null ? "none" : "api_key",
            protocol_mode: "auto",
            api_key_sealed: null,
            headers_sealed: {},
            ...changes,
            name,
            url: requireUrl(deps, body.url),
          },
        });
        if (row) return created(toWire(row));
        const holder = await mcpServerIdOfName(db, organizationId, name);
        if (holder !== null) throw nameTaken("MCP server", name, "/mcp-servers", holder);
        throw new UserError(
          "limit_exceeded",
          `an organization has at most ${limits.mcpServersMax} MCP servers`,
        );
      },
    }),
    defineRoute({
      method: "GET",
      path: "/mcp-servers/config",
      operationId: "mcp_server_config",
      tag: "mcp-servers",
      summary: "What the caller may do with MCP servers",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.isAdmin, caller) }),
    }),
    defineRoute({
      method: "GET",
      path: "/mcp-servers/{server_id}",
      operationId: "get_mcp_server",
      tag: "mcp-servers",
      summary: "Read an MCP server",
      responses: { 200: McpServerWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const row = await findMcpServer(db, organizationId, pathId("mcp", params.server_id));
        if (!row) throw noServer();
        return reply(200, toWire(row));
      },
    }),
    defineRoute({
      method: "PATCH",
      access: "admin",
      path: "/mcp-servers/{server_id}",
      operationId: "update_mcp_server",
      tag: "mcp-servers",
      summary: "Change some fields of an MCP server",
      description:
        "Absent fields stay; a null `description`, `headers` or `api_key`, and an empty key, are removed. `headers` " +
        `replace all that there are; a value \`${HIDDEN_VALUE}\` keeps the one that the header has. What is secret goes to ` +
        "the address that it was stored for: a `url` with another host needs it in the same request. `status`: " +
        "`disabled` and `archived` servers cannot be referred to any more, `active` takes them back, `deleted` is for good.",
      body: UpdateMcpServerRequest,
      responses: { 200: McpServerWithUrls },
      problems: ["invalid_id", "limit_exceeded", "not_found", "name_taken"],
      async run({ params, body, caller: { organizationId } }) {
        const id = pathId("mcp", params.server_id);
        const before = await findMcpServer(db, organizationId, id);
        if (!before) throw noServer();
        const changes = await readChanges(deps, organizationId, id, body);
        requireSameAddress(before, body);
        const written = await updateMcpServer(db, {
          organizationId,
          id,
          changes: { ...changes, status: body.status ?? undefined },
        });
        if (written.outcome === "not_found") throw noServer();
        if (written.outcome === "written") return reply(200, toWire(written.server));
        const name = changes.name ?? "";
        const holder = await mcpServerIdOfName(db, organizationId, name);
        throw nameTaken("MCP server", name, "/mcp-servers", holder);
      },
    }),
    defineRoute({
      method: "DELETE",
      access: "admin",
      path: "/mcp-servers/{server_id}",
      operationId: "delete_mcp_server",
      tag: "mcp-servers",
      summary: "Archive an MCP server",
      description: '`PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const id = pathId("mcp", params.server_id);
        const written = await updateMcpServer(db, { organizationId, id, changes: { status: "archived" } });
        if (written.outcome !== "written") throw noServer();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      access: "admin",
      path: "/mcp-servers/{server_id}/delete",
      operationId: "destroy_mcp_server",
      tag: "mcp-servers",
      summary: "Delete an archived MCP server for good",
      description:
        "Its name is free again, its secrets are gone. Turns of what still refers to it go on without it. Answers with " +
        "the server as it was.",
      responses: { 200: McpServerWithUrls },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const server = await findMcpServer(db, organizationId, pathId("mcp", params.server_id));
        if (!server) throw noServer();
        const { id, name } = server;
        const changes = { status: "deleted" as const };
        const written = await updateMcpServer(db, { organizationId, id, changes, onlyIf: "archived" });
        if (written.outcome === "written") return reply(200, toWire(written.server));
        throw notArchived(`the MCP server ${name}`, `/mcp-servers/${id}`);
      },
    }),
  ];
}

const noServer = () => new UserError("not_found", "MCP server not found");

/** A stored secret is no more readable for who may change an address. @throws UserError invalid_request */
function requireSameAddress(before: McpServerRow, body: UpdateMcpServerRequest): void {
  if (body.url == null || new URL(body.url).origin === new URL(before.url).origin) return;
  const kept = [
    ...(before.api_key_set && body.api_key === undefined ? ["api_key"] : []),
    ...(body.headers === undefined
      ? before.header_names
      : Object.keys(body.headers ?? {}).filter((name) => body.headers?.[name] === HIDDEN_VALUE)),
  ];
  if (kept.length === 0) return;
  throw new UserError(
    "invalid_request",
    `${kept.join(", ")}: stored for another address; send what is secret again with the new one, or null for none`,
  );
}

/** What the body says, checked; secrets sealed. @throws UserError */
async function readChanges(
  deps: Deps,
  organizationId: string,
  id: string,
  body: UpdateMcpServerRequest,
): Promise<{ [K in keyof McpServerFields]?: McpServerFields[K] }> {
  const changes: { [K in keyof McpServerFields]?: McpServerFields[K] } = {};
  if (body.transport_type === "stdio") {
    throw new UserError(
      "invalid_request",
      "transport_type: stdio would run a program on this machine, which is not done; serve it over http",
    );
  }
  if (body.name != null) changes.name = requireTreeName(body.name);
  if (body.url != null) changes.url = requireUrl(deps, body.url);
  if (body.description !== undefined) changes.description = requireDescription(body.description);
  if (body.auth_mode != null) changes.auth_mode = body.auth_mode;
  if (body.protocol_mode != null) changes.protocol_mode = body.protocol_mode;
  if (body.api_key !== undefined) {
    const key = body.api_key?.trim() ?? "";
    requireHeaderValue("api_key", key);
    changes.api_key_sealed = key === "" ? null : deps.seal(key, mcpKeyPlace(organizationId, id));
  }
  if (body.headers !== undefined)
    changes.headers_sealed = await readHeaders(deps, organizationId, id, body.headers ?? {});
  return changes;
}

async function readHeaders(
  { db, seal }: Deps,
  organizationId: string,
  id: string,
  headers: Readonly<Record<string, string>>,
): Promise<Record<string, string>> {
  const names = Object.keys(headers);
  if (names.length > limits.mcpHeadersMax) {
    throw new UserError("limit_exceeded", `headers: at most ${limits.mcpHeadersMax}`);
  }
  const before = await mcpHeaders(db, organizationId, id);
  const sealed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/.test(name) || OWN_HEADERS.has(name.toLowerCase())) {
      throw new UserError(
        "invalid_request",
        `headers: ${JSON.stringify(name.slice(0, 80).toWellFormed())} is no name of a header that can be set`,
      );
    }
    const kept = before[name];
    if (value === HIDDEN_VALUE && kept !== undefined) {
      sealed[name] = kept;
      continue;
    }
    requireHeaderValue(`headers: ${name}`, value);
    sealed[name] = seal(value, mcpHeaderPlace(organizationId, id, name));
  }
  return sealed;
}

/** The message never has the value. @throws UserError invalid_request */
function requireHeaderValue(field: string, value: string): void {
  if (/^[\t\x20-\x7e]*$/.test(value)) return;
  throw new UserError("invalid_request", `${field}: it has characters that no header may have`);
}

/** @throws UserError invalid_request */
function requireUrl({ capabilities }: Deps, text: string): string {
  const url = text.trim();
  const refusal = capabilities.refuseServerUrl(url);
  if (refusal !== null) throw new UserError("invalid_request", `url: ${refusal}`);
  return url;
}

function toWire(row: McpServerRow): McpServerWithUrls {
  const path = `/mcp-servers/${row.id}`;
  return {
    ...present({
      id: row.id,
      name: row.name,
      description: row.description,
      url: row.url,
      transport_type: "http" as const,
      auth_mode: row.auth_mode,
      protocol_mode: row.protocol_mode,
      api_key_set: row.api_key_set,
      headers: Object.fromEntries(row.header_names.toSorted().map((name) => [name, HIDDEN_VALUE])),
      status: row.status,
      archived_at: isoOrNull(row.archived_at),
      deleted_at: isoOrNull(row.deleted_at),
      created_at: iso(row.created_at),
      updated_at: iso(row.updated_at),
    }),
    ...urlsOf(path, [
      action("update", "PATCH", path),
      action("delete", "DELETE", path),
      ...(row.status === "archived" ? [action("unarchive", "PATCH", path)] : []),
    ]),
  };
}
