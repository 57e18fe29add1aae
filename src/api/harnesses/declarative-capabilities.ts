import { UserError } from "../../base/errors.ts";
import { ResourceConfigResponse } from "../../contract/common.ts";
import {
  CreateDeclarativeCapabilityRequest,
  DECLARATIVE_PREFIX,
  DeclarativeCapabilityWithUrls,
  type DeclarativeDefinition,
  declarativeName,
  UpdateDeclarativeCapabilityRequest,
} from "../../contract/declarative-capability.ts";
import { limits } from "../../contract/limits.ts";
import { List, Type } from "../../contract/schema.ts";
import { capabilityUse } from "../../db/agents/capability-use.ts";
import {
  type DeclarativeCapabilityRow,
  type DeclarativeCapabilityWritten,
  findDeclarativeCapability,
  insertDeclarativeCapability,
  listDeclarativeCapabilities,
  updateDeclarativeCapability,
} from "../../db/agents/declarative-capabilities.ts";
import { initialFileProblems } from "../../db/files/files.ts";
import { requireBytes, requireJsonBytes, requireName } from "../agents/layer.ts";
import type { ApiDeps, CapabilityCatalog } from "../deps.ts";
import { policiesFor } from "../http/authorize.ts";
import type { Caller } from "../http/identify.ts";
import { pathId } from "../http/path-id.ts";
import {
  ArchivableQuery,
  action,
  archivableFilter,
  created,
  iso,
  isoOrNull,
  notArchived,
  present,
  reply,
  urlsOf,
  whole,
} from "../http/respond.ts";
import { defineRoute, type Route } from "../http/route.ts";

const PATH = "/capabilities/declarative/{capability_id}";

const WHAT_ACTS =
  "`system_prompt` joins the prompt at the reference's place, `dependencies` come along, `skills` are read with " +
  "`activate_skill`, and `files` are put into the workspace of sessions that begin from then on. `mcp_servers` join those " +
  "of the layers.";

