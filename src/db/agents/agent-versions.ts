/** Versions of agents. Who makes one locks the agent's row: numbers are given out one after the other. */
import { newId } from "../../base/id.ts";
import { toJsonText } from "../../base/json.ts";
import type { ChangeKind } from "../../contract/agent-version.ts";
import { assignments } from "../assign.ts";
import type { Db, Sql, TransactionSql } from "../pool.ts";
import type { Slice } from "../search.ts";
import { transaction } from "../tx.ts";
import {
  AGENT_COLUMNS,
  AGENT_JSON_COLUMNS,
  type AgentFields,
  type AgentRow,
  type AgentWritten,
  isNameTaken,
} from "./agents.ts";

/** What a version keeps of an agent. */
export interface Snapshot {
  authored: AgentFields;
  resolved: Record<string, unknown>;
  hash: string;
}

export interface VersionRow {
  id: string;
  agent_id: string;
  version_number: number;
  semver_major: number;
  semver_minor: number;
  semver_patch: number;
  change_kind: ChangeKind;
  config_hash: string;
  authored_config: AgentFields;
  resolved_config: Record<string, unknown>;
  summary: string | null;
  parent_version_id: string | null;
  source_version_id: string | null;
  created_by_principal_id: string | null;
  created_at: Date;
  is_published: boolean;
}

const COLUMNS = [
  "id",
  "agent_id",
  "version_number",
  "semver_major",
  "semver_minor",
  "semver_patch",
  "change_kind",
  "config_hash",
  "authored_config",
  "resolved_config",
  "summary",
  "parent_version_id",
  "source_version_id",
  "created_by_principal_id",
  "created_at",
] as const;

const isPublished = (sql: Sql | TransactionSql) => sql`
  exists (select from agents a
           where a.id = agent_versions.agent_id and a.default_version_id = agent_versions.id) as is_published`;

/** Newest first. */
export async function listVersions(
  { sql }: Db,
  input: { organizationId: string; agentId: string } & Slice,
): Promise<VersionRow[]> {
  return await sql<VersionRow[]>`
    select ${sql(COLUMNS)}, ${isPublished(sql)} from agent_versions
     where agent_id = ${input.agentId} and organization_id = ${input.organizationId}
     order by version_number desc
     limit ${input.limit} offset ${input.offset}`;
}

/** @param agentId  null: of whichever agent */
export async function findVersion(
  { sql }: Db,
  input: { organizationId: string; agentId: string | null; id: string },
): Promise<VersionRow | null> {
  const rows = await sql<VersionRow[]>`
    select ${sql(COLUMNS)}, ${isPublished(sql)} from agent_versions
     where id = ${input.id} and organization_id = ${input.organizationId}
       and ${input.agentId === null ? sql`true` : sql`agent_id = ${input.agentId}`}`;
  return rows[0] ?? null;
}

export interface NewVersion {
  organizationId: string;
  agentId: string;
  principalId: string;
  kind: ChangeKind;
  summary: string | null;
  sourceVersionId?: string;
  /** What to keep of the agent as it is under the lock. */
  snapshot(agent: AgentRow): Promise<Snapshot>;
}

/**
 * Makes a version of the agent as it is.
 *
 * @returns the newest version instead, when `kind` is `auto` and nothing changed since; null when there is no such agent
 */
export async function createVersion(db: Db, input: NewVersion): Promise<VersionRow | null> {
  return transaction(db, async (sql) => {
    const agent = await lockAgent(sql, input);
    return agent && insertVersion(sql, agent, input);
  });
}

/**
 * Puts the agent back to what a version says, its name excepted.
 *
 * @param input.save  the agent as it was (when no version has it), and as it is then, become versions
 */
export async function rollBack(
  db: Db,
  input: Omit<NewVersion, "kind"> & { sourceVersionId: string; fields: Partial<AgentFields>; save: boolean },
): Promise<AgentRow | null> {
  return transaction(db, async (sql) => {
    const before = await lockAgent(sql, input);
    if (!before) return null;
    const { sourceVersionId: _, ...plain } = input;
    if (input.save) await insertVersion(sql, before, { ...plain, kind: "auto", summary: null });
    const set = assignments(sql as never, { ...input.fields }, AGENT_JSON_COLUMNS);
    const [agent] = await sql<AgentRow[]>`
      update agents set updated_at = now()${set === null ? sql`` : sql`, ${set}`}
       where id = ${before.id}
      returning ${sql(AGENT_COLUMNS)}`;
    if (!agent) throw new Error(`${before.id}: locked, and gone`);
    if (input.save) await insertVersion(sql, agent, { ...input, kind: "rollback" });
    return agent;
  });
}

