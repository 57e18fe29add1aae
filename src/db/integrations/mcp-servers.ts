/** MCP servers of an organization. Key and headers are sealed; a reader of the row sees that there are some. */
import { toJsonText } from "../../base/json.ts";
import { sealPlace } from "../../base/seal.ts";
import { assignments, statusStamps } from "../assign.ts";
import type { Db } from "../pool.ts";
import { type Page, type Slice, searchPatterns } from "../search.ts";
import { asRetryable, isUniqueViolation } from "../sqlstate.ts";

export interface McpServerFields {
  name: string;
  description: string | null;
  url: string;
  auth_mode: "none" | "api_key" | "o_auth";
  protocol_mode: "auto" | "legacy" | "stable" | "rc";
  api_key_sealed: string | null;
  /** Each value sealed for its own name. */
  headers_sealed: Record<string, string>;
}

export interface McpServerRow extends Omit<McpServerFields, "api_key_sealed" | "headers_sealed"> {
  id: string;
  api_key_set: boolean;
  header_names: string[];
  status: "active" | "disabled" | "archived" | "deleted";
  archived_at: Date | null;
  deleted_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export type McpServerWritten =
  | { outcome: "written"; server: McpServerRow }
  | { outcome: "not_found" }
  | { outcome: "name_taken" };

const secretPlace = (organizationId: string, serverId: string, column: string) =>
  sealPlace({ tenant: organizationId, table: "mcp_servers", row: serverId, column });

export const mcpKeyPlace = (organizationId: string, serverId: string) =>
  secretPlace(organizationId, serverId, "api_key_sealed");

/** @param header  a name as HTTP has it: without `/` */
export const mcpHeaderPlace = (organizationId: string, serverId: string, header: string) =>
  secretPlace(organizationId, serverId, `headers_sealed:${header}`);

const selectServer = ({ sql }: Pick<Db, "sql">) => sql`
  id, name, description, url, auth_mode, protocol_mode, api_key_sealed is not null as api_key_set,
  array(select jsonb_object_keys(headers_sealed)) as header_names, status, archived_at, deleted_at, created_at, updated_at`;

/** Newest first. */
export async function listMcpServers(
  { sql }: Db,
  input: { organizationId: string; search: string | null; includeArchived: boolean } & Slice,
): Promise<Page<McpServerRow>> {
  const wanted = sql`
    organization_id = ${input.organizationId} and status <> 'deleted'
    and (${input.includeArchived} or status <> 'archived')
    and concat_ws(' ', name, description, url) ilike all (${searchPatterns(input.search)}::text[])`;
  const [rows, counted] = await Promise.all([
    sql<McpServerRow[]>`
      select ${selectServer({ sql })} from mcp_servers
       where ${wanted}
       order by created_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from mcp_servers where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

/** Archived ones are found, deleted ones are not. */
export async function findMcpServer(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<McpServerRow | null> {
  const rows = await sql<McpServerRow[]>`
    select ${selectServer({ sql })} from mcp_servers
     where id = ${id} and organization_id = ${organizationId} and status <> 'deleted'`;
  return rows[0] ?? null;
}

/** What a worker needs to call a server. Its secrets are sealed still. */
export interface McpEndpointRow
  extends Pick<McpServerFields, "name" | "url" | "auth_mode" | "api_key_sealed" | "headers_sealed"> {
  id: string;
  updated_at: Date;
}

/** The active ones among these, in their order. @throws RetryableError the database cannot be reached */
export async function readMcpEndpoints(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<McpEndpointRow[]> {
  const rows = await sql<McpEndpointRow[]>`
    select id, name, url, auth_mode, api_key_sealed, headers_sealed, updated_at from mcp_servers
     where organization_id = ${organizationId} and id = any(${[...ids]}::text[]) and status = 'active'`.catch(
    (error) => {
      throw asRetryable(error);
    },
  );
  return rows.toSorted((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id));
}

export async function mcpServerIdOfName(
  { sql }: Db,
  organizationId: string,
  name: string,
): Promise<string | null> {
  const rows = await sql<{ id: string }[]>`
    select id from mcp_servers
     where organization_id = ${organizationId} and name = ${name} and status <> 'deleted'`;
  return rows[0]?.id ?? null;
}

/** The sealed headers by name, for those that stay as they are. */
export async function mcpHeaders(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<Record<string, string>> {
  const rows = await sql<{ headers_sealed: Record<string, string> }[]>`
    select headers_sealed from mcp_servers where id = ${id} and organization_id = ${organizationId}`;
  return rows[0]?.headers_sealed ?? {};
}

/** @returns null when the name is taken, or the organization has `serversMax` already */
export async function insertMcpServer(
  { sql }: Db,
  input: { organizationId: string; id: string; fields: McpServerFields; serversMax: number },
): Promise<McpServerRow | null> {
  const { fields } = input;
  const rows = await sql<McpServerRow[]>`
    insert into mcp_servers (id, organization_id, name, description, url, auth_mode, protocol_mode, api_key_sealed,
                             headers_sealed)
    select ${input.id}, ${input.organizationId}, ${fields.name}, ${fields.description}, ${fields.url},
           ${fields.auth_mode}, ${fields.protocol_mode}, ${fields.api_key_sealed},
           ${toJsonText(fields.headers_sealed)}::text::jsonb
     where (select count(*) from mcp_servers
             where organization_id = ${input.organizationId} and status <> 'deleted') < ${input.serversMax}
    on conflict (organization_id, name) where status <> 'deleted' do nothing
    returning ${selectServer({ sql })}`;
  return rows[0] ?? null;
}

/** Changes what is given; undefined stays. A deleted server keeps no secret. `onlyIf`: of another status, it is not found. */
export async function updateMcpServer(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: { [K in keyof McpServerFields]?: McpServerFields[K] | undefined } & {
      status?: McpServerRow["status"] | undefined;
    };
    onlyIf?: McpServerRow["status"];
  },
): Promise<McpServerWritten> {
  const { status } = input.changes;
  const gone = status === "deleted" ? { api_key_sealed: null, headers_sealed: {} } : {};
  const set = assignments(sql, { ...input.changes, ...gone }, { headers_sealed: "json" });
  try {
    const rows = await sql<McpServerRow[]>`
      update mcp_servers
         set updated_at = now()${statusStamps(sql, status)}${set === null ? sql`` : sql`, ${set}`}
       where id = ${input.id} and organization_id = ${input.organizationId} and status <> 'deleted'
         and status = coalesce(${input.onlyIf ?? null}, status)
      returning ${selectServer({ sql })}`;
    return rows[0] ? { outcome: "written", server: rows[0] } : { outcome: "not_found" };
  } catch (error) {
    if (isUniqueViolation(error)) return { outcome: "name_taken" };
    throw error;
  }
}
