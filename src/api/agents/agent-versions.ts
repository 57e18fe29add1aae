/** Versions of agents: made, compared, put back, forked, and chosen for new sessions. */
import { UserError } from "../../base/errors.ts";
import { sortKeys } from "../../base/json.ts";
import { AgentWithUrls, type UpdateAgentRequest } from "../../contract/agent.ts";
import {
  AgentVersion,
  AgentVersionDiffResponse,
  CreateAgentVersionRequest,
  type FieldChanges,
  ForkAgentVersionRequest,
  RollbackAgentVersionRequest,
  SetDefaultAgentVersionRequest,
} from "../../contract/agent-version.ts";
import { limits } from "../../contract/limits.ts";
import { Type } from "../../contract/schema.ts";
import {
  createVersion,
  findVersion,
  forkVersion,
  listVersions,
  rollBack,
  setDefaultVersion,
  type VersionRow,
} from "../../db/agents/agent-versions.ts";
import type { AgentFields, AgentRow } from "../../db/agents/agents.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, PageQuery, present, reply } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { snapshotOf } from "./agent-config.ts";
import { readChanges } from "./agent-input.ts";
import { agentReply, agentWithUrls, noAgent, requireAgent } from "./agent-wire.ts";
import { requireBytes, requireName } from "./layer.ts";

