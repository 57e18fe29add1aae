/** The caller's accounts with other services. A key goes in and never comes out. */
import { UserError } from "../../base/errors.ts";
import { type ConnectionService, connectionServices } from "../../capabilities/connection-check.ts";
import {
  ApiKeyConnectionRequest,
  Connection,
  ConnectionProvider,
  ConnectionVerification,
} from "../../contract/connection.ts";
import { List, type Static } from "../../contract/schema.ts";
import {
  type ConnectionRow,
  connectionKey,
  connectionKeyPlace,
  deleteConnection,
  listConnections,
  noteConnection,
  putConnection,
} from "../../db/integrations/connections.ts";
import type { ApiDeps } from "../deps.ts";
import type { Caller } from "../http/identify.ts";
import { iso, present, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

type Deps = Pick<ApiDeps, "db" | "seal" | "checkConnection">;

const ownerOf = ({ organizationId, userId }: Caller) => ({ organizationId, userId });

export function connectionRoutes(deps: Deps): Route[] {
  const { db } = deps;
  return [
    defineRoute({
      method: "GET",
      path: "/user/connections",
      access: "self",
      operationId: "list_connections",
      tag: "connections",
      summary: "The caller's accounts with other services",
      description: "Kept and verified; no capability of this program uses one yet.",
      responses: { 200: List(Connection) },
      run: async ({ caller }) => reply(200, whole((await listConnections(db, ownerOf(caller))).map(toWire))),
    }),
    defineRoute({
      method: "GET",
      path: "/user/connections/providers",
      access: "self",
      operationId: "list_connection_providers",
      tag: "connections",
      summary: "The services that can be connected",
      description: "All by a key that the caller makes there. Services that need OAuth are not among them.",
      responses: { 200: List(ConnectionProvider) },
      async run({ caller }) {
        const connected = new Set((await listConnections(db, ownerOf(caller))).map((row) => row.provider));
        return reply(
          200,
          whole(
            connectionServices.map((service) => ({
              provider: service.provider,
              display_name: service.displayName,
              connection_type: "api_key" as const,
              description: service.description,
              instructions_url: service.instructionsUrl,
              is_connected: connected.has(service.provider),
            })),
          ),
        );
      },
    }),
    defineRoute({
      method: "POST",
      path: "/user/connections/{provider}",
      access: "self",
      operationId: "create_connection",
      tag: "connections",
      summary: "Connect an account by its key",
      description: "A connection that is there already gets the new key.",
      body: ApiKeyConnectionRequest,
      responses: { 201: Connection },
      problems: ["limit_exceeded", "not_found"],
      run: async ({ params, body, caller }) => reply(201, await connect(deps, caller, params.provider, body)),
    }),
    defineRoute({
      method: "PUT",
      path: "/user/connections/api-key/{provider}",
      access: "self",
      operationId: "put_api_key_connection",
      tag: "connections",
      summary: "Connect an account by its key, or give it another",
      body: ApiKeyConnectionRequest,
      responses: { 200: Connection },
      problems: ["limit_exceeded", "not_found"],
      run: async ({ params, body, caller }) => reply(200, await connect(deps, caller, params.provider, body)),
    }),
    defineRoute({
      method: "POST",
      path: "/user/connections/{provider}/verify",
      access: "self",
      operationId: "verify_connection",
      tag: "connections",
      summary: "Ask the service whether the key is valid",
      description:
        "One small request to the service. Its answer may tell the account's name and the scopes of the key, which " +
        "the connection then shows.",
      responses: { 200: ConnectionVerification },
      problems: ["not_found"],
      async run({ params, caller }) {
        const owner = ownerOf(caller);
        const { provider } = requireService(params.provider);
        const apiKeySealed = await connectionKey(db, owner, provider);
        if (apiKeySealed === null) throw notConnected(provider);
        const checked = await deps.checkConnection(provider, {
          sealed: apiKeySealed,
          place: connectionKeyPlace(owner, provider),
        });
        const { valid, error, username, scopes } = checked;
        if (valid) await noteConnection(db, owner, { provider, apiKeySealed, username, scopes });
        return reply(200, present({ valid, error }));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/user/connections/{provider}",
      access: "self",
      operationId: "delete_connection",
      tag: "connections",
      summary: "Forget an account and its key",
      responses: { 204: null },
      problems: ["not_found"],
      async run({ params, caller }) {
        if (await deleteConnection(db, ownerOf(caller), params.provider)) return reply(204, null);
        throw notConnected(params.provider);
      },
    }),
  ];
}

async function connect(
  { db, seal }: Deps,
  caller: Caller,
  name: string,
  body: Static<typeof ApiKeyConnectionRequest>,
): Promise<Connection> {
  const { provider } = requireService(name);
  const key = body.api_key.trim();
  // It goes into a header.
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new UserError("invalid_request", "api_key: it is empty or has characters that no key has");
  }
  const owner = ownerOf(caller);
  return toWire(
    await putConnection(db, owner, {
      provider,
      apiKeySealed: seal(key, connectionKeyPlace(owner, provider)),
      providerUsername: body.provider_username ?? null,
    }),
  );
}

/** @throws UserError not_found */
function requireService(name: string): ConnectionService {
  const service = connectionServices.find(({ provider }) => provider === name);
  if (service) return service;
  const known = connectionServices.map(({ provider }) => provider).join(", ");
  throw new UserError("not_found", `there is no such service to connect; these are: ${known}`);
}

const notConnected = (provider: string) =>
  new UserError("not_found", `you have no connection with ${JSON.stringify(provider.slice(0, 80))}`);

function toWire(row: ConnectionRow): Connection {
  return present({
    provider: row.provider,
    connection_type: "api_key" as const,
    provider_username: row.provider_username,
    scopes: row.scopes,
    connected_at: iso(row.created_at),
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
