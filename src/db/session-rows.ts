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
import { hasSession } from "./files/trees.ts";
import type { Db } from "./pool.ts";
import { type Page, type Slice, searchPatterns } from "./search.ts";
import { transaction } from "./tx.ts";

/** What is decided when a session is created. */
export interface SessionFields {
  harness_id: string;
  agent_id: string | null;
  /** The version of the agent that every turn runs; null: the agent as it is then. */
  agent_version_id: string | null;
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
  /** Of a subagent: the sessions that handed its work down, from the top; null for others. */
  parent_ids: string[] | null;
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
  "agent_version_id",
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
  "parent_ids",
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

/** The workspace that a session has unless it shares another's: of the same hex. */
export const ownWorkspaceId = (sessionId: string) => `wsp_${sessionId.slice("session_".length)}`;

/**
 * Creates the session and, in the same statement, its first event and its workspace.
 *
 * @returns null when the workspace that it was to share is not there any more, or is archived
 */
export async function createSession(
  { sql }: Db,
  input: { organizationId: string; id: string; fields: SessionFields },
): Promise<SessionRow | null> {
  const { fields } = input;
  const started = {
    harness_id: fields.harness_id,
    ...(fields.agent_id === null ? {} : { agent_id: fields.agent_id }),
    ...(fields.model_id === null ? {} : { model_id: fields.model_id }),
  };
  const json = (value: unknown) =>
    value === null ? sql`null::jsonb` : sql`${toJsonText(value)}::text::jsonb`;
  // A shared one is held: who deletes it waits, and then sees this session.
  const workspace =
    fields.workspace_id === ownWorkspaceId(input.id)
      ? sql`
      insert into file_trees (id, organization_id, kind, name, is_session_default, files_version, size_bytes, entry_count)
      values (${fields.workspace_id}, ${input.organizationId}, 'workspace',
              ${`session-${input.id.slice("session_".length)}`}, true, 1, 0, 0)
      on conflict (id) do update set status = 'active' where file_trees.status = 'starting'
      returning id`
      : sql`
      select id from file_trees
       where id = ${fields.workspace_id} and organization_id = ${input.organizationId} and kind = 'workspace'
         and status = 'active'
         for key share`;
  const rows = await sql<SessionRow[]>`
    with workspace as materialized (${workspace}), session as (
      insert into sessions (id, organization_id, harness_id, agent_id, agent_version_id, workspace_id, owner_principal_id, title, locale,
                            model_id, system_prompt, capabilities, tools, initial_files, mcp_servers, network_access,
                            hints, parallel_tool_calls, default_delivery, max_iterations, tags, last_sequence)
      select ${input.id}, ${input.organizationId}, ${fields.harness_id}, ${fields.agent_id},
             ${fields.agent_version_id}, workspace.id,
             ${fields.owner_principal_id}, ${fields.title}, ${fields.locale}, ${fields.model_id},
             ${fields.system_prompt}, ${json(fields.capabilities)}, ${json(fields.tools)},
             ${json(fields.initial_files)}, ${json(fields.mcp_servers)}, ${json(fields.network_access)},
             ${json(fields.hints)}, ${fields.parallel_tool_calls}::boolean, ${fields.default_delivery},
             ${fields.max_iterations}::integer, ${fields.tags}::text[], 1
        from workspace
      returning ${sql(SESSION_COLUMNS)}
    ), logged as (
      insert into events (session_id, sequence, id, type, data)
      select id, 1, ${newEventIdHead()} || lpad(to_hex(1), 10, '0'), 'session.started',
             ${toJsonText(started)}::text::jsonb
        from session
    )
    select ${sql(SESSION_COLUMNS)} from session`;
  return rows[0] ?? null;
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

export interface SessionChanges {
  title?: string | null | undefined;
  locale?: string | null | undefined;
  tags?: string[] | undefined;
  is_pinned?: boolean | undefined;
}

/** Changes what may change after creation; undefined stays. Another title is an event of the log. */
export async function updateSession(
  { sql }: Db,
  input: { organizationId: string; id: string; changes: SessionChanges },
): Promise<{ session: SessionRow; isRetitled: boolean } | null> {
  const set = assignments(sql, { ...input.changes }, { tags: "text[]" });
  const { title } = input.changes;
  const isRetitled = title === undefined ? sql`false` : sql`title is distinct from ${title}`;
  const columns = sql(SESSION_COLUMNS.map((column) => `sessions.${column}`));
  const rows = await sql<(SessionRow & { is_retitled: boolean })[]>`
    with before as materialized (
      select id, last_sequence, ${isRetitled} as is_retitled from sessions
       where id = ${input.id} and organization_id = ${input.organizationId} and deleted_at is null
         for no key update
    ), changed as (
      update sessions
         set ${set === null ? sql`updated_at = sessions.updated_at` : sql`${set}, updated_at = now()`},
             last_sequence = before.last_sequence + before.is_retitled::int
        from before where sessions.id = before.id
      returning ${columns}, before.is_retitled
    ), logged as (
      insert into events (session_id, sequence, id, type, data)
      select id, last_sequence + 1, ${newEventIdHead()} || lpad(to_hex(last_sequence + 1), 10, '0'),
             'session.title.updated', ${toJsonText(title == null ? {} : { title })}::text::jsonb
        from before where is_retitled
    )
    select * from changed`;
  const row = rows[0];
  if (!row) return null;
  const { is_retitled, ...session } = row;
  return { session, isRetitled: is_retitled };
}

/**
 * A session at rest is gone for every reader, and with it the workspace that was made for it, unless another session
 * has that, too; the rows stay until `retention.ts` removes them. A session with a turn under way is left alone.
 */
export async function deleteSession(
  db: Db,
  organizationId: string,
  id: string,
): Promise<"deleted" | "busy" | "not_found"> {
  return transaction(db, async (sql) => {
    const [session] = await sql<{ active_run_id: string | null; workspace_id: string }[]>`
      select active_run_id, workspace_id from sessions
       where id = ${id} and organization_id = ${organizationId} and deleted_at is null
         for no key update`;
    if (!session) return "not_found";
    if (session.active_run_id !== null) return "busy";
    await sql`update sessions set deleted_at = now(), updated_at = now() where id = ${id}`;
    // Held before anybody is counted: who makes a session with the workspace has committed by then, or waits.
    await sql`select from file_trees where id = ${session.workspace_id} for update`;
    await sql`
      update file_trees t
         set status = 'deleted', deleted_at = now(), archived_at = null, updated_at = now()
       where t.id = ${session.workspace_id} and t.is_session_default and t.status <> 'deleted'
         and not ${hasSession(sql)}`;
    return "deleted";
  });
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

/** The capabilities of several agents and of versions of agents, by id. */
export async function capabilitiesOfAgents(
  { sql }: Db,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, CapabilityConfig[]>> {
  const rows = await sql<{ id: string; capabilities: CapabilityConfig[] }[]>`
    select id, capabilities from agents
     where id = any(${[...ids]}::text[]) and organization_id = ${organizationId}
    union all
    select id, authored_config -> 'capabilities' from agent_versions
     where id = any(${[...ids]}::text[]) and organization_id = ${organizationId}`;
  return new Map(rows.map((row) => [row.id, row.capabilities]));
}
