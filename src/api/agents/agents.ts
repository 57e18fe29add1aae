import { UserError } from "../../base/errors.ts";
import { isId } from "../../base/id.ts";
import {
  AgentWithCounts,
  AgentWithUrls,
  CheckAgentNameResponse,
  CreateAgentRequest,
  UpdateAgentRequest,
} from "../../contract/agent.ts";
import { ResourceConfigResponse, ResourceStats } from "../../contract/common.ts";
import { List, Type } from "../../contract/schema.ts";
import {
  type AgentWritten,
  agentIdOfName,
  applyAgent,
  destroyAgent,
  insertCopy,
  listAgents,
  readAgent,
  updateAgent,
} from "../../db/agents/agents.ts";
import { resourceStats } from "../../db/agents/stats.ts";
import type { ApiDeps } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import { pathId } from "../http/path-id.ts";
import {
  ArchivableQuery,
  archivableFilter,
  created,
  notArchived,
  PageQuery,
  page,
  reply,
  sliceOf,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { agentRef, readChanges, readFields } from "./agent-input.ts";
import { agentReply, agentWithCounts, agentWithUrls, noAgent, requireAgent } from "./agent-wire.ts";
import { copyNames } from "./copy-names.ts";
import { requireName } from "./layer.ts";
import { statsToWire } from "./stats.ts";

const AgentPage = Type.Intersect([
  List(AgentWithCounts),
  Type.Object({ agents: Type.Array(AgentWithCounts) }),
]);
const CREATE_PROBLEMS = [
  "invalid_id",
  "invalid_name",
  "limit_exceeded",
  "not_found",
  "name_taken",
  "conflict",
] as const;

export function agentRoutes(deps: Pick<ApiDeps, "db" | "capabilities" | "caps">): Route[] {
  const { db, caps } = deps;

  const existing = (organizationId: string, idOrName: string) => requireAgent(db, organizationId, idOrName);

  const written = (result: AgentWritten, organizationId: string, name: string) =>
    agentReply(db, result, organizationId, name);

  const apply = async (input: Parameters<typeof applyAgent>[1]) => {
    const { organizationId, id, fields } = input;
    await caps.admitAgent(organizationId, { id, name: fields.name });
    return written(await applyAgent(db, input), organizationId, fields.name);
  };

  return [
    defineRoute({
      method: "GET",
      path: "/agents",
      operationId: "list_agents",
      tag: "agents",
      summary: "List agents, newest first",
      query: Type.Object({
        ...ArchivableQuery,
        ...PageQuery,
      }),
      responses: { 200: AgentPage },
      async run({ query, caller, request }) {
        const slice = sliceOf(query);
        const { rows, total } = await listAgents(db, {
          organizationId: caller.organizationId,
          ...archivableFilter(query),
          ...slice,
        });
        const data = rows.map(agentWithCounts);
        return reply(200, { ...page(request, data, total, slice), agents: data });
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents",
      operationId: "create_agent",
      tag: "agents",
      summary: "Create an agent, or replace the one of this id or name",
      description:
        "With `id`, the agent of that id is replaced when it exists; without, the one of this name. 201 when it " +
        "was created, 200 when it was replaced. A replaced agent that was archived becomes active again.",
      body: CreateAgentRequest,
      responses: { 200: AgentWithUrls, 201: AgentWithUrls },
      problems: CREATE_PROBLEMS,
      async run({ body, caller }) {
        const { organizationId } = caller;
        const id = body.id == null ? null : pathId("agent", body.id);
        const fields = await readFields(deps, caller, body);
        return apply({ organizationId, id, fields });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/check-name",
      operationId: "check_agent_name",
      tag: "agents",
      summary: "Tell whether a name is free",
      query: Type.Object({ name: Type.String(), exclude_id: Type.Optional(Type.String()) }),
      responses: { 200: CheckAgentNameResponse },
      problems: ["invalid_name", "invalid_id"],
      async run({ query, caller }) {
        const name = requireName(query.name);
        const exclude = query.exclude_id === undefined ? null : pathId("agent", query.exclude_id);
        const holder = await agentIdOfName(db, caller.organizationId, name);
        return reply(200, { available: holder === null || holder === exclude });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/config",
      operationId: "agent_config",
      tag: "agents",
      summary: "What the caller may do with agents",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.canWrite, caller) }),
    }),
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}",
      operationId: "get_agent",
      tag: "agents",
      summary: "Read an agent by id or name",
      responses: { 200: AgentWithCounts },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller }) {
        const agent = await readAgent(db, caller.organizationId, agentRef(params.agent_id));
        if (!agent) throw noAgent();
        return reply(200, agentWithCounts(agent));
      },
    }),
    defineRoute({
      method: "PUT",
      path: "/agents/{agent_id}",
      operationId: "upsert_agent",
      tag: "agents",
      summary: "Create or replace the agent of this id or name",
      description:
        "By id the body's name may differ from the stored one; by name the agent of that name is replaced " +
        "(and renamed to the body's name) or created.",
      body: CreateAgentRequest,
      responses: { 200: AgentWithUrls, 201: AgentWithUrls },
      problems: CREATE_PROBLEMS,
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const ref = agentRef(params.agent_id);
        const fields = await readFields(deps, caller, body);
        if (isId("agent", ref)) {
          return apply({ organizationId, id: ref, fields });
        }
        const id = await agentIdOfName(db, organizationId, ref);
        if (id === null && fields.name !== ref) {
          throw new UserError(
            "invalid_request",
            `name: there is no agent ${ref} to rename to ${fields.name}`,
          );
        }
        return apply({ organizationId, id, fields });
      },
    }),
    defineRoute({
      method: "PATCH",
      path: "/agents/{agent_id}",
      operationId: "update_agent",
      tag: "agents",
      summary: "Change some fields of an agent",
      description:
        "Absent fields stay. Null empties a field that may be empty. `status` archives, deletes, or (with " +
        "`active`) takes an archived agent back.",
      body: UpdateAgentRequest,
      responses: { 200: AgentWithUrls },
      problems: CREATE_PROBLEMS,
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const agent = await existing(organizationId, params.agent_id);
        const changes = await readChanges(deps, caller, body);
        const result = await updateAgent(db, { organizationId, id: agent.id, changes });
        const { body: changed } = await written(result, organizationId, changes.name ?? agent.name);
        return reply(200, changed);
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/agents/{agent_id}",
      operationId: "delete_agent",
      tag: "agents",
      summary: "Archive an agent",
      description: 'Its sessions go on; new ones are refused. `PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const agent = await existing(organizationId, params.agent_id);
        const result = await updateAgent(db, {
          organizationId,
          id: agent.id,
          changes: { status: "archived" },
        });
        if (result.outcome === "not_found") throw noAgent();
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/delete",
      operationId: "destroy_agent",
      tag: "agents",
      summary: "Delete an archived agent for good",
      description:
        "It must be archived first. Its name is free again, its id is not; sessions that were started with it keep " +
        "their events and go on with its last configuration. Answers with the agent as it was.",
      responses: { 200: AgentWithUrls },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const { id, name } = await existing(organizationId, params.agent_id);
        const destroyed = await destroyAgent(db, organizationId, id);
        if (destroyed) return reply(200, agentWithUrls(destroyed));
        throw notArchived(`the agent ${name}`, `/agents/${id}`);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/agents/{agent_id}/copy",
      operationId: "copy_agent",
      tag: "agents",
      summary: "Copy an agent",
      description: "The copy is named `{name}-copy`, or with a number behind it when that name is taken.",
      responses: { 201: AgentWithUrls },
      problems: ["invalid_id", "not_found", "name_taken", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const source = await existing(organizationId, params.agent_id);
        await caps.admitAgent(organizationId, null);
        for (const name of copyNames(source.name)) {
          const copy = await insertCopy(db, { organizationId, source, name });
          if (copy) return created(agentWithUrls(copy));
        }
        throw new UserError("name_taken", `all names for a copy of ${source.name} are taken`);
      },
    }),
    defineRoute({
      method: "GET",
      path: "/agents/{agent_id}/stats",
      operationId: "get_agent_stats",
      tag: "agents",
      summary: "Sessions, runs, tokens and cost of an agent",
      responses: { 200: ResourceStats },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const agent = await existing(organizationId, params.agent_id);
        const stats = await resourceStats(db, { organizationId, column: "agent_id", id: agent.id });
        return reply(200, statsToWire(stats));
      },
    }),
  ];
}
