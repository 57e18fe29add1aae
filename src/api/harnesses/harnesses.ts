import { UserError } from "../../base/errors.ts";
import { CheckAgentNameResponse } from "../../contract/agent.ts";
import { ResourceConfigResponse, ResourceStats } from "../../contract/common.ts";
import {
  CreateHarnessRequest,
  HarnessWithCounts,
  HarnessWithUrls,
  UpdateHarnessRequest,
} from "../../contract/harness.ts";
import { List, Type } from "../../contract/schema.ts";
import { harnessIdOfName, harnessUse, insertHarness, updateHarness } from "../../db/agents/harness-writes.ts";
import { type HarnessCountsRow, listHarnesses, readHarness } from "../../db/agents/harnesses.ts";
import { resourceStats } from "../../db/agents/stats.ts";
import { copyNames } from "../agents/copy-names.ts";
import { requireCapabilityRights } from "../agents/layer.ts";
import { statsToWire } from "../agents/stats.ts";
import type { ApiDeps } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import { pathId } from "../http/path-id.ts";
import { ArchivableQuery, archivableFilter, created, notArchived, reply, whole } from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";
import { harnessRef, readHarnessChanges, readHarnessFields, requireHarnessName } from "./harness-input.ts";
import { harnessWithCounts, noHarness, writtenHarness } from "./harness-wire.ts";

const WRITE_PROBLEMS = ["invalid_id", "invalid_name", "limit_exceeded", "name_taken", "conflict"] as const;