export function declarativeCapabilityRoutes({
  db,
  capabilities,
}: Pick<ApiDeps, "db" | "capabilities">): Route[] {
  const existing = async (organizationId: string, text: string): Promise<DeclarativeCapabilityRow> => {
    const capability = await findDeclarativeCapability(db, organizationId, refOf(text));
    if (!capability) throw noCapability();
    return capability;
  };

  return [
    defineRoute({
      method: "POST",
      path: "/capabilities",
      operationId: "create_declarative_capability",
      tag: "capabilities",
      summary: "Write down a capability",
      description:
        "Agents, harnesses and sessions refer to it as `declarative:<name>`, and turns follow its definition as it is " +
        `when they begin. ${WHAT_ACTS} One of high risk is an admin's to make.`,
      body: CreateDeclarativeCapabilityRequest,
      responses: { 201: DeclarativeCapabilityWithUrls },
      problems: ["invalid_name", "limit_exceeded", "name_taken", "conflict"],
      async run({ body, caller }) {
        const definition = readDefinition(body.definition, capabilities, caller);
        const { organizationId } = caller;
        return created(written(await insertDeclarativeCapability(db, { organizationId, definition })));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/capabilities/declarative",
      operationId: "list_declarative_capabilities",
      tag: "capabilities",
      summary: "List the capabilities that were written down, by name",
      query: Type.Object({
        ...ArchivableQuery,
      }),
      responses: { 200: List(DeclarativeCapabilityWithUrls) },
      async run({ query, caller: { organizationId } }) {
        const rows = await listDeclarativeCapabilities(db, {
          organizationId,
          ...archivableFilter(query),
        });
        return reply(200, whole(rows.map(toWire)));
      },
    }),
    defineRoute({
      method: "GET",
      path: "/capabilities/declarative/config",
      operationId: "declarative_capabilities_config",
      tag: "capabilities",
      summary: "What the caller may do with capabilities that were written down",
      responses: { 200: ResourceConfigResponse },
      run: async ({ caller }) => reply(200, { policies: policiesFor(caller.canWrite, caller) }),
    }),
    defineRoute({
      method: "GET",
      path: PATH,
      operationId: "get_declarative_capability",
      tag: "capabilities",
      summary: "Read a capability that was written down, by id or name",
      responses: { 200: DeclarativeCapabilityWithUrls },
      problems: ["invalid_id", "not_found"],
      run: async ({ params, caller }) =>
        reply(200, toWire(await existing(caller.organizationId, params.capability_id))),
    }),
    defineRoute({
      method: "PATCH",
      path: PATH,
      operationId: "update_declarative_capability",
      tag: "capabilities",
      summary: "Change a capability that was written down",
      description:
        "A `definition` replaces the whole of the one before; its name may change only while nothing refers to it. " +
        "`status` archives, takes an archived one back (`active`), or deletes an archived one for good.",
      body: UpdateDeclarativeCapabilityRequest,
      responses: { 200: DeclarativeCapabilityWithUrls },
      problems: ["invalid_id", "invalid_name", "limit_exceeded", "not_found", "name_taken", "conflict"],
      async run({ params, body, caller }) {
        const { organizationId } = caller;
        const { id, name } = await existing(organizationId, params.capability_id);
        const definition =
          body.definition == null ? undefined : readDefinition(body.definition, capabilities, caller);
        if (definition && definition.name !== name) {
          const used = (await capabilityUse(db, organizationId)).get(DECLARATIVE_PREFIX + name);
          if (used) {
            throw new UserError(
              "conflict",
              `definition.name: ${used.agent_count} agents and ${used.harness_count} harnesses refer to ${name}`,
            );
          }
        }
        const result = await updateDeclarativeCapability(db, {
          organizationId,
          id,
          changes: { definition, status: body.status ?? undefined },
        });
        if (result.outcome === "not_found" && body.status === "deleted")
          throw notArchived(`the capability ${name}`, `/capabilities/declarative/${id}`);
        return reply(200, written(result));
      },
    }),
    defineRoute({
      method: "DELETE",
      path: PATH,
      operationId: "delete_declarative_capability",
      tag: "capabilities",
      summary: "Archive a capability that was written down",
      description:
        "What refers to it goes on with it; nothing new can. Answers with the capability as it is then. " +
        '`PATCH {"status": "active"}` takes it back.',
      responses: { 200: DeclarativeCapabilityWithUrls },
      problems: ["invalid_id", "not_found"],
      async run({ params, caller: { organizationId } }) {
        const { id } = await existing(organizationId, params.capability_id);
        const result = await updateDeclarativeCapability(db, {
          organizationId,
          id,
          changes: { status: "archived" },
        });
        return reply(200, written(result));
      },
    }),
    defineRoute({
      method: "POST",
      path: `${PATH}/delete`,
      operationId: "destroy_declarative_capability",
      tag: "capabilities",
      summary: "Delete an archived capability for good",
      description:
        "Its name is free again. Turns of what still refers to it go on without it. Answers with the capability as it was.",
      responses: { 200: DeclarativeCapabilityWithUrls },
      problems: ["invalid_id", "not_found", "conflict"],
      async run({ params, caller: { organizationId } }) {
        const { id, name } = await existing(organizationId, params.capability_id);
        const result = await updateDeclarativeCapability(db, {
          organizationId,
          id,
          changes: { status: "deleted" },
        });
        if (result.outcome !== "not_found") return reply(200, written(result));
        throw notArchived(`the capability ${name}`, `/capabilities/declarative/${id}`);
      },
    }),
  ];
}

const noCapability = () => new UserError("not_found", "Declarative capability not found");

/** An id, a name, or `declarative:<name>`. @throws UserError invalid_id */
function refOf(text: string): string {
  return text.startsWith("cap_") ? pathId("cap", text) : (declarativeName(text) ?? text);
}

function written(result: DeclarativeCapabilityWritten): DeclarativeCapabilityWithUrls {
  switch (result.outcome) {
    case "written":
      return toWire(result.capability);
    case "not_found":
      throw noCapability();
    case "name_taken":
      throw new UserError("name_taken", "there is another declarative capability of this name");
    case "too_many":
      throw new UserError(
        "conflict",
        `the organization has ${limits.declarativeCapabilitiesPerOrganizationMax} of them already; delete one first`,
      );
  }
}

/** @throws UserError invalid_name, invalid_request, limit_exceeded, forbidden */
function readDefinition(
  definition: DeclarativeDefinition,
  catalog: CapabilityCatalog,
  caller: Caller,
): DeclarativeDefinition {
  requireName(definition.name);
  requireBytes("definition.description", definition.description, limits.descriptionBytesMax);
  requireBytes("definition.system_prompt", definition.system_prompt, limits.systemPromptBytesMax);
  requireJsonBytes("definition.mcp_servers", definition.mcp_servers, limits.mcpServersBytesMax);
  requireJsonBytes("definition", definition, limits.declarativeDefinitionBytesMax);
  const [problem] = initialFileProblems(
    (definition.files ?? []).map(({ path, content }) => ({ path, content })),
  );
  if (problem !== undefined) throw new UserError("invalid_request", `definition.files: ${problem}`);
  let isRisky = definition.risk_level === "high";
  for (const [index, id] of (definition.dependencies ?? []).entries()) {
    const entry = catalog.find(id);
    if (!entry) {
      throw new UserError(
        "invalid_request",
        `definition.dependencies.${index}: ${JSON.stringify(id)} is no capability of the program; declarative ones cannot depend on each other`,
      );
    }
    isRisky ||= entry.risk_level === "high";
  }
  if (isRisky && !caller.isAdmin) {
    throw new UserError("forbidden", "a capability of high risk is an admin's to make");
  }
  return definition;
}

function toWire(row: DeclarativeCapabilityRow): DeclarativeCapabilityWithUrls {
  const path = `/capabilities/declarative/${row.id}`;
  const actions =
    row.status === "active"
      ? [action("update", "PATCH", path), action("delete", "DELETE", path)]
      : row.status === "archived"
        ? [{ ...action("unarchive", "PATCH", path), hint: '{"status": "active"} takes it back' }]
        : [];
  return {
    ...present({
      id: row.id,
      capability_id: DECLARATIVE_PREFIX + row.name,
      name: row.name,
      display_name: row.definition.display_name ?? null,
      description: row.definition.description ?? "",
      definition: { ...row.definition },
      status: row.status,
      archived_at: isoOrNull(row.archived_at),
      deleted_at: isoOrNull(row.deleted_at),
      created_at: iso(row.created_at),
      updated_at: iso(row.updated_at),
    }),
    ...urlsOf(path, actions),
  };
}
