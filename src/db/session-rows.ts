import { newEventIdHead } from "../base/id.ts";
import { toJsonText } from "../base/json.ts";
import type {
  CapabilityConfig,
  InitialFile,
  McpServers,
  NetworkAccessList,
  ToolDefinition,
} from "../contract/common.ts";
import type { Delivery } from "../contract/message.ts";
import type { SessionStatsResponse } from "../contract/session.ts";
import { assignments } from "./assign.ts";
import type { Db } from "./pool.ts";
import { type Page, type Slice, searchPatterns } from "./search.ts";

/** What is decided when a session is created. */
export interface SessionFields {
  harness_id: string;
  agent_id: string | null;
  workspace_id: string;
  owner_principal_id: string;
  title: string | null;
  locale: string | null;
  model_id: string | null;
  system_prompt: string | null;
  capabilities: CapabilityConfig[];
  tools: ToolDefinition[];
  initial_files: InitialFile[];
  mcp_servers: McpServers;
  network_access: NetworkAccessList | null;
  hints: Record<string, unknown> | null;
  parallel_tool_calls: boolean | null;
  default_delivery: Delivery | null;
  max_iterations: number | null;
  tags: string[];
}

export interface SessionRow extends SessionFields {
  id: string;
  organization_id: string;
  /** Both null when the session is no fork. */
  forked_from_session_id: string | null;
  forked_from_sequence: number | null;
  is_pinned: boolean;
  status: "started" | "active" | "idle" | "waitingfortoolresults" | "paused";
  preview: string | null;
  output_preview: string | null;
  input_tokens: number;
  output_tokens: number;
  cache_read_tokens: number;
  cache_creation_tokens: number;
  cost_usd: number;
  started_at: Date | null;
  created_at: Date;
  updated_at: Date;
}

export const SESSION_COLUMNS = [
  "id",
  "organization_id",
  "harness_id",
  "agent_id",
  "workspace_id",
  "owner_principal_id",
  "title",
  "locale",
  "model_id",
  "system_prompt",
  "capabilities",
  "tools",
  "initial_files",
  "mcp_servers",
  "network_access",
  "hints",
  "parallel_tool_calls",
  "default_delivery",
  "max_iterations",
  "tags",
  "forked_from_session_id",
  "forked_from_sequence",
  "is_pinned",
  "status",
  "preview",
  "output_preview",
  "input_tokens",
  "output_tokens",
  "cache_read_tokens",
  "cache_creation_tokens",
  "cost_usd",
  "started_at",
  "created_at",
  "updated_at",
] as const;

/** Creates the session and, in the same statement, its first event. */
export async function createSession(
  { sql }: Db,
  input: { organizationId: string; id: string; fields: SessionFields },
): Promise<SessionRow> {
  const { fields } = input;
  const started = {
    harness_id: fields.harness_id,
    ...(fields.agent_id === null ? {} : { agent_id: fields.agent_id }),
    ...(fields.model_id === null ? {} : { model_id: fields.model_id }),
  };
  const json = (value: unknown) => (value === null ? sql`null` : sql`${toJsonText(value)}::text::jsonb`);
  const rows = await sql<SessionRow[]>`
    with session as (
      insert into sessions (id, organization_id, harness_id, agent_id, workspace_id, owner_principal_id, title, locale,
                            model_id, system_prompt, capabilities, tools, initial_files, mcp_servers, network_access,
                            hints, parallel_tool_calls, default_delivery, max_iterations, tags, last_sequence)
      values (${input.id}, ${input.organizationId}, ${fields.harness_id}, ${fields.agent_id}, ${fields.workspace_id},
              ${fields.owner_principal_id}, ${fields.title}, ${fields.locale}, ${fields.model_id},
              ${fields.system_prompt}, ${json(fields.capabilities)}, ${json(fields.tools)},
              ${json(fields.initial_files)}, ${json(fields.mcp_servers)}, ${json(fields.network_access)},
              ${json(fields.hints)}, ${fields.parallel_tool_calls}, ${fields.default_delivery}, ${fields.max_iterations},
              ${fields.tags}::text[], 1)
      returning ${sql(SESSION_COLUMNS)}
    ), logged as (
      insert into events (session_id, sequence, id, type, data)
      select id, 1, ${newEventIdHead()} || lpad(to_hex(1), 10, '0'), 'session.started',
             ${toJsonText(started)}::text::jsonb
        from session
    )
    select ${sql(SESSION_COLUMNS)} from session`;
  return rows[0] as SessionRow;
}