/** Makes an agent of a version, and the agent's first version. */
export async function forkVersion(
  db: Db,
  input: Omit<NewVersion, "agentId" | "kind"> & { source: VersionRow; fields: AgentFields },
): Promise<AgentWritten> {
  const { fields, source } = input;
  try {
    return await transaction(db, async (sql) => {
      const [agent] = await sql<AgentRow[]>`
        insert into agents (id, organization_id, harness_id, name, display_name, description, system_prompt,
                            default_model_id, capabilities, tools, initial_files, mcp_servers, network_access,
                            parallel_tool_calls, default_delivery, max_iterations, tags, forked_from_agent_id,
                            forked_from_version_id, root_agent_id)
        select ${newId("agent")}, ${input.organizationId}, p.harness_id, p.name, p.display_name, p.description,
               p.system_prompt, p.default_model_id, p.capabilities, p.tools, p.initial_files, p.mcp_servers,
               p.network_access, p.parallel_tool_calls, p.default_delivery, p.max_iterations, p.tags, a.id,
               ${source.id}, coalesce(a.root_agent_id, a.id)
          from agents a, jsonb_populate_record(null::agents, ${toJsonText(fields)}::text::jsonb) p
         where a.id = ${source.agent_id}
        returning ${sql(AGENT_COLUMNS)}`;
      if (!agent) return { outcome: "not_found" as const };
      await insertVersion(sql, agent, { ...input, kind: "fork", sourceVersionId: source.id });
      return { outcome: "created" as const, agent };
    });
  } catch (error) {
    if (isNameTaken(error)) return { outcome: "name_taken" };
    throw error;
  }
}

/** @param versionId  of this agent; null: new sessions use the agent as it is */
export async function setDefaultVersion(
  { sql }: Db,
  input: { organizationId: string; agentId: string; versionId: string | null },
): Promise<AgentRow | null> {
  const rows = await sql<AgentRow[]>`
    update agents set default_version_id = ${input.versionId}, updated_at = now()
     where id = ${input.agentId} and organization_id = ${input.organizationId} and status <> 'deleted'
    returning ${sql(AGENT_COLUMNS)}`;
  return rows[0] ?? null;
}

/**
 * The agent as new sessions use it: as its default version says, or as it is when it has none. Name and state are
 * always the agent's own.
 */
export async function agentForSession(db: Db, organizationId: string, agent: AgentRow): Promise<AgentRow> {
  if (agent.default_version_id === null) return agent;
  const version = await findVersion(db, { organizationId, agentId: agent.id, id: agent.default_version_id });
  return version ? { ...agent, ...version.authored_config, name: agent.name } : agent;
}

async function lockAgent(
  sql: TransactionSql,
  { organizationId, agentId }: { organizationId: string; agentId: string },
): Promise<AgentRow | null> {
  const rows = await sql<AgentRow[]>`
    select ${sql(AGENT_COLUMNS)} from agents
     where id = ${agentId} and organization_id = ${organizationId} and status <> 'deleted'
       for no key update`;
  return rows[0] ?? null;
}

/** The agent's row must be locked. */
async function insertVersion(
  sql: TransactionSql,
  agent: AgentRow,
  input: Omit<NewVersion, "agentId">,
): Promise<VersionRow> {
  const { authored, resolved, hash } = await input.snapshot(agent);
  const authoredText = toJsonText(authored);
  const [newest] = await sql<(VersionRow & { is_same: boolean })[]>`
    select ${sql(COLUMNS)}, ${isPublished(sql)},
           config_hash = ${hash} and authored_config = ${authoredText}::text::jsonb as is_same
      from agent_versions
     where agent_id = ${agent.id}
     order by version_number desc
     limit 1`;
  if (newest?.is_same && input.kind === "auto") {
    const { is_same: _, ...version } = newest;
    return version;
  }
  const { major, minor, patch } = nextSemver(newest ?? null, input.kind);
  const [version] = await sql<VersionRow[]>`
    insert into agent_versions (id, organization_id, agent_id, version_number, semver_major, semver_minor, semver_patch,
                                change_kind, config_hash, authored_config, resolved_config, summary, parent_version_id,
                                source_version_id, created_by_principal_id)
    values (${newId("agentver")}, ${input.organizationId}, ${agent.id}, ${(newest?.version_number ?? 0) + 1},
            ${major}, ${minor}, ${patch}, ${input.kind}, ${hash}, ${authoredText}::text::jsonb,
            ${toJsonText(resolved)}::text::jsonb, ${input.summary}, ${newest?.id ?? null},
            ${input.sourceVersionId ?? null}, ${input.principalId})
    returning ${sql(COLUMNS)}, false as is_published`;
  return version as VersionRow;
}

/** The first is 1.0.0; after that `major` and `minor` count what they say, every other kind is a patch. */
function nextSemver(newest: VersionRow | null, kind: ChangeKind) {
  if (newest === null) return { major: 1, minor: 0, patch: 0 };
  const { semver_major: major, semver_minor: minor, semver_patch: patch } = newest;
  if (kind === "major") return { major: major + 1, minor: 0, patch: 0 };
  if (kind === "minor") return { major, minor: minor + 1, patch: 0 };
  return { major, minor, patch: patch + 1 };
}
