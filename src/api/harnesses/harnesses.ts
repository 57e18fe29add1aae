import { UserError } from "../../base/errors.ts";
import { ResourceConfigResponse, ResourceStats, SLUG } from "../../contract/common.ts";
import { type Harness, HarnessWithCounts } from "../../contract/harness.ts";
import { List, Type } from "../../contract/schema.ts";
import { type HarnessCountsRow, listHarnesses, readHarness } from "../../db/agents/harnesses.ts";
import { resourceStats } from "../../db/agents/stats.ts";
import { statsToWire } from "../agents/stats.ts";
import type { ApiDeps } from "../deps.ts";
import { pathId } from "../http/path-id.ts";
import { iso, present, reply, urlsOf, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

/** Harnesses are read-only in this version: the built-in ones. */
export function harnessRoutes({ db }: Pick<ApiDeps, "db">): Route[] {
  const existing = async (organizationId: string, text: string): Promise<HarnessCountsRow> => {
    const harness = await readHarness(db, organizationId, SLUG.test(text) ? text : pathId("harness", text));
    if (!harness) throw new UserError("not_found", "Harness not found");
    return harness;
  };
  return [
    defineRoute({
      method: "GET",
      path: "/harnesses",
      operationId: "list_harnesses",
      tag: "harnesses",
      summary: "List harnesses by name",
      query: Type.Object({
        search: Type.Optional(Type.String()),
        include_archived: Type.Optional(Type.Boolean()),
      }),
      responses: { 200: List(HarnessWithCounts) },
      async run({ query, caller }) {
        const rows = await listHarnesses(db, {
          organizationId: caller.organizationId,
          search: query.search ?? null,
          includeArchived: query.include_archived ?? false,
        });
        return reply(200, whole(rows.map(harnessWithCounts)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/harnesses/config",
      operationId: "harness_config",
      tag: "harnesses",
      summary: "What the caller may do with harnesses",
      responses: { 200: ResourceConfigResponse },
      run: async () =>
        reply(200, { policies: { create: false, update: false, delete: false, manage: false } }),
    }),
    defineRoute({
      method: "GET",
      path: "/harnesses/{harness_id}",
      operationId: "get_harness",
      tag: "harnesses",
      summary: "Read a harness by id or name, or `default`",
      responses: { 200: HarnessWithCounts },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, harnessWithCounts(await existing(caller.organizationId, params.harness_id))),
    }),
    defineRoute({
      method: "GET",
      path: "/harnesses/{harness_id}/stats",
      operationId: "get_harness_stats",
      tag: "harnesses",
      summary: "Sessions, runs, tokens and cost of a harness",
      responses: { 200: ResourceStats },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const { id } = await existing(organizationId, params.harness_id);
        return reply(200, statsToWire(await resourceStats(db, { organizationId, column: "harness_id", id })));
      },
    }),
  ];
}

function harnessWithCounts(row: HarnessCountsRow): HarnessWithCounts {
  return {
    ...toWire(row),
    ...urlsOf(`/harnesses/${row.id}`),
    agent_count: row.agent_count,
    app_count: 0,
    session_count: row.session_count,
  };
}

function toWire(row: HarnessCountsRow): Harness {
  return present({
    id: row.id,
    name: row.name,
    display_name: row.display_name,
    description: row.description,
    system_prompt: row.system_prompt,
    parent_harness_id: row.parent_harness_id,
    default_model_id: row.default_model_id,
    capabilities: row.capabilities,
    initial_files: row.initial_files,
    mcpServers: row.mcp_servers,
    network_access: row.network_access,
    parallel_tool_calls: row.parallel_tool_calls,
    tags: row.tags,
    is_built_in: row.organization_id === null,
    status: row.status,
    created_at: iso(row.created_at),
    updated_at: iso(row.updated_at),
  });
}
