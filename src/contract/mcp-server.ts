/** Servers of the Model Context Protocol that an organization knows. */
import { WithUrls } from "./common.ts";
import { limits } from "./limits.ts";
import { Id, MapOf, Maybe, OneOf, type Static, Timestamp, Type } from "./schema.ts";

export const INTEGRATION_STATUSES = ["active", "disabled", "archived", "deleted"] as const;
const TRANSPORTS = ["http", "stdio"] as const;
const AUTH_MODES = ["none", "api_key", "o_auth"] as const;
const PROTOCOL_MODES = ["auto", "legacy", "stable", "rc"] as const;

/** What stands for the value of a header, which is not shown. Sent back, it leaves the value as it is. */
export const HIDDEN_VALUE = "********";

export const McpServer = Type.Object({
  id: Id("mcp"),
  name: Type.String(),
  description: Type.Optional(Type.String()),
  url: Type.String(),
  transport_type: OneOf(TRANSPORTS),
  auth_mode: OneOf(AUTH_MODES),
  protocol_mode: OneOf(PROTOCOL_MODES),
  api_key_set: Type.Boolean(),
  /** Names with `********` in place of the values. */
  headers: MapOf(Type.String()),
  status: OneOf(INTEGRATION_STATUSES),
  archived_at: Type.Optional(Timestamp),
  deleted_at: Type.Optional(Timestamp),
  created_at: Timestamp,
  updated_at: Timestamp,
});
export type McpServer = Static<typeof McpServer>;

export const McpServerWithUrls = WithUrls(McpServer);
export type McpServerWithUrls = Static<typeof McpServerWithUrls>;

const Name = Type.String({ minLength: 1, maxLength: limits.displayNameCharsMax });
const Url = Type.String({ minLength: 1, maxLength: limits.urlCharsMax });

const McpServerRequest = {
  description: Maybe(Type.String()),
  auth_mode: Maybe(OneOf(AUTH_MODES)),
  protocol_mode: Maybe(OneOf(PROTOCOL_MODES)),
  api_key: Maybe(Type.String({ maxLength: limits.secretCharsMax })),
  headers: Maybe(MapOf(Type.String({ maxLength: limits.secretCharsMax }))),
  transport_type: Maybe(OneOf(TRANSPORTS)),
};

export const CreateMcpServerRequest = Type.Object({ name: Name, url: Url, ...McpServerRequest });

/** Absent: stays. A null `description`, `api_key` or `headers` is removed; an empty key, too. */
export const UpdateMcpServerRequest = Type.Object({
  name: Maybe(Name),
  url: Maybe(Url),
  status: Maybe(OneOf(INTEGRATION_STATUSES)),
  ...McpServerRequest,
});
export type UpdateMcpServerRequest = Static<typeof UpdateMcpServerRequest>;