/** Newest first. `search` looks at the title. */
export async function listSessions(
  { sql }: Db,
  input: { organizationId: string; agentId: string | null; search: string | null } & Slice,
): Promise<Page<SessionRow>> {
  const wanted = sql`
    organization_id = ${input.organizationId} and deleted_at is null
    and ${input.agentId === null ? sql`true` : sql`agent_id = ${input.agentId}`}
    and coalesce(title, '') ilike all (${searchPatterns(input.search)}::text[])`;
  const [rows, counted] = await Promise.all([
    sql<SessionRow[]>`
      select ${sql(SESSION_COLUMNS)} from sessions
       where ${wanted}
       order by created_at desc, id desc
       limit ${input.limit} offset ${input.offset}`,
    sql<{ total: number }[]>`select count(*) as total from sessions where ${wanted}`,
  ]);
  return { rows, total: counted[0]?.total ?? 0 };
}

export async function findSession(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<SessionRow | null> {
  const rows = await sql<SessionRow[]>`
    select ${sql(SESSION_COLUMNS)} from sessions
     where id = ${id} and organization_id = ${organizationId} and deleted_at is null`;
  return rows[0] ?? null;
}

/** Changes what may change after creation; undefined stays. */
export async function updateSession(
  { sql }: Db,
  input: {
    organizationId: string;
    id: string;
    changes: {
      title?: string | null | undefined;
      locale?: string | null | undefined;
      tags?: string[] | undefined;
      is_pinned?: boolean | undefined;
    };
  },
): Promise<SessionRow | null> {
  const set = assignments(sql, input.changes, { tags: "text[]" });
  const rows = await sql<SessionRow[]>`
    update sessions
       set ${set === null ? sql`updated_at = updated_at` : sql`${set}, updated_at = now()`}
     where id = ${input.id} and organization_id = ${input.organizationId} and deleted_at is null
    returning ${sql(SESSION_COLUMNS)}`;
  return rows[0] ?? null;
}

/**
 * A session at rest is gone for every reader; its rows stay until `retention.ts` removes them. One with a turn under
 * way is left alone.
 */
export async function deleteSession(
  { sql }: Db,
  organizationId: string,
  id: string,
): Promise<"deleted" | "busy" | "not_found"> {
  const rows = await sql<{ is_deleted: boolean }[]>`
    with session as materialized (
      select id, active_run_id from sessions
       where id = ${id} and organization_id = ${organizationId} and deleted_at is null
         for no key update
    ), deleted as (
      update sessions set deleted_at = now(), updated_at = now()
        from session where sessions.id = session.id and session.active_run_id is null
      returning sessions.id
    )
    select deleted.id is not null as is_deleted from session left join deleted on true`;
  const row = rows[0];
  if (!row) return "not_found";
  return row.is_deleted ? "deleted" : "busy";
}

export async function sessionStats({ sql }: Db, organizationId: string): Promise<SessionStatsResponse> {
  const rows = await sql<SessionStatsResponse[]>`
    select count(*) as total,
           count(*) filter (where status = 'started') as started,
           count(*) filter (where status = 'active') as active,
           count(*) filter (where status in ('idle', 'paused')) as idle,
           count(*) filter (where status = 'waitingfortoolresults') as waiting_for_tool_results
      from sessions
     where organization_id = ${organizationId} and deleted_at is null`;
  return rows[0] as SessionStatsResponse;
}

/** True when a session of the organization has this workspace. */
export async function workspaceExists(
  { sql }: Db,
  organizationId: string,
  workspaceId: string,
): Promise<boolean> {
  const rows = await sql`
    select from sessions
     where organization_id = ${organizationId} and workspace_id = ${workspaceId} and deleted_at is null limit 1`;
  return rows.length > 0;
}

/** The capabilities of several agents, by agent id. */
export async function capabilitiesOfAgents(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, CapabilityConfig[]>> {
  const rows = await sql<{ id: string; capabilities: CapabilityConfig[] }[]>`
    select id, capabilities from agents
     where id = any(${[...ids]}::text[]) and organization_id = ${organizationId}`;
  return new Map(rows.map((row) => [row.id, row.capabilities]));
}