export function agentVersionRoutes(deps: Pick<ApiDeps, "db" | "capabilities" | "caps">): Route[] {
  const { db, caps } = deps;
  const snapshot = (organizationId: string) => (agent: AgentRow) => snapshotOf(deps, organizationId, agent);

  const existing = async (organizationId: string, agentRef: string, versionId: string) => {
    const agent = await requireAgent(db, organizationId, agentRef);
    const id = pathId("agentver", versionId);
    const version = await findVersion(db, { organizationId, agentId: agent.id, id });
    if (!version) throw new UserError("not_found", `the agent ${agent.name} has no version ${id}`);
    return { agent, version };
  };

  return [
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/versions",
      operationId: "list_agent_versions",
      tag: "agents",
      summary: "The versions of an agent, newest first",
      description: "A bare array.",
      query: Type.Object({
        ...PageQuery,
        limit: Type.Optional({ ...PageQuery.limit, default: limits.pageSizeMax }),
      }),
      responses: { 200: Type.Array(AgentVersion) },
      problems: ["invalid_id", "not_found"],
      async run({ params, query, caller: { organizationId } }) {
        const agent = await requireAgent(db, organizationId, params.agent_id);
        const rows = await listVersions(db, {
          organizationId,
          agentId: agent.id,
          offset: query.offset ?? 0,
          limit: query.limit ?? limits.pageSizeMax,
        });
        return reply(200, rows.map(versionToWire));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/versions",
      operationId: "create_agent_version",
      tag: "agents",
      summary: "Keep the agent as it is now as a version",
      description:
        "Versions are made by this, by a fork and by a rollback that asks for it; changing an agent makes none. The " +
        "first is 1.0.0. `major` and `minor` count up what they say, every other kind the patch. `auto` makes one " +
        "only when something changed since the newest, which it answers with otherwise. Two requests at once get two " +
        "numbers.",
      body: CreateAgentVersionRequest,
      isBodyOptional: true,
      responses: { 200: AgentVersion },
      problems: ["invalid_id", "not_found", "limit_exceeded"],
      async run({ params, body, caller: { organizationId, principalId } }) {
        const agent = await requireAgent(db, organizationId, params.agent_id);
        const version = await createVersion(db, {
          organizationId,
          agentId: agent.id,
          principalId,
          kind: body?.change_kind ?? "manual",
          summary: body?.summary ?? null,
          snapshot: snapshot(organizationId),
        });
        if (!version) throw noAgent();
        return reply(200, versionToWire(version));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/versions/default",
      operationId: "set_default_agent_version",
      tag: "agents",
      summary: "Choose the version that new sessions use",
      description:
        "Sessions that are started from then on run the version's own fields in every turn, whatever becomes of the " +
        "agent, and say so in `agent_version_id`; the harness is not frozen with them. Sessions that exist stay as " +
        "they are. null: new sessions use the agent as it is at each turn.",
      body: SetDefaultAgentVersionRequest,
      responses: { 200: AgentWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, body, caller: { organizationId } }) {
        const { version_id: versionId } = body;
        const { id: agentId } =
          versionId === null
            ? await requireAgent(db, organizationId, params.agent_id)
            : (await existing(organizationId, params.agent_id, versionId)).agent;
        const agent = await setDefaultVersion(db, { organizationId, agentId, versionId });
        if (!agent) throw noAgent();
        return reply(200, agentWithUrls(agent));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/versions/{from_version_id}/diff/{to_version_id}",
      operationId: "diff_agent_versions",
      tag: "agents",
      summary: "What differs between two versions of an agent",
      description: "By field: `from` and `to`, each left out when its version has no such field.",
      responses: { 200: AgentVersionDiffResponse },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const [{ version: from }, { version: to }] = await Promise.all([
          existing(organizationId, params.agent_id, params.from_version_id),
          existing(organizationId, params.agent_id, params.to_version_id),
        ]);
        return reply(200, {
          from_version_id: from.id,
          to_version_id: to.id,
          authored_diff: changesBetween(
            authoredToWire(from.authored_config),
            authoredToWire(to.authored_config),
          ),
          resolved_diff: changesBetween(from.resolved_config, to.resolved_config),
        });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/versions/{version_id}/rollback",
      operationId: "rollback_agent_version",
      tag: "agents",
      summary: "Put an agent back to a version",
      description:
        "All of its fields but the name; refused when the version names a model, a harness or a capability that is not " +
        "there any more. With `save_version` the agent as it was (unless the newest version is just that) and as it " +
        "is then become versions. The default version stays what it was.",
      body: RollbackAgentVersionRequest,
      isBodyOptional: true,
      responses: { 200: AgentWithUrls },
      problems: ["invalid_id", "not_found", "limit_exceeded"],
      async run({ params, body, caller }) {
        const { organizationId, principalId } = caller;
        const { agent, version } = await existing(organizationId, params.agent_id, params.version_id);
        const changed = await rollBack(db, {
          organizationId,
          agentId: agent.id,
          principalId,
          sourceVersionId: version.id,
          summary: body?.summary ?? null,
          fields: await readChanges(deps, caller, requestOf(version.authored_config)),
          save: body?.save_version ?? false,
          snapshot: snapshot(organizationId),
        });
        if (!changed) throw noAgent();
        return reply(200, agentWithUrls(changed));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/versions/{version_id}/fork",
      operationId: "fork_agent_version",
      tag: "agents",
      summary: "Make an agent of a version",
      description: "With the version's fields and a first version of its own. Its name must be free.",
      body: ForkAgentVersionRequest,
      responses: { 200: AgentWithUrls },
      problems: ["invalid_id", "invalid_name", "not_found", "name_taken", "limit_exceeded", "conflict"],
      async run({ params, body, caller }) {
        const { organizationId, principalId } = caller;
        const { version } = await existing(organizationId, params.agent_id, params.version_id);
        await caps.admitAgent(organizationId, null);
        requireBytes("description", body.description, limits.descriptionBytesMax);
        const kept = {
          ...version.authored_config,
          ...(await readChanges(deps, caller, requestOf(version.authored_config))),
        };
        const fields: AgentFields = {
          ...kept,
          name: requireName(body.name),
          display_name: body.display_name === undefined ? kept.display_name : body.display_name,
          description: body.description === undefined ? kept.description : body.description,
        };
        const result = await forkVersion(db, {
          organizationId,
          principalId,
          source: version,
          fields,
          summary: null,
          snapshot: snapshot(organizationId),
        });
        const { body: fork } = await agentReply(db, result, organizationId, fields.name);
        return reply(200, fork);
      },
    }),
  ];
}

/** As a request that changes the agent to it; the name is left alone. */
function requestOf({ name: _, mcp_servers: mcpServers, ...fields }: AgentFields): UpdateAgentRequest {
  return { ...fields, mcpServers };
}

function versionToWire(row: VersionRow): AgentVersion {
  const { semver_major: major, semver_minor: minor, semver_patch: patch } = row;
  return present({
    ...row,
    version: `${major}.${minor}.${patch}`,
    authored_config: authoredToWire(row.authored_config),
    created_at: iso(row.created_at),
  });
}

const authoredToWire = ({ mcp_servers: mcpServers, ...fields }: AgentFields) =>
  present({ ...fields, mcpServers });

function changesBetween(from: Record<string, unknown>, to: Record<string, unknown>): FieldChanges {
  const names = [...new Set([...Object.keys(from), ...Object.keys(to)])].sort();
  const text = (value: unknown) => JSON.stringify(sortKeys(value));
  const changes = names.flatMap((name) => {
    if (text(from[name]) === text(to[name])) return [];
    const sides = {
      ...(name in from ? { from: from[name] } : {}),
      ...(name in to ? { to: to[name] } : {}),
    };
    return [[name, sides] as const];
  });
  return Object.fromEntries(changes);
}