/** Harnesses: the built-in ones can be read, copied and inherited from; an organization's own can be changed. */
export function harnessRoutes(deps: Pick<ApiDeps, "db" | "capabilities">): Route[] {
  const { db, capabilities } = deps;

  const existing = async (organizationId: string, text: string): Promise<HarnessCountsRow> => {
    const harness = await readHarness(db, organizationId, harnessRef(text));
    if (!harness) throw noHarness();
    return harness;
  };

  /** @throws UserError forbidden   it is built in */
  const changeable = async (organizationId: string, text: string): Promise<HarnessCountsRow> => {
    const harness = await existing(organizationId, text);
    if (harness.organization_id !== null) return harness;
    throw new UserError(
      "forbidden",
      `${harness.name} is built in and cannot be changed; copy it, or make a harness that inherits from it`,
    );
  };

  /** @throws UserError conflict   somebody would be left without it */
  const requireUnused = async (
    organizationId: string,
    harness: HarnessCountsRow,
    status: "archived" | "deleted",
  ): Promise<void> => {
    const { agents, children, is_default } = await harnessUse(db, organizationId, harness.id);
    if (is_default) {
      throw new UserError(
        "conflict",
        `${harness.name} is the organization's default harness; choose another first`,
      );
    }
    if (status === "archived" || (agents === 0 && children === 0)) return;
    throw new UserError(
      "conflict",
      `${harness.name} is in use: ${agents} agents have it and ${children} harnesses inherit from it`,
    );
  };

  return [
    defineRoute({
      method: "GET",
      path: "/harnesses",
      operationId: "list_harnesses",
      tag: "harnesses",
      summary: "List harnesses by name",
      description: "The organization's own and the built-in ones.",
      query: Type.Object({
        ...ArchivableQuery,
      }),
      responses: { 200: List(HarnessWithCounts) },
      async run({ query, caller }) {
        const rows = await listHarnesses(db, {
          organizationId: caller.organizationId,
          ...archivableFilter(query),
        });
        return reply(200, whole(rows.map(harnessWithCounts)));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/harnesses",
      operationId: "create_harness",
      tag: "harnesses",
      summary: "Make a harness",
      description:
        "`parent_harness_id` is the harness that it inherits from (an id or a name): at the start of a turn the prompts " +
        "are joined from the farthest parent on, capabilities and MCP servers merge by name with the nearer one's " +
        "configuration, and network rules can only become narrower. A capability of high risk is an admin's to add.",
      body: CreateHarnessRequest,
      responses: { 201: HarnessWithUrls },
      problems: WRITE_PROBLEMS,
      async run({ body, caller }) {
        const { organizationId } = caller;
        requireCapabilityRights(capabilities, caller, body.capabilities);
        const fields = await readHarnessFields(deps, organizationId, body);
        const result = await insertHarness(db, { organizationId, fields });
        return created(await writtenHarness(db, organizationId, result, fields.name));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/harnesses/check-name",
      operationId: "check_harness_name",
      tag: "harnesses",
      summary: "Tell whether a name is free",
      query: Type.Object({ name: Type.String(), exclude_id: Type.Optional(Type.String()) }),
      responses: { 200: CheckAgentNameResponse },
      problems: ["invalid_name", "invalid_id"],
      async run({ query, caller }) {
        const name = requireHarnessName(query.name);
        const exclude = query.exclude_id === undefined ? null : pathId("harness", query.exclude_id);
        const holder = await harnessIdOfName(db, caller.organizationId, name);
        return reply(200, { available: holder === null || holder === exclude });
      },
    }),
    defineRoute({
      method: "GET",
      path: "/harnesses/config",
      operationId: "harness_config",
      tag: "harnesses",
      summary: "What the caller may do with harnesses",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.canWrite, caller) }),
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
      method: "PATCH",
      path: "/harnesses/{harness_id}",
      operationId: "update_harness",
      tag: "harnesses",
      summary: "Change some fields of a harness",
      description:
        "Absent fields stay. Null empties a field that may be empty. Turns that begin from then on follow it. `status` " +
        "archives, takes an archived harness back (`active`), or deletes one that no agent has and no harness inherits " +
        "from. Built-in ones cannot be changed.",
      body: UpdateHarnessRequest,
      responses: { 200: HarnessWithUrls },
      problems: [...WRITE_PROBLEMS, "not_found", "forbidden"],
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const harness = await changeable(organizationId, params.harness_id);
        requireCapabilityRights(capabilities, caller, body.capabilities);
        const changes = await readHarnessChanges(deps, organizationId, body);
        if (changes.status === "archived" || changes.status === "deleted") {
          await requireUnused(organizationId, harness, changes.status);
        }
        const result = await updateHarness(db, { organizationId, id: harness.id, changes });
        return reply(200, await writtenHarness(db, organizationId, result, changes.name ?? harness.name));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: "/harnesses/{harness_id}",
      operationId: "delete_harness",
      tag: "harnesses",
      summary: "Archive a harness",
      description:
        "Agents, sessions and harnesses that have it go on; nothing new can name it. " +
        '`PATCH {"status": "active"}` takes it back.',
      responses: { 204: null },
      problems: ["invalid_id", "not_found", "forbidden", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const harness = await changeable(organizationId, params.harness_id);
        await requireUnused(organizationId, harness, "archived");
        const result = await updateHarness(db, {
          organizationId,
          id: harness.id,
          changes: { status: "archived" },
        });
        await writtenHarness(db, organizationId, result, harness.name);
        return reply(204, null);
      },
    }),
    defineRoute({
      method: "POST",
      path: "/harnesses/{harness_id}/delete",
      operationId: "destroy_harness",
      tag: "harnesses",
      summary: "Delete an archived harness for good",
      description:
        "It must be archived, and no agent may have it and no harness inherit from it. Sessions that were started with " +
        "it go on with its last configuration. Answers with the harness as it was.",
      responses: { 200: HarnessWithUrls },
      problems: ["invalid_id", "not_found", "forbidden", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const harness = await changeable(organizationId, params.harness_id);
        if (harness.status !== "archived") {
          throw notArchived(`the harness ${harness.name}`, `/harnesses/${harness.id}`);
        }
        await requireUnused(organizationId, harness, "deleted");
        const result = await updateHarness(db, {
          organizationId,
          id: harness.id,
          changes: { status: "deleted" },
        });
        return reply(200, await writtenHarness(db, organizationId, result, harness.name));
      },
    }),
    defineRoute({
      method: "POST",
      path: "/harnesses/{harness_id}/copy",
      operationId: "copy_harness",
      tag: "harnesses",
      summary: "Copy a harness",
      description:
        "Also a built-in one. The copy is named `{name}-copy`, or with a number behind it when that name is taken.",
      responses: { 201: HarnessWithUrls },
      problems: ["invalid_id", "not_found", "name_taken", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const source = await existing(organizationId, params.harness_id);
        for (const name of copyNames(source.name)) {
          const result = await insertHarness(db, { organizationId, fields: { ...source, name } });
          if (result.outcome === "name_taken") continue;
          return created(await writtenHarness(db, organizationId, result, name));
        }
        throw new UserError("name_taken", `all names for a copy of ${source.name} are taken`);
      },
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
